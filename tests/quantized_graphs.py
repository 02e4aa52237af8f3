"""Small random quantized graphs, the same for the same seed: float ops between quantize and dequantize."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from edgec.ir import DTYPES, Graph, TensorType, Value, f32
from edgec.ir.ops import (
    Add,
    Clip,
    Concat,
    Conv,
    Dequantize,
    Elu,
    Expand,
    Gather,
    Gelu,
    HardSwish,
    LeakyRelu,
    MatMul,
    Mul,
    Pad,
    Pool,
    Quantize,
    Reduce,
    Relu,
    Reshape,
    Resize,
    Sigmoid,
    Silu,
    Slice,
    Softmax,
    Sub,
    Tanh,
    Transpose,
    constant,
)

Choice = TypeVar("Choice")
Maker = Callable[["QuantizedGraph", Value], Value | None]
LARGEST = 9000
"""Elements of a value."""


class QuantizedGraph:
    """Grows a graph op by op; every choice comes from the seed. Its outputs are integers, and floats made of them."""

    def __init__(self, seed: int, ops: int = 7) -> None:
        self.chance = np.random.default_rng(seed)
        self.graph = Graph(f"quantized{seed}")
        self.reach: dict[Value, float] = {}
        self.integers: dict[Value, Value] = {}
        self.values = [self.first()]
        while len(self.values) <= ops:
            self.grow()
        chosen = [v for v in self.values[1:] if not v.users or self.happens(0.2)]
        outputs = [self.integers[v] for v in chosen] + [self.ending(v) for v in chosen if self.happens(0.4)]
        self.graph.set_outputs(outputs, [f"y{i}" for i in range(len(outputs))])

    def first(self) -> Value:
        """An image, as floats or as bytes; with three channels now and then, or of two samples."""
        channels = 3 if self.happens(0.2) else self.count(1, 40)
        shape = (1 + self.happens(0.2), channels, self.count(3, 11), self.count(3, 11))
        if self.happens(0.75):
            return self.rounded(self.graph.input(TensorType(f32, shape), "x"), 3.0)
        kind = self.kind()
        return self.dequantized(self.graph.input(TensorType(DTYPES[kind], shape), "x"), 3.0)

    def grow(self) -> None:
        """One more op on a value, mostly a late one, its result rounded to 8 bits."""
        x = self.values[max(self.count(0, len(self.values) - 1), self.count(0, len(self.values) - 1))]
        made = self.one(MAKERS)(self, x)
        if made is not None and 0 < made.type.size < LARGEST:
            self.values.append(self.rounded(made, self.reach.get(made, self.reach[x])))

    def ending(self, x: Value) -> Value:
        """Floats that a network may end in."""
        ends: list[Maker] = [_softmax, _activation, _table, _mean, _product, _conv, lambda g, v: v]
        made = self.one(ends)(self, x)
        if made is None or made is x or not 0 < made.type.size < LARGEST:
            return x
        return self.graph.add(made.producer)  # type: ignore[arg-type]

    def count(self, low: int, high: int) -> int:
        return int(self.chance.integers(low, high + 1))

    def one(self, choices: Sequence[Choice]) -> Choice:
        return choices[self.count(0, len(choices) - 1)]

    def happens(self, share: float) -> bool:
        return bool(self.chance.random() < share)

    def kind(self) -> str:
        return "u8" if self.happens(0.6) else "i8"

    def rounded(self, value: Value, reach: float) -> Value:
        """The value quantized, with a scale that more or less fits numbers up to `reach`, and dequantized."""
        kind = self.kind()
        scale, zero = self.scaling(kind, reach)
        return self.dequantized(Quantize(value, scale, zero, DTYPES[kind]).result, reach, (scale, zero))

    def scaling(self, kind: str, reach: float) -> tuple[Value, Value]:
        low = np.iinfo(DTYPES[kind].numpy).min
        zero = constant(np.asarray(low + self.chance.choice([0, 128, self.count(0, 255)]), DTYPES[kind].numpy))
        return constant(np.float32(reach * self.chance.uniform(0.6, 1.4) / 128)), zero

    def dequantized(self, integers: Value, reach: float, scaling: tuple[Value, Value] | None = None) -> Value:
        found = Dequantize(integers, *(scaling or self.scaling(integers.dtype.name, reach))).result
        self.graph.add(found.producer)  # type: ignore[arg-type]
        self.reach[found], self.integers[found] = reach, integers
        return found

    def weights(self, shape: tuple[int, ...], axis: int) -> Value:
        """Weights of 8 bits around 0.5 / 128, in most graphs with a scale for each index of `axis`."""
        least = -128 if self.happens(0.3) else -127
        integers = constant(self.chance.integers(least, 128, shape).astype(np.int8))
        per_channel = [n if i == axis else 1 for i, n in enumerate(shape)] if self.happens(0.7) else []
        scale = np.asarray(self.chance.uniform(0.2, 1.0, per_channel) / 128, np.float32)
        return Dequantize(integers, constant(scale), constant(np.int8(0))).result

    def bias(self, count: int) -> Value | None:
        return constant(self.chance.standard_normal(count).astype(np.float32)) if self.happens(0.7) else None

    def summed(self, value: Value, x: Value, length: int) -> Value:
        """Note how large a sum of `length` products becomes; an activation follows now and then."""
        reach = self.reach[x] * 0.35 * length**0.5 + 1
        if self.happens(0.4):
            value = self.one([Relu(value), Clip(value, 0.0, 6.0), HardSwish(value), LeakyRelu(value, 0.1)]).result
        self.reach[value] = reach
        return value


# --- contractions -----------------------------------------------------------------------------------------------------


def _conv(g: QuantizedGraph, x: Value) -> Value | None:
    if x.rank != 4:
        return None
    size = (g.count(1, 3),) * 2 if g.happens(0.7) else (g.count(1, 5), g.count(1, 5))
    dilations = (g.count(1, 2), g.count(1, 2)) if g.happens(0.15) else (1, 1)
    pads = tuple(g.count(0, 1) for _ in range(4))
    seen = [x.shape[2 + i] + pads[i] + pads[i + 2] - dilations[i] * (size[i] - 1) for i in range(2)]
    if min(seen) < 1:
        return None
    groups, made = _groups(g, x.shape[1])
    weight = g.weights((made, x.shape[1] // groups, *size), 0)
    strides = (g.count(1, 2),) * 2 if g.happens(0.8) else (g.count(1, 3), g.count(1, 3))
    conv = Conv(x, weight, g.bias(made), strides, pads, dilations, groups)
    return g.summed(conv.result, x, weight.type.size // made)


def _groups(g: QuantizedGraph, channels: int) -> tuple[int, int]:
    """How many groups, and how many channels come out: depthwise, grouped or neither."""
    if g.happens(0.35):
        return channels, channels * (2 if g.happens(0.15) else 1)
    divisors = [d for d in range(2, channels) if channels % d == 0]
    if divisors and g.happens(0.2):
        groups = g.one(divisors)
        return groups, groups * g.count(1, 6)
    return 1, g.count(1, 70) if g.happens(0.2) else g.count(1, 40)


def _product(g: QuantizedGraph, x: Value) -> Value | None:
    if x.rank < 2:
        return None
    weight = g.weights((x.shape[-1], g.count(1, 40)), 1)
    found, bias = MatMul(x, weight).result, g.bias(weight.shape[1])
    return g.summed(found if bias is None else Add(found, bias).result, x, x.shape[-1])


def _product_of_two(g: QuantizedGraph, x: Value) -> Value | None:
    """x times another value, or itself, transposed, as in attention."""
    if x.rank < 3:
        return None
    y = g.one([v for v in g.values if v.rank == x.rank and _same_but(v.shape, x.shape, x.rank - 2)])
    turned = Transpose(y, (*range(x.rank - 2), x.rank - 1, x.rank - 2)).result
    found = MatMul(x, turned).result
    g.reach[found] = g.reach[x] * g.reach[y] * 0.4 * x.shape[-1] ** 0.5
    return found


# --- windows and means ------------------------------------------------------------------------------------------------


def _pool(g: QuantizedGraph, x: Value) -> Value | None:
    if x.rank != 4 or min(x.shape[2:]) < 3:
        return None
    pads = tuple(g.count(0, 1) for _ in range(4)) if g.happens(0.6) else (0,) * 4
    counted = pads if g.happens(0.3) else ()
    window = g.one([(2, 2), (2, 3), (3, 3), x.shape[2:]])
    return Pool(x, g.one(["max", "average"]), window, (g.count(1, 2),) * 2, pads, (1, 1), counted).result


def _mean(g: QuantizedGraph, x: Value) -> Value | None:
    axes = (2, 3) if x.rank == 4 and g.happens(0.7) else (g.count(1, x.rank - 1),)
    return Reduce(x, g.one(["mean", "mean", "max"]), axes, g.happens(0.7) or x.rank < 3).result


# --- element by element -----------------------------------------------------------------------------------------------


def _add(g: QuantizedGraph, x: Value) -> Value:
    y = g.one([v for v in g.values if v.shape == x.shape])
    found = g.one([Add, Add, Sub])(x, y).result
    g.reach[found] = 1.5 * g.reach[x]
    return Relu(found).result if g.happens(0.4) else found


def _mul(g: QuantizedGraph, x: Value) -> Value:
    """A product with another value or with the mean of one, as gates have it."""
    y = g.one([v for v in g.values if v.shape == x.shape])
    if x.rank == 4 and g.happens(0.5):
        y = g.rounded(Reduce(y, "mean", (2, 3)).result, g.reach[y])
    found = Mul(x, y).result
    g.reach[found] = g.reach[x] * g.reach[y] * 0.5
    return found


def _scaled(g: QuantizedGraph, x: Value) -> Value:
    factor = g.chance.uniform(0.5, 1.5, (x.shape[1],) + (1,) * (x.rank - 2) if x.rank > 2 else ())
    return Mul(x, constant(np.asarray(factor, np.float32))).result


def _activation(g: QuantizedGraph, x: Value) -> Value:
    return g.one([Relu(x), Clip(x, -0.5, 0.75), HardSwish(x), Sigmoid(x), Tanh(x), Silu(x)]).result


def _table(g: QuantizedGraph, x: Value) -> Value:
    """Functions that only tables make exact, also of more than one op."""
    return g.one([Gelu(x), Elu(x), Mul(Sigmoid(x).result, x), LeakyRelu(x, 0.2), Tanh(Relu(x).result)]).result


def _softmax(g: QuantizedGraph, x: Value) -> Value:
    found = Softmax(x, x.rank - 1 if g.happens(0.7) else g.count(0, x.rank - 1)).result
    g.reach[found] = 0.5
    return found


# --- places -----------------------------------------------------------------------------------------------------------


def _concat(g: QuantizedGraph, x: Value) -> Value | None:
    axis = g.count(0, x.rank - 1)
    others = [v for v in g.values if v.rank == x.rank and _same_but(v.shape, x.shape, axis)]
    return Concat((x, *(g.one(others) for _ in range(g.count(1, 2)))), axis).result


def _same_but(a: tuple[int, ...], b: tuple[int, ...], axis: int) -> bool:
    return all(m == n or i == axis for i, (m, n) in enumerate(zip(a, b, strict=True)))


def _pad(g: QuantizedGraph, x: Value) -> Value:
    return Pad(x, tuple(g.count(0, 2) for _ in range(2 * x.rank)), 0.5 if g.happens(0.1) else 0.0).result


def _slice(g: QuantizedGraph, x: Value) -> Value:
    steps = [g.one([1, 1, 2]) for _ in x.shape]
    sizes = [g.count(1, -(-extent // step)) for extent, step in zip(x.shape, steps, strict=True)]
    starts = [g.count(0, e - 1 - (n - 1) * s) for e, n, s in zip(x.shape, sizes, steps, strict=True)]
    return Slice(x, tuple(starts), tuple(sizes), tuple(steps)).result


def _gather(g: QuantizedGraph, x: Value) -> Value:
    axis = g.count(0, x.rank - 1)
    if x.shape[axis] == 1:
        return Expand(x, tuple(g.count(1, 3) if i == axis else d for i, d in enumerate(x.shape))).result
    return Gather(x, constant(g.chance.integers(0, x.shape[axis], g.count(1, 6))), axis).result


def _resize(g: QuantizedGraph, x: Value) -> Value | None:
    if x.rank != 4:
        return None
    sizes = (*x.shape[:2], x.shape[2] * 2, x.shape[3] + g.count(0, 3))
    scales = tuple(s / d for s, d in zip(sizes, x.shape, strict=True))
    return Resize(x, sizes, scales, "nearest", g.one(["half_pixel", "asymmetric"])).result


def _reshape(g: QuantizedGraph, x: Value) -> Value | None:
    if x.rank < 3:
        return None
    a = g.count(1, x.rank - 2)
    return Reshape(x, (*x.shape[:a], x.shape[a] * x.shape[a + 1], *x.shape[a + 2 :])).result


def _transpose(g: QuantizedGraph, x: Value) -> Value:
    return Transpose(x, (0, *(int(a) + 1 for a in g.chance.permutation(x.rank - 1)))).result


MAKERS: tuple[Maker, ...] = (
    _conv, _conv, _conv, _conv, _product, _product, _product_of_two, _pool, _pool, _mean, _add, _add, _mul, _scaled,
    _activation, _table, _softmax, _concat, _pad, _slice, _gather, _resize, _reshape, _transpose,
)  # fmt: skip


def quantized_graph(seed: int, ops: int = 7) -> Graph:
    """The random quantized graph of a seed, of about `ops` ops."""
    return QuantizedGraph(seed, ops).graph
