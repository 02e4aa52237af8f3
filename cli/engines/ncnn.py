"""ncnn on the CPU, in float32; pnnx converts the ONNX file. It knows no batch dimension and no names of outputs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .holding import hold
from .job import Array, Bound, Job, convert, installed

LIBRARY = "ncnn/ncnn*.so"
KINDS = {"float32": "f32", "float64": "f64", "int64": "i64", "int32": "i32"}


def open_model(job: Job) -> Bound:
    """Convert the model and load it; inputs and outputs go by their order in the ONNX graph."""
    hold(LIBRARY, job.isa)
    ncnn: Any = installed("ncnn")
    network = ncnn.Net()
    network.opt.num_threads, network.opt.use_vulkan_compute = job.threads or 1, False
    for option in ("use_fp16_storage", "use_fp16_packed", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(network.opt, option, False)
    with tempfile.TemporaryDirectory(prefix="edgec-") as name:
        folder = Path(name)
        shutil.copy(job.model, folder / "model.onnx")
        shapes = ",".join(_described(array) for array in job.inputs.values())
        convert("pnnx", ["model.onnx", f"inputshape={shapes}", "fp16=0"], folder)
        if network.load_param(str(folder / "model.ncnn.param")) or network.load_model(str(folder / "model.ncnn.bin")):
            raise ValueError("it does not load what pnnx made of the model")
    given = [ncnn.Mat(np.ascontiguousarray(array[0])) for array in job.inputs.values()]
    names, ends = network.input_names(), network.output_names()

    def run() -> list[Any]:
        extractor = network.create_extractor()
        for name, matrix in zip(names, given, strict=True):
            extractor.input(name, matrix)
        return [extractor.extract(end)[1] for end in ends]

    def results() -> dict[str, Array]:
        pairs = zip(job.outputs.items(), run(), strict=True)
        return {name: np.array(matrix).reshape(shape) for (name, shape), matrix in pairs}

    return run, results


def _described(array: Array) -> str:
    return f"[{','.join(map(str, array.shape))}]{KINDS.get(array.dtype.name, array.dtype.name)}"
