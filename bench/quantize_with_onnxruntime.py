"""Writes int8 QDQ models for `bench/compare.py`, so that all engines run the same quantized network.

    python bench/quantize_with_onnxruntime.py MODEL.onnx [...] --into FOLDER

ONNX Runtime's static quantizer places Q and DQ: u8 activations, i8 weights per channel. The calibration data is noise
from a fixed seed: good for times, not for accuracy (see `bench/quantization.py` for that).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

SAMPLES = 8


class Noise(quantization.CalibrationDataReader):
    """Standard normal samples for every input of a model; free dimensions are 1."""

    def __init__(self, path: Path) -> None:
        self.samples = self.make(onnx.load(path).graph)

    def make(self, graph: onnx.GraphProto) -> Iterator[dict[str, np.ndarray]]:
        rng = np.random.default_rng(0)
        stored = {tensor.name for tensor in graph.initializer}
        shapes = {
            value.name: [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
            for value in graph.input
            if value.name not in stored
        }
        for _ in range(SAMPLES):
            yield {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.samples, None)


def quantize(model: Path, folder: Path) -> Path:
    """Write the quantized form of a model into a folder, under the same name."""
    prepared, made = folder / f"{model.stem}.prepared.onnx", folder / model.name
    quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(prepared), str(made), Noise(prepared), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
    )  # fmt: skip
    prepared.unlink()
    return made


def main() -> None:
    """Quantize all models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, required=True)
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    for model in options.models:
        print(quantize(model, options.into))


if __name__ == "__main__":
    main()
