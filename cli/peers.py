"""Other engines that run the same model: ONNX Runtime and OpenVINO."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ToolchainError, UsageError
from ..escaping import escape

Array = np.ndarray
Bound = tuple[Callable[[], Any], Callable[[], dict[str, Array]]]
"""A call that runs the model once on bound buffers, and one that returns the outputs of the last run by name."""


def engine(name: str, model: Path, inputs: Mapping[str, Array], threads: int) -> Bound:
    """Open a model with inputs bound in engine `name`; ToolchainError if that is not installed or refuses the model."""
    openers = {"onnxruntime": _onnxruntime, "openvino": _openvino}
    if name not in openers:
        raise UsageError(f"unknown engine '{escape(name)}'", hint=f"engines: {', '.join(openers)}")
    if model.suffix == ".ir":
        raise UsageError(f"{name} reads .onnx files only", hint="--against evaluate compares with numpy")
    try:
        return openers[name](model, inputs, threads)
    except ToolchainError:
        raise
    except Exception as error:
        what = f"{name} cannot run '{escape(model.name)}': {escape(str(error).strip(), 300)}"
        raise ToolchainError(what) from error


def version(name: str) -> str:
    """Return the version of an installed engine."""
    return str(getattr(_import(name), "__version__", ""))


def onnxruntime_outputs(model: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return what ONNX Runtime makes of the inputs."""
    run, outputs = engine("onnxruntime", model, inputs, threads=0)
    run()
    return outputs()


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ToolchainError(f"{name} is not installed", hint=f"pip install {name}") from error


def _onnxruntime(model: Path, inputs: Mapping[str, Array], threads: int) -> Bound:
    ort = _import("onnxruntime")
    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if threads:
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_cpu_input(name, array)
    names = [output.name for output in session.get_outputs()]
    for name in names:
        binding.bind_output(name)

    def results() -> dict[str, Array]:
        return dict(zip(names, binding.copy_outputs_to_cpu(), strict=True))

    return lambda: session.run_with_iobinding(binding), results


def _openvino(model: Path, inputs: Mapping[str, Array], threads: int) -> Bound:
    openvino = _import("openvino")
    core = openvino.Core()
    network = core.read_model(str(model))
    network.reshape({name: list(array.shape) for name, array in inputs.items()})
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(network, "CPU", settings | ({"INFERENCE_NUM_THREADS": threads} if threads else {}))
    request = compiled.create_infer_request()
    for name, array in inputs.items():
        request.set_tensor(name, openvino.Tensor(array))
    outputs = list(compiled.outputs)

    def results() -> dict[str, Array]:
        return {one.get_any_name(): request.get_output_tensor(i).data.copy() for i, one in enumerate(outputs)}

    return request.infer, results
