"""Which layers stay in float because integers would be slower: a made-up target, chains, what is fixed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest

from edgec.ir import Graph, Op, TensorType, Value, f32
from edgec.ir.ops import Conv, MatMul, Pool, Relu, Softmax, constant
from edgec.kernels import costs
from edgec.kernels.costs import FACTORS, Conversion, Pair, Shape, contraction_cost
from edgec.kernels.table_i8 import INTEGER_ISAS
from edgec.passes.veto import contraction, slower_in_integers
from edgec.targets import get_target, target_names

EVEN = dict.fromkeys(("dense", "pointwise", "first", "matmul", "vector"), Pair(1.0, 1.0)) | {"depthwise": Pair(1, 3)}
TARGET = get_target("x86-64-v3")
ENDS = ("layer0", "layer3")


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Pair]:
    """x86-64-v3, but every estimate is right, except that depthwise integers take thrice as long as floats."""
    monkeypatch.setitem(costs.FACTORS, ("avx2", ""), EVEN)
    return MappingProxyType(EVEN)


def converting(monkeypatch: pytest.MonkeyPatch, cycles: float) -> None:
    monkeypatch.setitem(costs.CONVERSIONS, "avx2", Conversion(cycles, cycles, Pair(1.0, 0.25)))


def network(edge: int = 14) -> Graph:
    """A wide 1x1 convolution, two depthwise ones with pooling and relu between, a wide 1x1 convolution."""
    graph = Graph("chain")
    graph.stage = "canonical"
    x = graph.input(TensorType(f32, (1, 64, edge, edge)), "image")
    first = Relu(conv(x, 64, 1)).result
    second = Relu(conv(first, 64, 3, groups=64)).result
    pooled = Pool(second, "max", (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)).result
    third = conv(pooled, 64, 3, groups=64)
    last = conv(Relu(third).result, 256, 1)
    graph.add(last.producer)
    graph.set_outputs([last], ["scores"])
    return graph


def conv(x: Value, out: int, kernel: int, groups: int = 1) -> Value:
    w = constant(np.zeros((out, x.shape[1] // groups, kernel, kernel), np.float32))
    return Conv(x, w, pads=(kernel // 2,) * 4, groups=groups).result


def layers_of(graph: Graph) -> dict[str, Op]:
    found = [op for op in graph if isinstance(op, Conv | MatMul)]
    return {f"layer{place}": op for place, op in enumerate(found)}


def vetoed(graph: Graph, fixed: tuple[str, ...] = ()) -> dict[str, str]:
    return slower_in_integers(graph, TARGET, layers_of(graph), fixed)


@pytest.mark.usefixtures("made_up")
def test_what_integers_make_slower_stays_in_float(monkeypatch: pytest.MonkeyPatch) -> None:
    converting(monkeypatch, 0.01)
    found = vetoed(network())
    assert list(found) == ["layer1", "layer2"]
    assert set(found.values()) == {"float: integers would take 3.00 times as long on this target"}


@pytest.mark.usefixtures("made_up")
def test_nothing_does_where_conversions_cost_more(monkeypatch: pytest.MonkeyPatch) -> None:
    converting(monkeypatch, 50)
    assert vetoed(network(), ENDS) == {}


@pytest.mark.usefixtures("made_up")
def test_a_chain_shares_its_conversions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each saves 9 taps of an eighth of 3 - 1.1 cycles, 2.1 an element; pooling floats loses 0.85 of both together."""
    converting(monkeypatch, 1.4)
    graph = network()
    assert list(vetoed(graph, ENDS)) == ["layer1", "layer2"]
    assert vetoed(graph, (*ENDS, "layer1")) == {}


@pytest.mark.usefixtures("made_up")
def test_what_is_fixed_stays_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    converting(monkeypatch, 0.01)
    assert list(vetoed(network(), ("layer1",))) == ["layer2"]


@pytest.mark.usefixtures("made_up")
def test_a_layer_goes_with_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small product between a depthwise convolution and an output in float."""
    converting(monkeypatch, 4)
    graph = Graph("ends")
    graph.stage = "canonical"
    x = graph.input(TensorType(f32, (1, 64, 14, 14)), "image")
    scores = conv(conv(x, 64, 5, groups=64), 4, 1)
    graph.add(Softmax(scores, 1))
    graph.set_outputs([graph.ops[-1].results[0]], ["scores"])
    monkeypatch.setitem(costs.FACTORS, ("avx2", ""), EVEN | {"pointwise": Pair(1.0, 0.9)})
    found = vetoed(graph)
    assert list(found) == ["layer0", "layer1"]
    assert found["layer1"] == (
        "float: the layers around it are faster in float, and conversions would cost more than integers save"
    )


def test_layers_that_are_not_asked_about_are_float() -> None:
    graph = network()
    layers = layers_of(graph)
    some = {"layer1": layers["layer1"]}
    assert list(slower_in_integers(graph, TARGET, some)) == ["layer1"]


def test_a_graph_without_layers_has_none() -> None:
    graph = Graph("empty")
    graph.stage = "canonical"
    x = graph.input(TensorType(f32, (1, 4)), "x")
    graph.add(Relu(x))
    graph.set_outputs([graph.ops[-1].results[0]], ["y"])
    assert slower_in_integers(graph, TARGET, {}) == {}


@pytest.mark.parametrize("target", target_names())
def test_every_target_has_costs(target: str) -> None:
    row = get_target(target)
    for kind in (Shape(8, 8, 16, 16, 9), Shape(1, 1, 10, 64, product=True), Shape(8, 8, 1, 1, 9, 16, depthwise=True)):
        cost = contraction_cost(kind, row.isa, row.features, row.registers)
        assert cost.floats > 0
        assert 0.05 < cost.ratio < 5


def test_factors_stand_for_each_row_of_integers() -> None:
    assert set(FACTORS) == {(row.name, row.feature) for row in INTEGER_ISAS}


@pytest.mark.parametrize(
    ("kernel", "channels", "groups", "expected"),
    [
        (1, 64, 1, Shape(1, 196, 64, 64)),
        (3, 64, 1, Shape(14, 14, 64, 64, 9, merged=3)),
        (3, 64, 64, Shape(14, 14, 1, 1, 9, 64, True)),
        (3, 64, 4, Shape(14, 14, 16, 16, 9, 4)),
        (3, 3, 1, Shape(14, 14, 64, 3, 9, merged=3)),
    ],
)
def test_the_shape_of_a_convolution(kernel: int, channels: int, groups: int, expected: Shape) -> None:
    x = Value(TensorType(f32, (1, channels, 14, 14)))
    assert contraction(conv(x, 64, kernel, groups).producer) == expected


def test_bytes_are_multiplied_in_fours() -> None:
    shapes = [Shape(1, 1, 8, 3, 9, merged=3), Shape(1, 1, 8, 3, 9), Shape(1, 1, 8, 1, 40, merged=4), Shape(1, 1, 8, 64)]
    assert [shape.fours for shape in shapes] == [36, 36, 40, 64]


def test_kinds() -> None:
    shapes = [Shape(14, 14, 64, 3, 9), Shape(1, 196, 8, 8), Shape(14, 14, 8, 8, 9), Shape(1, 1, 8, 8, product=True)]
    assert [shape.kind for shape in shapes] == ["first", "pointwise", "dense", "vector"]
