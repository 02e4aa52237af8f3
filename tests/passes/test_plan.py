"""Order and plan: facts about graphs that are easy to reckon by hand."""

from __future__ import annotations

import numpy as np

from edgec.ir import Graph, TensorType, Value, f32, verify
from edgec.ir.ops import Add, Concat, Reduce, Relu, Sigmoid, Tanh
from edgec.passes.numeric import worst_difference
from edgec.passes.order import OrderOps, _peak
from edgec.passes.places import ARENA, INPUT, OUTPUT
from edgec.passes.plan import MemoryPlan, Plan

from ..random_graphs import random_graph
from ..samples import inputs_of

ROW = 64 * 4


def row(graph: Graph) -> Value:
    return graph.input(TensorType(f32, (64,)), f"x{len(graph.inputs)}")


def planned(graph: Graph) -> MemoryPlan:
    graph.stage = "fused"
    plan: MemoryPlan = Plan().run(graph).metadata["plan"]
    return plan


def test_a_network_without_values_of_its_own_needs_the_least_arena() -> None:
    graph = Graph("g")
    graph.set_outputs([graph.add(Relu(row(graph)))], ["y"])
    plan = planned(graph)
    assert plan.arena_bytes == plan.lower_bound == 64
    assert plan.buffers() == []
    assert [plan.place(v).buffer.kind for v in graph.values] == [INPUT, OUTPUT]
    assert graph.stage == "planned"


def test_a_chain_lives_in_one_buffer() -> None:
    graph = Graph("g")
    value = row(graph)
    for _ in range(6):
        value = graph.add(Tanh(value))
    graph.set_outputs([graph.add(Reduce(value, "sum", (0,)))], ["y"])
    plan = planned(graph)
    assert plan.arena_bytes == ROW
    assert len({plan.place(v).buffer for v in graph.values if v.producer and v.producer.name == "tanh"}) == 1


def test_what_is_read_again_is_not_taken_over() -> None:
    graph = Graph("g")
    first = graph.add(Tanh(row(graph)))
    second = graph.add(Sigmoid(first))
    graph.set_outputs([graph.add(Reduce(graph.add(Add(first, second)), "sum", (0,)))], ["y"])
    plan = planned(graph)
    assert plan.place(first).buffer is not plan.place(second).buffer
    assert plan.arena_bytes == 2 * ROW


def test_outputs_live_until_the_end() -> None:
    graph = Graph("g")
    x = row(graph)
    y = graph.add(Tanh(x))
    graph.set_outputs([y, graph.add(Sigmoid(y))], ["a", "b"])
    plan = planned(graph)
    assert [plan.place(v).buffer.last for v in graph.outputs] == [2, 2]
    assert not plan.buffers()


def test_parts_of_a_concatenation_live_in_it() -> None:
    graph = Graph("g")
    x = row(graph)
    parts = [graph.add(kind(x)) for kind in (Tanh, Sigmoid, Relu)]
    whole = graph.add(Concat(tuple(parts), 0))
    graph.set_outputs([graph.add(Reduce(whole, "sum", (0,)))], ["y"])
    plan = planned(graph)
    assert [plan.place(v).offset for v in parts] == [0, 64, 128]
    assert {plan.place(v).buffer for v in parts} == {plan.place(whole).buffer}
    assert (plan.place(whole).buffer.first, plan.peak_step()) == (0, 0)
    assert plan.arena_bytes == 3 * ROW


def test_the_arena_is_named_by_what_the_model_calls_its_values() -> None:
    graph = Graph("g")
    value = graph.add(Tanh(row(graph)))
    value.name = "hidden"
    graph.set_outputs([graph.add(Reduce(value, "sum", (0,)))], ["y"])
    plan = planned(graph)
    (buffer,) = plan.buffers()
    assert (list(plan.names(buffer)), buffer.kind) == (["hidden"], ARENA)


def test_order_is_never_worse_and_always_legal() -> None:
    for seed in range(40):
        graph = random_graph(seed, 25)
        inputs = inputs_of(graph)
        before, expected = _peak(graph, graph.ops), graph.evaluate(inputs)
        OrderOps().run(graph)
        verify(graph)
        assert _peak(graph, graph.ops) <= before
        assert worst_difference(expected, graph.evaluate(inputs)) is None


def test_order_keeps_all_ops() -> None:
    graph = random_graph(8, 25)
    before = set(graph)
    assert set(OrderOps().run(graph)) == before
    assert np.isfinite(_peak(graph, graph.ops))
