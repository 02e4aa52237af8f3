"""Rules: what signal processing is made of, windows and the weights of mel spectrograms."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ModelError
from .onnx_rules import Array, Node, NotCovered, rule
from .onnx_rules_generate import MAX_MADE
from .onnx_rules_math import cast
from .onnx_tensors import element_type
from .ops import (
    Add,
    And,
    Div,
    Equal,
    Exp,
    Floor,
    Less,
    LessEqual,
    Log,
    Mul,
    Reshape,
    Slice,
    Sub,
    Where,
    array_of,
    constant,
    like,
)
from .types import f64, i64
from .value import Value

ONNX_FLOAT = 1
WINDOWS = {
    "HannWindow": (0.5, -0.5),
    "HammingWindow": (25 / 46, -21 / 46),
    "BlackmanWindow": (0.42, -0.5, 0.08),
}
"""The weights of cos(2 pi k n / N) for k = 0, 1, ..."""


@rule(*WINDOWS)
def window(node: Node) -> Value:
    """A sum of cosines over N places, or N - 1 where it is symmetric."""
    count = _extent(node)
    over = max(count - (0 if node.flag("periodic", 1) else 1), 1)
    angle = 2 * np.pi * np.arange(count) / over
    found = sum(weight * np.cos(k * angle) for k, weight in enumerate(WINDOWS[node.op_type]))
    return constant(np.asarray(found).astype(element_type(node.integer("output_datatype", ONNX_FLOAT)).numpy))


def _extent(node: Node) -> int:
    """How many elements there are: the operand says it, or else the type that the model gives its output."""
    if array_of(node.x) is None and node.declared_first is not None and len(node.declared_first) == 1:
        _expects(node, 0, node.declared_first[0])
        return node.declared_first[0]
    count = node.known_int(0, "size")
    if not 0 < count <= MAX_MADE:
        raise ModelError(f"a window of {count} elements", hint=f"from 1 to {MAX_MADE}")
    return count


def _expects(node: Node, position: int, wanted: int, example: int | None = None, size: Any = None) -> None:
    """Let the run check an operand, or the size that is made of it, against a declared one."""
    operand = node.input(position)
    number = Reshape(cast(operand, i64), ()).result
    node.expects(number if size is None else size(number), wanted)
    node.examples[operand] = np.full(operand.shape, wanted if example is None else example, operand.dtype.numpy)


def _halved(number: Value) -> Value:
    return Div(number, like(number, 2)).result


@rule("MelWeightMatrix")
def mel_weight_matrix(node: Node) -> Value:
    """Triangles over the bins of a spectrum: rising from left to centre, falling to the right."""
    spectrum, bins = _mel_shape(node)
    length, rate, low, high = (cast(_one(node.input(i)), f64) for i in range(1, 5))
    places = _mel_places(bins, length, rate, low, high)
    left, centre, right = (Slice(places, (start,), (bins,)).result for start in range(3))
    j = constant(np.arange(spectrum, dtype=np.float64).reshape(-1, 1))
    rising = Div(Sub(j, left).result, Sub(centre, left).result).result
    falling = Div(Sub(right, j).result, Sub(right, centre).result).result
    zero, one = like(j, 0), like(j, 1)
    peak = Where(Equal(j, centre).result, one, zero).result
    slope = Where(And(LessEqual(left, j).result, LessEqual(j, centre).result).result, rising, zero).result
    before = Where(Equal(left, centre).result, peak, slope).result
    behind = And(LessEqual(centre, j).result, Less(j, right).result).result
    found = Where(behind, falling, before).result
    return cast(found, element_type(node.integer("output_datatype", ONNX_FLOAT)))


def _mel_shape(node: Node) -> tuple[int, int]:
    if any(array_of(node.input(i)) is None for i in range(2)):
        if node.declared_first is None or len(node.declared_first) != 2:
            raise NotCovered("its shape is not known at compile time", "constant operands, or an output with a shape")
        spectrum, bins = node.declared_first
        _expects(node, 0, bins)
        _expects(node, 1, spectrum, 2 * (spectrum - 1), lambda length: Add(_halved(length), like(length, 1)).result)
        return spectrum, bins
    spectrum, bins = node.known_int(1, "DFT length") // 2 + 1, node.known_int(0, "number of bins")
    if bins < 1 or spectrum < 1 or bins * spectrum > MAX_MADE:
        raise ModelError(f"a matrix of {spectrum} by {bins}")
    return spectrum, bins


def _mel_places(bins: int, length: Value, rate: Value, low: Value, high: Value) -> Value:
    """The bins of the spectrum where triangles begin and end, bins + 2 of them."""
    first, last = _mel(low), _mel(high)
    step = Div(Sub(last, first).result, _number(bins + 2)).result
    mels = Add(Mul(constant(np.arange(bins + 2, dtype=np.float64)), step).result, first).result
    grown = Exp(Mul(mels, _number(np.log(10) / 2595)).result).result
    hertz = Mul(Sub(grown, _number(1)).result, _number(700)).result
    return Floor(Div(Mul(Add(length, _number(1)).result, hertz).result, rate).result).result


def _mel(hertz: Value) -> Value:
    share = Add(Div(hertz, _number(700)).result, _number(1)).result
    return Mul(Log(share).result, _number(2595 / np.log(10))).result


def _number(number: float | Array) -> Value:
    return constant(np.asarray(number, np.float64))


def _one(value: Value) -> Value:
    if value.type.size != 1:
        raise ModelError(f"an operand is {value.type}, not one number")
    return Reshape(value, ()).result if value.rank else value
