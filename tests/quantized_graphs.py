"""Small random quantized graphs, the same for the same seed: float ops between quantize and dequantize."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgec.ir import DTYPES, Graph, TensorType, Value, f32
from edgec.ir.ops import (
    Add,
    Clip,
    Concat,
    Conv,
    Dequantize,
    HardSwish,
    MatMul,
    Mul,
    Pad,
    Pool,
    Quantize,
    Reduce,
    Relu,
    Reshape,
    Sigmoid,
    Softmax,
    Transpose,
    constant,
)

Maker = Callable[["QuantizedGraph", Value], Value | None]


class QuantizedGraph:
    """Grows a graph op by op; every choice comes from the seed. All outputs are integers."""

    def __init__(self, seed: int, ops: int = 7) -> None:
        self.chance = np.random.default_rng(seed)
        self.graph = Graph(f"quantized{seed}")
        self.reach: dict[Value, float] = {}
        self.integers: dict[Value, Value] = {}
        shape = (1, self.count(1, 40), self.count(3, 9), self.count(3, 9))
        self.values = [self.rounded(self.graph.input(TensorType(f32, shape), "x"), 3.0)]
        while len(self.values) <= ops:
            self.grow()
        chosen = [v for v in self.values[1:] if not v.users or self.chance.random() < 0.2]
        self.graph.set_outputs([self.integers[v] for v in chosen], [f"y{i}" for i in range(len(chosen))])

    def grow(self) -> None:
        """One more op on a value, mostly a late one, its result rounded to 8 bits."""
        x = self.values[max(self.count(0, len(self.values) - 1), self.count(0, len(self.values) - 1))]
        made = MAKERS[self.count(0, len(MAKERS) - 1)](self, x)
        if made is not None and 0 < made.type.size < 9000:
            self.values.append(self.rounded(made, self.reach.get(made, self.reach[x])))

    def count(self, low: int, high: int) -> int:
        return int(self.chance.integers(low, high + 1))

    def happens(self, share: float) -> bool:
        return bool(self.chance.random() < share)

    def rounded(self, value: Value, reach: float) -> Value:
        """The value quantized, with a scale that more or less fits numbers up to `reach`, and dequantized."""
        to = DTYPES["u8" if self.happens(0.6) else "i8"]
        low = np.iinfo(to.numpy).min
        zero = constant(np.asarray(low + self.chance.choice([0, 128, self.count(0, 255)]), to.numpy))
        scale = constant(np.float32(reach * self.chance.uniform(0.6, 1.4) / 128))
        integers = Quantize(value, scale, zero, to).result
        found = Dequantize(integers, scale, zero).result
        self.graph.add(found.producer)  # type: ignore[arg-type]
        self.reach[found], self.integers[found] = reach, integers
        return found

    def weights(self, shape: tuple[int, ...], axis: int) -> Value:
        """Weights of 8 bits around 0.5 / 128, in most graphs with a scale for each index of `axis`."""
        integers = constant(self.chance.integers(-127, 128, shape).astype(np.int8))
        per_channel = [n if i == axis else 1 for i, n in enumerate(shape)] if self.happens(0.8) else []
        scale = np.asarray(self.chance.uniform(0.2, 1.0, per_channel) / 128, np.float32)
        return Dequantize(integers, constant(scale), constant(np.int8(0))).result

    def bias(self, count: int) -> Value | None:
        return constant(self.chance.standard_normal(count).astype(np.float32)) if self.happens(0.7) else None

    def summed(self, value: Value, x: Value, length: int) -> Value:
        """Note how large a sum of `length` products becomes; an activation follows now and then."""
        reach = self.reach[x] * 0.35 * length**0.5 + 1
        if self.happens(0.4):
            value = [Relu(value), Clip(value, 0.0, 6.0), HardSwish(value)][self.count(0, 2)].result
        self.reach[value] = reach
        return value


def _conv(g: QuantizedGraph, x: Value) -> Value | None:
    size, pads = g.count(1, 3), tuple(g.count(0, 1) for _ in range(4))
    if x.rank != 4 or min(x.shape[2] + pads[0], x.shape[3] + pads[1]) < size:
        return None
    channels, stride = x.shape[1], g.count(1, 2)
    depthwise = g.happens(0.35)
    made = channels if depthwise else g.count(1, 40)
    weight = g.weights((made, 1 if depthwise else channels, size, size), 0)
    conv = Conv(x, weight, g.bias(made), (stride, stride), pads, groups=channels if depthwise else 1)
    return g.summed(conv.result, x, weight.type.size // made)


def _product(g: QuantizedGraph, x: Value) -> Value | None:
    if x.rank < 2:
        return None
    weight = g.weights((x.shape[-1], g.count(1, 40)), 1)
    found, bias = MatMul(x, weight).result, g.bias(weight.shape[1])
    return g.summed(found if bias is None else Add(found, bias).result, x, x.shape[-1])


def _pool(g: QuantizedGraph, x: Value) -> Value | None:
    if x.rank != 4 or min(x.shape[2:]) < 3:
        return None
    pads = tuple(g.count(0, 1) for _ in range(4))
    return Pool(x, "max" if g.happens(0.5) else "average", (2, 3), (g.count(1, 2),) * 2, pads, (1, 1)).result


def _mean(g: QuantizedGraph, x: Value) -> Value | None:
    return Reduce(x, "mean", (2, 3), g.happens(0.7)).result if x.rank == 4 else None


def _add(g: QuantizedGraph, x: Value) -> Value:
    others = [v for v in g.values if v.shape == x.shape]
    found = Add(x, others[g.count(0, len(others) - 1)]).result
    g.reach[found] = 1.5 * g.reach[x]
    return Relu(found).result if g.happens(0.4) else found


def _scaled(g: QuantizedGraph, x: Value) -> Value:
    factor = g.chance.uniform(0.5, 1.5, (x.shape[1],) + (1,) * (x.rank - 2) if x.rank > 2 else ())
    return Mul(x, constant(np.asarray(factor, np.float32))).result


def _concat(g: QuantizedGraph, x: Value) -> Value | None:
    axis = g.count(0, x.rank - 1)
    others = [v for v in g.values if v.rank == x.rank and _same_but(v.shape, x.shape, axis)]
    return Concat((x, *(others[g.count(0, len(others) - 1)] for _ in range(g.count(1, 2)))), axis).result


def _same_but(a: tuple[int, ...], b: tuple[int, ...], axis: int) -> bool:
    return all(m == n or i == axis for i, (m, n) in enumerate(zip(a, b, strict=True)))


def _activation(g: QuantizedGraph, x: Value) -> Value:
    return [Relu(x), Clip(x, -0.5, 0.75), HardSwish(x), Sigmoid(x)][g.count(0, 3)].result


def _pad(g: QuantizedGraph, x: Value) -> Value:
    return Pad(x, tuple(g.count(0, 2) for _ in range(2 * x.rank)), 0.0).result


def _softmax(g: QuantizedGraph, x: Value) -> Value:
    found = Softmax(x, x.rank - 1).result
    g.reach[found] = 0.5
    return found


def _reshape(g: QuantizedGraph, x: Value) -> Value | None:
    if x.rank < 3:
        return None
    a = g.count(1, x.rank - 2)
    return Reshape(x, (*x.shape[:a], x.shape[a] * x.shape[a + 1], *x.shape[a + 2 :])).result


def _transpose(g: QuantizedGraph, x: Value) -> Value:
    return Transpose(x, (0, *(int(a) + 1 for a in g.chance.permutation(x.rank - 1)))).result


MAKERS: tuple[Maker, ...] = (
    _conv, _conv, _conv, _product, _product, _pool, _pool, _mean, _add, _add, _scaled, _concat, _activation, _pad,
    _softmax, _reshape, _transpose,
)  # fmt: skip


def quantized_graph(seed: int, ops: int = 7) -> Graph:
    """The random quantized graph of a seed, of about `ops` ops."""
    return QuantizedGraph(seed, ops).graph
