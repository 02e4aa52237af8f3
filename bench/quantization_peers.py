"""Quantizers of other projects: each takes a network and returns a function that runs stacked samples on the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from quantization import Network

Run = Callable[[Any], list[np.ndarray]]


def onnxruntime(network: Network) -> Run:
    """ONNX Runtime's static quantizer as its documentation advises: preprocessed, QDQ, per channel, min-max."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.samples = _samples(network)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.samples, None)

    prepared, made = (str(network.folder / name) for name in ("prepared.onnx", "onnxruntime.onnx"))
    quant_pre_process(str(network.path), prepared, skip_symbolic_shape=True)
    quantization.quantize_static(
        prepared, made, Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
    )  # fmt: skip
    return _session(made)


def nncf(network: Network) -> Run:
    """NNCF's post-training quantization with its default options."""
    import nncf as tool
    import onnx

    data = tool.Dataset(_samples(network))
    made = network.folder / "nncf.onnx"
    onnx.save(tool.quantize(onnx.load(network.path), data, subset_size=300), made)
    return _session(str(made))


PEERS: dict[str, Callable[[Network], Run]] = {"onnxruntime": onnxruntime, "nncf": nncf}
"""Every peer by the name of its package."""


def _samples(network: Network) -> Iterator[dict[str, np.ndarray]]:
    with np.load(network.calibration) as stored:
        arrays = {name: stored[name] for name in stored.files if name != "labels"}
    count = len(next(iter(arrays.values())))
    return ({name: array[i : i + 1] for name, array in arrays.items()} for i in range(count))


def _session(path: str) -> Run:
    import onnxruntime as engine

    session = engine.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run(arrays: Any) -> list[np.ndarray]:
        rows = [session.run(None, dict(zip(names, sample, strict=True))) for sample in zip(*arrays, strict=True)]
        return [np.stack(column) for column in zip(*rows, strict=True)]

    return run
