"""Small random graphs whose numbers stay small, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgec.ir import Graph, Op, TensorType, Value, f32
from edgec.ir.ops import (
    Add,
    ArgReduce,
    Cast,
    Clip,
    Concat,
    Conv,
    Expand,
    Gather,
    HardSwish,
    MatMul,
    Max,
    Mul,
    Pad,
    Pool,
    Reduce,
    Relu,
    Reshape,
    Resize,
    Sigmoid,
    Slice,
    Softmax,
    Sub,
    Tanh,
    Transpose,
    constant,
)

Maker = Callable[["RandomGraph"], Value | None]


class RandomGraph:
    """Grows a graph op by op; every choice comes from the seed."""

    def __init__(self, seed: int, ops: int = 9) -> None:
        self.chance = np.random.default_rng(seed)
        self.graph = Graph(f"random{seed}")
        self.values: list[Value] = []
        for _ in range(self.count(1, 2)):
            self.values.append(self.graph.input(TensorType(f32, self.shape()), f"x{len(self.values)}"))
        while len(self.graph) < ops:
            made = self.make(MAKERS[self.count(0, len(MAKERS) - 1)])
            if made is not None and self.fits(made):
                self.values.append(self.graph.add(made.producer))  # type: ignore[arg-type]
        self.finish()

    def shape(self) -> tuple[int, ...]:
        """The shape of an input."""
        return 1, self.count(1, 9), self.count(3, 8), self.count(3, 8)

    def make(self, maker: Maker) -> Value | None:
        """A new value, None where the maker finds nothing that fits."""
        return maker(self)

    def finish(self) -> None:
        """What nobody reads becomes an output, and sometimes a value in between as well."""
        floats = [v for v in self.values if v.producer is not None]
        chosen = [v for v in floats if not v.users or self.chance.random() < 0.1]
        self.graph.set_outputs(chosen, [f"y{i}" for i in range(len(chosen))])

    def fits(self, made: Value) -> bool:
        """Whether a value is of a sensible size."""
        return 0 < made.type.size < 5000

    def count(self, low: int, high: int) -> int:
        return int(self.chance.integers(low, high + 1))

    def one(self, *choices: object) -> object:
        return choices[self.count(0, len(choices) - 1)]

    def array(self, *shape: int) -> Value:
        return constant(self.chance.standard_normal(shape).astype(np.float32) * 0.5)

    def value(self, rank: int = 0) -> Value | None:
        """A value, mostly a late one; of a rank where one is asked for."""
        fitting = [v for v in self.values if not rank or v.rank == rank]
        if not fitting:
            return None
        return fitting[max(self.count(0, len(fitting) - 1), self.count(0, len(fitting) - 1))]


def _unary(g: RandomGraph) -> Value | None:
    x = g.value()
    kind = g.one(Relu, Tanh, Sigmoid, HardSwish, lambda v: Clip(v, -0.5, 0.75))
    return x and kind(x).result  # type: ignore[operator]


def _binary(g: RandomGraph) -> Value | None:
    x = g.value()
    partners = [v for v in g.values if _broadcasts(v.shape, x.shape)]  # type: ignore[union-attr]
    y = partners[g.count(0, len(partners) - 1)]
    return g.one(Add, Sub, Mul, Max)(Tanh(x).result, y).result  # type: ignore[operator]


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    return len(shape) <= len(to) and all(d in (1, e) for d, e in zip(reversed(shape), reversed(to), strict=False))


def _with_constant(g: RandomGraph) -> Value | None:
    x = g.value()
    shape = tuple(d if g.chance.random() < 0.5 else 1 for d in x.shape)  # type: ignore[union-attr]
    return g.one(Add, Mul)(x, g.array(*shape)).result  # type: ignore[operator]


def _conv(g: RandomGraph) -> Value | None:
    x = g.value(4)
    if x is None:
        return None
    channels, size = x.shape[1], g.count(1, 3)
    pads = tuple(g.count(0, 1) for _ in range(4))
    if min(x.shape[2] + pads[0], x.shape[3] + pads[1]) < size:
        return None
    depthwise = g.chance.random() < 0.3
    weight = g.array(channels, 1, size, size) if depthwise else g.array(g.count(1, 20), channels, size, size)
    bias = g.array(weight.shape[0]) if g.chance.random() < 0.5 else None
    stride = g.count(1, 2)
    conv = Conv(x, weight, bias, (stride, stride), pads, groups=channels if depthwise else 1)
    return Tanh(conv.result).result


def _pool(g: RandomGraph) -> Value | None:
    x = g.value(4)
    if x is None or min(x.shape[2:]) < 3:
        return None
    pads = tuple(g.count(0, 1) for _ in range(4))
    return Pool(x, str(g.one("max", "average")), (2, 3), (g.count(1, 2),) * 2, pads, (1, 1)).result


def _matmul(g: RandomGraph) -> Value | None:
    x = g.value()
    if x is None or x.rank < 2:
        return None
    if g.chance.random() < 0.5:
        return Tanh(MatMul(x, g.array(x.shape[-1], g.count(1, 20))).result).result
    swap = (*range(x.rank - 2), x.rank - 1, x.rank - 2)
    return Tanh(MatMul(x, Transpose(x, swap).result).result).result


def _reduce(g: RandomGraph) -> Value | None:
    x = g.value()
    if x is None or x.rank < 2:
        return None
    axes = tuple(a for a in range(x.rank) if g.chance.random() < 0.5) or (x.rank - 1,)
    return Reduce(x, str(g.one("mean", "max", "min")), axes, g.chance.random() < 0.7).result


def _softmax(g: RandomGraph) -> Value | None:
    x = g.value()
    return x and Softmax(x, g.count(0, x.rank - 1)).result if x is not None and x.rank else None


def _concat(g: RandomGraph) -> Value | None:
    x = g.value()
    if x is None or not x.rank:
        return None
    axis = g.count(0, x.rank - 1)
    others = [v for v in g.values if v.rank == x.rank and _same_but(v.shape, x.shape, axis)]
    picked = [others[g.count(0, len(others) - 1)] for _ in range(g.count(1, 3))]
    return Concat((x, *picked), axis).result


def _same_but(a: tuple[int, ...], b: tuple[int, ...], axis: int) -> bool:
    return all(m == n or i == axis for i, (m, n) in enumerate(zip(a, b, strict=True)))


def _pad(g: RandomGraph) -> Value | None:
    x = g.value()
    return x and Pad(x, tuple(g.count(0, 2) for _ in range(2 * x.rank)), float(g.count(-1, 1))).result


def _slice(g: RandomGraph) -> Value | None:
    x = g.value()
    starts, sizes, steps = [], [], []
    for extent in x.shape:  # type: ignore[union-attr]
        step = int(g.one(1, 1, 2, -1) if extent > 1 else 1)  # type: ignore[call-overload]
        size = g.count(1, -(-extent // abs(step)))
        room = extent - 1 - (size - 1) * abs(step)
        first = g.count(0, room)
        starts.append(first if step > 0 else first + (size - 1) * abs(step))
        sizes.append(size)
        steps.append(step)
    return Slice(x, tuple(starts), tuple(sizes), tuple(steps)).result  # type: ignore[arg-type]


def _reshape(g: RandomGraph) -> Value | None:
    x = g.value()
    if x is None or x.rank < 2:
        return None
    a = g.count(0, x.rank - 2)
    return Reshape(x, (*x.shape[:a], x.shape[a] * x.shape[a + 1], *x.shape[a + 2 :])).result


def _unsqueeze(g: RandomGraph) -> Value | None:
    x = g.value()
    if x is None or x.rank > 4:
        return None
    a = g.count(0, x.rank)
    return Reshape(x, (*x.shape[:a], 1, *x.shape[a:])).result


def _transpose(g: RandomGraph) -> Value | None:
    x = g.value()
    return x and Transpose(x, tuple(int(a) for a in g.chance.permutation(x.rank))).result


def _expand(g: RandomGraph) -> Value | None:
    x = g.value()
    return x and Expand(x, tuple(g.count(1, 3) if d == 1 else d for d in x.shape)).result


def _resize(g: RandomGraph) -> Value | None:
    x = g.value(4)
    if x is None:
        return None
    sizes = (*x.shape[:2], x.shape[2] * 2, x.shape[3] + g.count(0, 3))
    scales = tuple(s / d for s, d in zip(sizes, x.shape, strict=True))
    return Resize(x, sizes, scales, str(g.one("nearest", "linear", "cubic")), "half_pixel").result


def _gather(g: RandomGraph) -> Value | None:
    x = g.value()
    if x is None or not x.rank:
        return None
    axis = g.count(0, x.rank - 1)
    return Gather(x, constant(g.chance.integers(-x.shape[axis], x.shape[axis], g.count(1, 4))), axis).result


def _place(g: RandomGraph) -> Value | None:
    x = g.value()
    return (
        x and Cast(ArgReduce(Relu(x).result, "max", x.rank - 1).result, f32).result
        if x is not None and x.rank
        else None
    )


MAKERS: tuple[Maker, ...] = (
    _unary, _unary, _binary, _binary, _with_constant, _conv, _conv, _pool, _matmul, _reduce, _softmax, _concat, _concat,
    _pad, _slice, _reshape, _unsqueeze, _transpose, _expand, _resize, _gather, _place,
)  # fmt: skip


def random_graph(seed: int, ops: int = 9) -> Graph:
    """The random graph of a seed, of about `ops` ops."""
    return RandomGraph(seed, ops).graph


def joined(graphs: list[Graph], name: str = "joined") -> Graph:
    """Several graphs side by side in one."""
    made = Graph(name)
    outputs: list[Value] = []
    for number, graph in enumerate(graphs):
        table = {v: made.input(v.type, f"{number}.{v.name}") for v in graph.inputs}
        for op in graph:
            new: Op = op.with_operands(table.__getitem__)
            made.add(new)
            table.update(zip(op.results, new.results, strict=True))
        outputs += [table[v] for v in graph.outputs]
    made.set_outputs(outputs, [f"{i}.{n}" for i, g in enumerate(graphs) for n in g.output_names])
    return made
