"""What no kernel serves is refused by name, before any C is written; it never becomes wrong numbers or a traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgec import driver
from edgec.errors import Unsupported
from edgec.ir import Graph, TensorType, f32, verify
from edgec.ir.ops import Conv, MatMul, Pool, Recurrent, Relu, constant
from edgec.ir.types import DType, bf16, f16, f64, i4, i32

from ...samples import reference
from .harness import outputs


def network(kind: DType, make: Callable[..., Any], *shapes: tuple[int, ...]) -> Graph:
    graph = Graph("g")
    operands = [graph.input(TensorType(kind, shape), f"x{i}") for i, shape in enumerate(shapes)]
    graph.set_outputs([graph.add(make(*operands))], ["y"])
    verify(graph)
    return graph


def conv(kind: DType) -> Graph:
    return network(kind, lambda x: Conv(x, constant(np.ones((3, 2, 3, 3)), kind)), (1, 2, 5, 5))


def computed_weight(kind: DType) -> Graph:
    return network(kind, Conv, (1, 2, 5, 5), (3, 2, 3, 3))


def product(kind: DType) -> Graph:
    return network(kind, MatMul, (4, 5), (5, 3))


def pool(kind: DType) -> Graph:
    return network(kind, lambda x: Pool(x, "max", (2, 2), (1, 1), (0,) * 4, (1, 1)), (1, 2, 5, 5))


def relu(kind: DType) -> Graph:
    return network(kind, Relu, (4, 5))


def empty(kind: DType) -> Graph:
    return network(kind, Relu, (0, 5))


def layer(kind: DType) -> Graph:
    return network(kind, lambda x, w: Recurrent(x, w, cell="rnn", activations=("tanh",)), (2, 1, 3), (3, 3))


CASES: list[tuple[Callable[[DType], Graph], DType]] = [
    *((make, kind) for make in (conv, product, pool) for kind in (f32, f64, f16, bf16, i32)),
    *((relu, kind) for kind in (f32, f64, f16, i4, i32)),
    *((computed_weight, kind) for kind in (f32, f64, i32)),
    *((layer, kind) for kind in (f32, f64)),
    (empty, f32),
]
REFUSED = {(layer, f64)}


@pytest.mark.parametrize(("make", "kind"), CASES, ids=lambda p: getattr(p, "__name__", str(p)))
def test_serves_or_refuses(make: Callable[[DType], Graph], kind: DType) -> None:
    wanted = reference(make(kind))
    try:
        artifact = driver.compile(wanted.graph, "host", selftest=False)
    except Unsupported:
        assert (make, kind) in REFUSED
        return
    assert (make, kind) not in REFUSED
    assert wanted.faults(outputs(artifact, wanted.inputs)) == []
