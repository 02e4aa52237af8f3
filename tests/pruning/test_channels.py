"""Channels that are removed: the smaller network computes what the old one does with zeros in their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgec.errors import UsageError
from edgec.ir import Graph, TensorType, Value, f32
from edgec.ir.ops import Add, Concat, Conv, MatMul, Mul, Pool, Reduce, Relu, Reshape, Sigmoid, Softmax, constant
from edgec.ir.verify import verify
from edgec.pruning import Config, find_scheme, prune
from edgec.pruning.channels import staying
from edgec.pruning.prune import prepare
from edgec.quantization.layers import find_layers

Array = np.ndarray


class Builder:
    """Convolutions with random weights, named one after the other."""

    def __init__(self) -> None:
        self.rng, self.graph = np.random.default_rng(0), Graph("network")
        self.graph.stage = "canonical"

    def conv(self, x: Value, out: int, kernel: int = 1, groups: int = 1, bias: bool = True) -> Value:
        w = self.rng.standard_normal((out, x.shape[1] // groups, kernel, kernel)).astype(np.float32)
        b = constant(self.rng.standard_normal(out).astype(np.float32)) if bias else None
        return Conv(x, constant(w), b, pads=(kernel // 2,) * 4, groups=groups).result

    def finish(self, *values: Value) -> Graph:
        for value in values:
            self.graph.add(value.producer)
        self.graph.set_outputs(list(values), [f"y{i}" for i in range(len(values))])
        return self.graph

    def image(self, channels: int = 3) -> Value:
        return self.graph.input(TensorType(f32, (1, channels, 6, 6)), "image")


def residual() -> Graph:
    """Two tied convolutions with a depthwise one between, a squeeze and excitation, a classifier."""
    made = Builder()
    first = Relu(made.conv(made.image(), 16, 3)).result
    deep = Relu(made.conv(first, 16, 3, groups=16)).result
    total = Add(made.conv(deep, 16), first).result
    squeezed = Reduce(total, "mean", (2, 3)).result
    gate = Sigmoid(made.conv(Relu(made.conv(squeezed, 8)).result, 16)).result
    gated = Mul(total, gate).result
    pooled = Reshape(Pool(gated, "max", (6, 6), (6, 6), (0, 0, 0, 0), (1, 1)).result, (1, 16)).result
    return made.finish(MatMul(pooled, constant(made.rng.standard_normal((16, 5)).astype(np.float32))).result)


def joined() -> Graph:
    """Concatenated branches, of which one is scaled by a constant for each channel."""
    made = Builder()
    x = made.image()
    left, right = Relu(made.conv(x, 8)).result, made.conv(x, 12, 3, bias=False)
    scaled = Mul(right, constant(made.rng.random((1, 12, 1, 1)).astype(np.float32))).result
    return made.finish(made.conv(Concat((left, scaled), 1).result, 4))


def flattened() -> Graph:
    """A reshape that mixes channels with positions: nothing before it may go."""
    made = Builder()
    hidden = made.conv(made.conv(made.image(), 8), 8)
    flat = Reshape(hidden, (1, 288)).result
    return made.finish(MatMul(flat, constant(made.rng.standard_normal((288, 5)).astype(np.float32))).result)


def matrices() -> Graph:
    """Matrix products in a row, with a softmax over channels on the way."""
    made = Builder()
    x = made.graph.input(TensorType(f32, (1, 7, 10)), "x")

    def product(x: Value, out: int) -> Value:
        return MatMul(x, constant(made.rng.standard_normal((x.shape[-1], out)).astype(np.float32))).result

    hidden = Relu(Add(product(x, 16), constant(made.rng.standard_normal(16).astype(np.float32))).result).result
    return made.finish(product(Softmax(product(hidden, 12), -1).result, 4))


NETWORKS = {"residual": residual, "joined": joined, "flattened": flattened, "matrices": matrices}


def outputs(graph: Graph) -> list[Array]:
    (x,) = graph.inputs
    return graph.evaluate([np.random.default_rng(3).standard_normal(x.shape).astype(np.float32)])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("scheme", ["channels:0.25", "channels:0.5", "channels:0.9"])
def test_removal_is_the_same_as_zeros(name: str, scheme: str) -> None:
    graph = NETWORKS[name]()
    bench = prepare(graph, Config(scheme=scheme, multiple=1), None)
    smaller, zeros = bench.pruned(bench.schemes), bench.masked(bench.schemes)
    verify(smaller)
    for one, other in zip(outputs(smaller), outputs(zeros), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def shapes(graph: Graph) -> list[tuple[int, ...]]:
    return [layer.w.shape for layer in find_layers(graph)]


def test_tied_channels_go_together() -> None:
    made = prune(residual(), "channels:0.25").graph
    assert shapes(made) == [
        (12, 3, 3, 3), (12, 1, 3, 3), (12, 12, 1, 1), (8, 12, 1, 1), (12, 8, 1, 1), (12, 5),
    ]  # fmt: skip
    assert [op.groups for op in made if op.name == "conv"] == [1, 12, 1, 1, 1]


def test_concatenated_channels_keep_their_places() -> None:
    made = prune(joined(), Config(scheme="channels:0.5", multiple=2)).graph
    assert shapes(made) == [(4, 3, 1, 1), (6, 3, 3, 3), (4, 10, 1, 1)]


def test_removal_stops_where_channels_are_mixed() -> None:
    made = prune(flattened(), "channels:0.5")
    assert shapes(made.graph) == [(4, 3, 1, 1), (8, 4, 1, 1), (288, 5)]
    reasons = [row["kept_because"] for row in made.report["layers"]]
    assert reasons == ["", "a reshape that mixes channels with positions", "an output of the network"]


def test_a_softmax_keeps_its_channels() -> None:
    assert shapes(prune(matrices(), "channels:0.5").graph) == [(10, 8), (8, 12), (12, 4)]


def test_the_channels_that_count_least_go() -> None:
    made = Builder()
    hidden = made.conv(made.image(), 8)
    graph = made.finish(made.conv(hidden, 4))
    first, second = find_layers(graph)
    weak = second.weights.copy()
    weak[:, [1, 4]] *= 1e-3
    second.op.w.producer.value = weak
    kept = find_layers(prune(graph, Config(scheme="channels:0.25", multiple=1)).graph)[0].weights
    np.testing.assert_array_equal(kept, np.delete(first.weights, [1, 4], axis=0))


def test_the_graph_that_is_given_stays(tmp_path: Path) -> None:
    graph = residual()
    before = str(graph)
    prune(graph, "channels:0.5")
    assert str(graph) == before


@pytest.mark.parametrize(
    ("layers", "what"),
    [
        (
            {"conv#1": "channels:0.5", "conv#3": "channels:0.25"},
            "layers whose channels are tied have different schemes",
        ),
        ({"matmul": "channels:0.5"}, "the channels of layer 'matmul' cannot be removed"),
        ({"conv#1": "channels:0.5", "conv#3": "dense"}, "layers whose channels are tied have different schemes"),
    ],
)
def test_what_ties_forbid(layers: dict[str, str], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        prune(residual(), Config(scheme="dense", layers=layers))


def test_one_of_tied_layers_speaks_for_all() -> None:
    made = prune(residual(), Config(scheme="dense", layers={"conv#3": "channels:0.5"}))
    assert {row["name"]: row["scheme"] for row in made.report["layers"]}["conv#1"] == "channels:0.5"
    assert shapes(made.graph)[0] == (8, 3, 3, 3)


@pytest.mark.parametrize(
    ("count", "share", "multiple", "left"),
    [
        (16, 0.25, 4, 12),
        (16, 0.3, 4, 12),
        (16, 0.5, 8, 8),
        (6, 0.5, 4, 3),
        (1, 0.9, 4, 1),
        (10, 0.99, 4, 4),
        (9, 0.1, 1, 9),
    ],
)
def test_how_many_stay(count: int, share: float, multiple: int, left: int) -> None:
    assert staying(count, share, multiple) == left
    assert find_scheme(f"channels:{share}").share == share
