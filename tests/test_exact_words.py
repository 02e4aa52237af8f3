"""16-bit activations and scales found at run time: the same bytes on every target, and in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgec import driver
from edgec.ir import Graph, TensorType, Value, f32
from edgec.ir.ops import (
    Abs,
    Add,
    Concat,
    Conv,
    Dequantize,
    HardSwish,
    MatMul,
    Mul,
    Pool,
    Quantize,
    Reduce,
    Relu,
    Reshape,
    constant,
)
from edgec.ir.types import DTYPES
from edgec.quantizing import request

from .test_exact_targets import EMULATED, NATIVE, differences, require

QUICK = ("c", "host")
SOME = ("x86-64-v3", "arm-neon", "armv7-neon")
"""Where the example is tried too; the graphs of this file run everywhere."""
targets = pytest.mark.parametrize(
    "target", [pytest.param(t, marks=() if t in QUICK else pytest.mark.slow) for t in (*NATIVE, *EMULATED)]
)
CHANNELS, HEIGHT, WIDTH = 19, 9, 11


class Weights:
    """Draws weights and biases."""

    def __init__(self, seed: int = 0) -> None:
        self.chance = np.random.default_rng(seed)

    def of(self, *shape: int, axis: int = 0, most: bool = False) -> Value:
        integers = self.chance.integers(-127, 128, shape) if not most else np.full(shape, 127)
        scales = self.chance.uniform(0.2, 1.0, [n if i == axis else 1 for i, n in enumerate(shape)]) / 128
        zero = constant(np.int8(0))
        return Dequantize(constant(integers.astype(np.int8)), constant(scales.astype(np.float32)), zero).result

    def bias(self, count: int) -> Value:
        return constant(self.chance.standard_normal(count).astype(np.float32))


def rounded(value: Value, reach: float, zero: int = 0, to: str = "i16") -> Value:
    """Quantized to 16 bits and dequantized."""
    scale = constant(np.float32(reach / (32767 if to == "i16" else 127)))
    zeros = constant(np.asarray(zero, DTYPES[to].numpy))
    return Dequantize(Quantize(value, scale, zeros, DTYPES[to]).result, scale, zeros).result


def words() -> Graph:
    """Every kernel for 16-bit values, in odd shapes, with zero points and sums that leave 32 bits."""
    w, graph = Weights(), Graph("words")
    x = rounded(graph.input(TensorType(f32, (1, 5, HEIGHT, WIDTH)), "x"), 3, 7)
    first = rounded(Relu(Conv(x, w.of(CHANNELS, 5, 3, 3), w.bias(CHANNELS), (1, 1), (1, 1, 1, 1)).result).result, 12)
    depthwise = Conv(first, w.of(CHANNELS, 1, 3, 3), w.bias(CHANNELS), (2, 1), (1, 1, 2, 1), groups=CHANNELS)
    deep = rounded(depthwise.result, 20)
    added = rounded(Add(Conv(first, w.of(CHANNELS, CHANNELS, 1, 1)).result, first).result, 60)
    largest = Pool(added, "max", (3, 2), (2, 2), (1, 0, 1, 0), (1, 1)).result
    average = rounded(Pool(added, "average", (2, 3), (1, 2), (1, 0, 0, 1), (1, 1)).result, 60, -9)
    joined = Concat((rounded(HardSwish(Conv(largest, w.of(8, CHANNELS, 1, 1)).result).result, 30), largest), 1).result
    mean = rounded(Reduce(added, "mean", (2, 3), False).result, 10)
    scores = rounded(Add(MatMul(mean, w.of(CHANNELS, 37, axis=1)).result, w.bias(37)).result, 40)
    flat = rounded(Reshape(added, (1, CHANNELS * HEIGHT * WIDTH)).result, 60)
    wide = MatMul(flat, w.of(CHANNELS * HEIGHT * WIDTH, 23, axis=1, most=True)).result
    narrow = rounded(Conv(first, w.of(33, CHANNELS, 2, 3), None, (1, 2)).result, 20, to="i8")
    integers = [_integers(v) for v in (first, deep, added, largest, average, joined, mean, scores, narrow)]
    graph.set_outputs([_in(graph, v) for v in (*integers, wide)], [f"y{i}" for i in range(len(integers) + 1)])
    return graph


def _integers(value: Value) -> Value:
    assert value.producer is not None
    return value.producer.operands[0] if isinstance(value.producer, Dequantize) else value


def _in(graph: Graph, value: Value) -> Value:
    assert value.producer is not None
    return graph.add(value.producer)


def images(samples: int = 3) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((samples, 1, 5, HEIGHT, WIDTH)).astype(np.float32)


@targets
def test_words(target: str, tmp_path: Path) -> None:
    require(target)
    assert differences(words(), {"x": images() * np.float32(1.5)}, target, tmp_path) == []


def test_words_become_integers() -> None:
    names = [op.name for op in driver.lower(words(), "c").reference]
    assert {"conv", "matmul", "reduce-mean"}.isdisjoint(names)
    assert (names.count("conv-integer"), names.count("matmul-integer"), names.count("pool")) == (5, 2, 2)


def dynamic(value: Value, to: str) -> Value:
    """Rounded to 8 bits with the scale of its largest magnitude."""
    most = 255 if to == "u8" else 127
    reach = Reduce(value if to == "u8" else Abs(value).result, "max", tuple(range(value.rank))).result
    scale, zero = Mul(reach, constant(np.float32(1 / most))).result, constant(np.asarray(0, DTYPES[to].numpy))
    return Dequantize(Quantize(value, scale, zero, DTYPES[to]).result, scale, zero).result


def found_at_run_time() -> Graph:
    w, graph = Weights(1), Graph("dynamic")
    x = dynamic(graph.input(TensorType(f32, (1, 5, HEIGHT, WIDTH)), "x"), "i8")
    first = Relu(Conv(x, w.of(CHANNELS, 5, 3, 3), w.bias(CHANNELS), (1, 1), (1, 1, 1, 1)).result).result
    inner = dynamic(first, "u8")
    deep = Conv(inner, w.of(CHANNELS, 1, 5, 3), w.bias(CHANNELS), (2, 1), (2, 1, 2, 1), groups=CHANNELS).result
    added = Add(Conv(inner, w.of(CHANNELS, CHANNELS, 1, 1)).result, first).result
    largest = dynamic(Reshape(Reduce(added, "max", (2, 3)).result, (1, CHANNELS)).result, "i8")
    scores = Add(MatMul(largest, w.of(CHANNELS, 37, axis=1)).result, w.bias(37)).result
    graph.set_outputs([_in(graph, v) for v in (first, deep, added, scores)], ["first", "deep", "added", "scores"])
    return graph


@targets
def test_scales_found_at_run_time(target: str, tmp_path: Path) -> None:
    require(target)
    inputs = {"x": images(4) * np.float32([0.1, 1, 9, 0]).reshape(4, 1, 1, 1, 1)}
    inputs["x"][3] = 1e-3
    assert differences(found_at_run_time(), inputs, target, tmp_path) == []


def test_scales_found_at_run_time_do_not_hinder_integers() -> None:
    names = [op.name for op in driver.lower(found_at_run_time(), "c").reference]
    assert {"conv", "matmul"}.isdisjoint(names)
    assert (names.count("conv-integer"), names.count("matmul-integer")) == (3, 1)


@pytest.mark.parametrize("scheme", ["w8a16", "dynamic"])
@pytest.mark.parametrize(
    "target",
    [
        pytest.param(t, marks=() if t in QUICK else pytest.mark.slow if t in SOME else pytest.mark.long)
        for t in (*NATIVE, *EMULATED)
    ],
)
def test_the_example(scheme: str, target: str, examples: Path, tmp_path: Path) -> None:
    require(target)
    wanted = request(scheme, examples / "digits_calibration.npz", veto=False)
    made = driver.lower(examples / "digits.onnx", quantization=wanted).quantized
    assert made is not None
    digits = np.load(examples / "digits.npz")["images"][:20, None]
    assert differences(made.graph, {"images": digits}, target, tmp_path) == []
