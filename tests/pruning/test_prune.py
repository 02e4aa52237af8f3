"""Pruning with data: patterns hold, the fit helps, the search keeps its bound, the report says what was done."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.errors import BudgetError, UsageError
from edgec.ir import Graph, TensorType, f32
from edgec.ir.ops import Add, Conv, MatMul, Reduce, Relu, constant
from edgec.pruning import Config, Pruned, find_scheme, prune, search
from edgec.pruning.prune import prepare
from edgec.quantization.evaluation import Evaluation
from edgec.quantization.layers import find_layers

Array = np.ndarray
SPARSE = ["0.5", "2:4", "1:4", "4:8"]


def network() -> Graph:
    """[1, 8, 6, 6] to [1, 5]: convolutions with a residual, a mean and a product."""
    rng, graph = np.random.default_rng(0), Graph("network")
    graph.stage = "canonical"
    x = graph.input(TensorType(f32, (1, 8, 6, 6)), "image")

    def weights(*shape: int) -> Array:
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    first = Relu(
        Conv(x, constant(weights(32, 8, 3, 3)), constant(weights(32, 1)[:, 0]), pads=(1, 1, 1, 1)).result
    ).result
    second = Conv(first, constant(weights(32, 32, 1, 1)), constant(weights(32, 1)[:, 0])).result
    mean = Reduce(Relu(Add(first, second).result).result, "mean", (2, 3), False).result
    graph.add(MatMul(mean, constant(weights(5, 32).T.copy())).result.producer)
    graph.set_outputs([graph.ops[-1].result], ["scores"])
    return graph


def samples(count: int = 64, seed: int = 1) -> dict[str, Array]:
    """Images whose channels depend on one another, as those of real networks do."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(9).standard_normal((8, 8)) * np.geomspace(1, 0.1, 8)
    return {"image": np.einsum("nchw,dc->ndhw", rng.standard_normal((count, 8, 6, 6)), mix).astype(np.float32)}


def judge_of(graph: Graph) -> Evaluation:
    """Judges by how near scores are to those of the graph: 1 is the same, 0 as far off as their mean."""
    data = samples(seed=2)
    wanted = np.array([graph.evaluate([image[None]])[0][0] for image in data["image"]])

    def nearness(outputs: Array, labels: Array) -> float:
        return float(1 - np.linalg.norm(outputs - wanted) / np.linalg.norm(wanted - wanted.mean(axis=0)))

    return Evaluation.of(graph, {**data, "labels": np.zeros(len(wanted))}, nearness)


def noise(graph: Graph, made: Pruned) -> float:
    """Signal to noise in decibels on data that was not seen."""
    return Evaluation.of(graph, samples(seed=5)).score(made.graph).sqnr


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.parametrize("refit", [True, False])
def test_patterns_hold_after_the_fit(name: str, refit: bool) -> None:
    scheme = find_scheme(name)
    made = prune(network(), Config(scheme=name, refit=refit), samples())
    for layer in find_layers(made.graph):
        rows = layer.rows(layer.weights)
        if scheme.group:
            assert (np.count_nonzero(rows.reshape(len(rows), -1, scheme.group), axis=-1) <= scheme.kept).all()
        assert np.count_nonzero(rows) <= round((1 - scheme.share) * rows.size)


@pytest.mark.parametrize("name", [*SPARSE, "channels:0.25"])
def test_the_fit_helps(name: str) -> None:
    graph = network()
    plain, fit = (prune(graph, Config(scheme=name, refit=refit), samples()) for refit in (False, True))
    assert noise(graph, fit) > noise(graph, plain) + 3


def test_without_data_weights_stay_as_they_are() -> None:
    graph = network()
    made = prune(graph, "0.5")
    assert not made.report["fitted"]
    for before, after in zip(find_layers(graph), find_layers(made.graph), strict=True):
        kept = after.weights != 0
        np.testing.assert_array_equal(after.weights[kept], before.weights[kept])


def test_the_report_counts() -> None:
    made = prune(network(), Config(scheme="2:4", layers={"conv#2": "channels:0.5", "conv#1": "channels:0.5"}))
    rows = {row["name"]: row for row in made.report["layers"]}
    assert rows["conv#1"]["channels_after"] == 16
    assert rows["conv#2"]["weights_after"] == 16 * 16
    assert rows["conv#2"]["removed"] == 0.75
    assert rows["matmul"]["weights_after"] == 16 * 5 // 2
    assert rows["matmul"]["sparsity"] == 0.5
    assert made.report["weights_after"] == sum(row["weights_after"] for row in rows.values())
    assert rows["conv#1"]["macs_after"] * 2 == rows["conv#1"]["macs_before"]


def test_the_configuration_makes_the_same_again() -> None:
    made = prune(network(), Config(scheme="2:4", layers={"matmul": "dense"}), samples())
    again = prune(network(), Config.parse(made.report["config"]), samples())
    assert str(again.graph) == str(made.graph)


def test_only_canonical_graphs() -> None:
    graph = network()
    graph.stage = "planned"
    with pytest.raises(UsageError, match="only a canonical graph can be pruned"):
        prune(graph, "0.5")


@pytest.mark.parametrize("criterion", ["activation", "curvature"])
def test_a_criterion_that_needs_data(criterion: str) -> None:
    with pytest.raises(UsageError, match=f"criterion '{criterion}' needs calibration data"):
        prune(network(), Config(criterion=criterion))


@pytest.mark.parametrize("criterion", ["magnitude", "activation", "curvature"])
def test_every_criterion_keeps_the_share(criterion: str) -> None:
    made = prune(network(), Config(scheme="0.5", criterion=criterion), samples())
    assert [row["sparsity"] for row in made.report["layers"]] == [0.5, 0.5, 0.5]
    assert all(row["fitted"] for row in made.report["layers"])


def test_inputs_that_are_small_lose_their_weights_first() -> None:
    data = samples()
    data["image"][:, :4] *= 0.01
    made = prune(network(), Config(scheme="0.5", criterion="activation", layers={"conv#2": "dense"}), data)
    (first, *_) = find_layers(made.graph)
    assert np.count_nonzero(first.weights[:, :4]) < 0.2 * np.count_nonzero(first.weights[:, 4:])


def test_small_layers_stay_dense_unless_they_are_named() -> None:
    graph = network()
    few = Config(scheme="1:64")
    assert prepare(graph, few, None).schemes["conv#2"].is_dense
    assert not prepare(graph, Config(scheme="dense", layers={"conv#2": "1:64"}), None).schemes["conv#2"].is_dense


# --- search ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["0.9", "1:8", "channels:0.75"])
def test_a_bound_is_kept(name: str) -> None:
    graph = network()
    judge = judge_of(graph)
    made = search(graph, name, samples(), judge, 0.5)
    assert judge.score(made.graph).metric >= judge.float_metric - 0.5
    assert 0 < made.report["weights_after"] < made.report["weights_before"]
    assert made.report["trials"][0]["drop"] > 0.5
    again = prune(graph, made.config, samples(), executor=judge.executor)
    assert str(again.graph) == str(made.graph)


def test_a_wide_bound_needs_one_trial() -> None:
    graph = network()
    made = search(graph, "0.5", samples(), judge_of(graph), 9.0)
    assert len(made.report["trials"]) == 1
    assert {row["scheme"] for row in made.report["layers"]} == {"magnitude:0.5"}


def test_a_bound_that_cannot_be_kept() -> None:
    graph = network()
    with pytest.raises(BudgetError, match=r"the metric falls by 0\.\d+ at least, 0 is allowed"):
        search(graph, "0.9", None, judge_of(graph), 0.0)


def test_a_search_needs_a_metric() -> None:
    graph = network()
    with pytest.raises(UsageError, match="a bound on accuracy needs a metric"):
        search(graph, "0.5", samples(), Evaluation.of(graph, samples()), 0.1)
