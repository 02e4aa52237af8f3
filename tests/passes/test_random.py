"""Random graphs: whatever the rules make of them, they compute the same and verify after every pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgec.errors import EdgecError
from edgec.ir import Graph, Op, TensorType, Value, f32, i64
from edgec.ir.ops import (
    Abs,
    Add,
    BatchNorm,
    Clip,
    Concat,
    Conv,
    Div,
    Exp,
    Expand,
    Gather,
    MatMul,
    Max,
    Mul,
    Neg,
    Pad,
    Reduce,
    Relu,
    Reshape,
    Sigmoid,
    Slice,
    Softmax,
    Sub,
    Transpose,
    constant,
)
from edgec.passes import PassManager, default_pipeline

Random = np.random.Generator
MAX_ELEMENTS = 4000


def choose(random: Random, options: Any) -> Any:
    return options[random.integers(len(options))]


def halves(random: Random, *shape: int) -> Value:
    """Numbers that are exact in a few bits, ones and zeros among them."""
    return constant(np.round(random.standard_normal(shape) * 2) / 2, f32)


def some_slice(random: Random, x: Value) -> Op:
    starts = [int(random.integers(0, d)) for d in x.shape]
    sizes = [int(random.integers(1, d - s + 1)) for s, d in zip(starts, x.shape, strict=True)]
    return Slice(x, tuple(starts), tuple(sizes))


def some_part(random: Random, x: Value) -> tuple[int, ...]:
    """A shape that broadcasts into that of x."""
    return tuple(d if random.random() < 0.5 else 1 for d in x.shape)[int(random.integers(0, x.rank + 1)) :]


def some_shape(random: Random, x: Value) -> tuple[int, ...]:
    squeezed = tuple(d for d in x.shape if d != 1)
    return tuple(choose(random, [(x.type.size,), (1, x.type.size), (*x.shape, 1), squeezed, (1, *x.shape)]))


def axis(random: Random, x: Value) -> int:
    return int(random.integers(x.rank))


Maker = Callable[[Random, Value, Value], Op]
MAKERS: list[Maker] = [
    lambda r, x, z: Transpose(x, tuple(int(p) for p in r.permutation(x.rank))),
    lambda r, x, z: Reshape(x, some_shape(r, x)),
    lambda r, x, z: some_slice(r, x),
    lambda r, x, z: Pad(x, tuple(int(p) for p in r.integers(0, 2, 2 * x.rank)), choose(r, [0.0, 1.0])),
    lambda r, x, z: Concat((x, z), axis(r, x)),
    lambda r, x, z: Expand(x, (int(r.integers(1, 3)), *x.shape)),
    lambda r, x, z: Gather(x, constant(choose(r, [0, [0, x.shape[0] - 1]]), i64)),
    lambda r, x, z: Reduce(x, choose(r, ["sum", "max", "mean"]), (axis(r, x),), bool(r.random() < 0.5)),
    lambda r, x, z: Softmax(x, axis(r, x)),
    lambda r, x, z: choose(r, [Relu, Exp, Neg, Abs, Sigmoid])(Clip(x, -3.0, 3.0).result),
    lambda r, x, z: choose(r, [Add, Mul, Sub, Max])(x, z),
    lambda r, x, z: choose(r, [Add, Mul, Sub, Max])(x, halves(r, *some_part(r, x))),
    lambda r, x, z: choose(r, [Add, Mul, Sub])(x, constant(choose(r, [0, 1, -1, 2]), f32)),
    lambda r, x, z: Div(x, constant(choose(r, [2, 3, -4]), f32)),
    lambda r, x, z: Mul(x, Sigmoid(x).result),
    lambda r, x, z: MatMul(x, halves(r, x.shape[-1], 3)),
    lambda r, x, z: Conv(x, halves(r, 3, x.shape[1], 1, 1), pads=tuple(int(p) for p in r.integers(0, 2, 4))),
    lambda r, x, z: BatchNorm(x, *(constant(r.integers(1, 4, x.shape[1]), f32) for _ in range(4))),
]


def random_graph(seed: int) -> Graph:
    """A graph of a dozen ops; makers that do not fit the shapes are passed over."""
    random = np.random.default_rng(seed)
    graph = Graph("random")
    shape = tuple(int(d) for d in random.choice([1, 1, 2, 3, 4], 4))
    values = [graph.input(TensorType(f32, shape), name) for name in ("x", "z")]
    for _ in range(14):
        x = values[-1] if random.random() < 0.7 else choose(random, values)
        partner = choose(random, [v for v in values if v.shape == x.shape])
        try:
            op = choose(random, MAKERS)(random, x, partner)
        except (EdgecError, ValueError, IndexError):
            continue
        if op.type.size <= MAX_ELEMENTS:
            values.append(graph.add(op))
    graph.set_outputs([values[-1], choose(random, values)], ["a", "b"])
    return graph


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_random_graphs_keep_what_they_compute(start: int) -> None:
    passes = default_pipeline()
    passes = passes[: [p.name for p in passes].index("lower-pads")]
    for seed in range(start, start + 50):
        with np.errstate(all="ignore"):
            PassManager(passes, verify=True, numeric=True, check_modified=True).run(random_graph(seed))
