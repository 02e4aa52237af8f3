"""MNN on the CPU, in float32; its converter reads the ONNX file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .holding import hold
from .job import Array, Bound, Job, convert, installed

LIBRARY = "_mnncengine*.so"


def open_model(job: Job) -> Bound:
    """Convert the model and make a session of it."""
    hold(LIBRARY, job.isa)
    mnn: Any = installed("MNN")
    with tempfile.TemporaryDirectory(prefix="edgec-") as folder:
        made = Path(folder) / "model.mnn"
        files = ["--modelFile", str(job.model.resolve()), "--MNNModel", str(made)]
        convert("mnnconvert", ["-f", "ONNX", *files, "--bizCode", "edgec"], Path(folder))
        network = mnn.Interpreter(str(made))
    session = network.createSession({"numThread": job.threads or 1, "precision": "high", "backend": "CPU"})
    order = mnn.Tensor_DimensionType_Caffe
    sources = {name: network.getSessionInput(session, name) for name in job.inputs}
    for name, source in sources.items():
        if tuple(source.getShape()) != job.inputs[name].shape:
            raise ValueError(f"it fixed input {name} to {source.getShape()}")

    def fill() -> None:  # a run may use the memory of its inputs for something else
        for name, source in sources.items():
            array = job.inputs[name]
            source.copyFrom(mnn.Tensor(array.shape, source.getDataType(), array, order))

    def results() -> dict[str, Array]:
        fill()
        network.runSession(session)
        return {name: _read(mnn, tensor, order) for name, tensor in network.getSessionOutputAll(session).items()}

    fill()
    return lambda: network.runSession(session), results


def _read(mnn: Any, tensor: Any, order: Any) -> Array:
    shape = tensor.getShape()
    host = mnn.Tensor(shape, tensor.getDataType(), np.zeros(shape, np.float32), order)
    tensor.copyToHostTensor(host)
    read: Array = np.array(host.getNumpyData()).reshape(shape)
    return read
