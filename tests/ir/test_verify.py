"""The verifier: what is legal where, counts of readers, order, types."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.errors import ModelError
from edgec.ir import REGISTRY, Graph, TensorType, f32, verify
from edgec.ir.ops import Add, Fused, Neg, Relayout, Relu, Softmax, constant
from edgec.ir.verify import COMPOSITE, STAGES

from ..samples import graph_of, samples_of, with_weights


def relu_of_neg() -> Graph:
    graph = Graph("g")
    x = graph.input(TensorType(f32, (2, 3)), "x")
    graph.set_outputs([graph.add(Relu(Neg(x).result))], ["y"])
    return graph


def refused(graph: Graph) -> str:
    with pytest.raises(ModelError) as error:
        verify(graph)
    return str(error.value)


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_its_operators(stage: str) -> None:
    for name in sorted(COMPOSITE | {"relayout"}):
        graph = graph_of([(name, with_weights(samples_of(name)[0]))])
        graph.stage = stage
        if name in STAGES[stage]:
            assert refused(graph).startswith(f"error: {name} is not legal in stage '{stage}'\n  at {name}(")
        else:
            verify(graph)


def test_stages_only_name_operators_that_exist() -> None:
    assert all(ops <= set(REGISTRY) for ops in STAGES.values())
    assert list(STAGES) == ["imported", "canonical", "lowered", "fused", "planned"]


def test_an_unknown_stage_is_named() -> None:
    graph = relu_of_neg()
    graph.stage = "baked"
    assert refused(graph) == (
        "error: unknown stage 'baked'\n  hint: stages: imported, canonical, lowered, fused, planned"
    )


def test_an_operand_must_come_first() -> None:
    graph = relu_of_neg()
    graph.reorder(graph.ops[::-1])
    assert refused(graph) == "error: relu reads a value before it is computed\n  at relu(f32[2,3])"


def test_an_operand_from_nowhere() -> None:
    graph = relu_of_neg()
    graph.add(Relu(Graph("other").input(TensorType(f32, (1,)), "z")))
    assert "relu reads a value before it is computed" in refused(graph)


def test_an_output_from_nowhere() -> None:
    graph = relu_of_neg()
    graph.set_outputs([Neg(graph.inputs[0]).result], ["y"])
    assert refused(graph) == "error: an output of the graph is not computed by it"


def test_readers_are_counted() -> None:
    graph = relu_of_neg()
    neg = graph.ops[0]
    neg.result.users[graph.ops[1]] += 1
    assert refused(graph) == "error: a value has 1 readers but 2 are recorded\n  at neg(f32[2,3])"


def test_readers_of_inputs_are_counted() -> None:
    graph = relu_of_neg()
    graph.inputs[0].users.clear()
    assert refused(graph) == "error: a value has 1 readers but 0 are recorded\n  at an input"


def test_operands_must_not_be_swapped_behind_the_graph() -> None:
    graph = relu_of_neg()
    graph.ops[1].swap_operands(lambda _: graph.inputs[0])
    assert "readers" in refused(graph)


def test_types_must_follow_from_operands() -> None:
    graph = relu_of_neg()
    graph.ops[0].result.type = TensorType(f32, (3, 2))
    assert refused(graph) == "error: neg has type f32[3,2], its operands give f32[2,3]\n  at neg(f32[2,3])"


def test_physical_orders_must_be_permutations() -> None:
    graph = relu_of_neg()
    graph.ops[0].result.type = TensorType(f32, (2, 3), (1, 1))
    assert "has an impossible physical order" in refused(graph)


def test_bodies_of_regions_are_verified() -> None:
    graph = Graph("g")
    x = graph.input(TensorType(f32, (2, 3)), "x")
    body = Graph("region")
    inner = body.input(x.type, "x")
    body.set_outputs([body.add(Softmax(inner))], ["y"])
    body.stage = "lowered"
    graph.set_outputs([graph.add(Fused((x,), body))], ["y"])
    graph.stage = "fused"
    assert "softmax is not legal in stage 'lowered'" in refused(graph)


def test_relayouts_need_a_stage_with_layouts() -> None:
    graph = Graph("g")
    x = graph.input(TensorType(f32, (2, 3)), "x")
    graph.set_outputs([graph.add(Add(Relayout(x, (1, 0)).result, constant(np.zeros((2, 3), np.float32))))], ["y"])
    assert "relayout is not legal in stage 'imported'" in refused(graph)
    graph.stage = "lowered"
    verify(graph)
