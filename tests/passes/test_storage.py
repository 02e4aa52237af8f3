"""Where values live: what must lie in place does, and nothing is overwritten while somebody still wants it."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir import CHANNELS_LAST, Graph, TensorType, Value, f32, verify
from edgec.ir.ops import (
    Add,
    Concat,
    Conv,
    Expand,
    MatMul,
    Pad,
    Reduce,
    Relu,
    Reshape,
    Sigmoid,
    Slice,
    Softmax,
    Tanh,
    Transpose,
    constant,
)
from edgec.passes import PassManager, default_pipeline
from edgec.passes.numeric import worst_difference
from edgec.passes.places import ARENA, OUTPUT, reshape_strides
from edgec.passes.plan import MemoryPlan
from edgec.targets import get_target

from ..random_graphs import random_graph
from ..samples import inputs_of
from .memory import copies, run

SEEDS = range(300)


def planned(graph: Graph, fusion: str = "greedy") -> Graph:
    passes = default_pipeline(get_target("x86-64"), "c", {"fuse": {"strategy": fusion}})
    made = PassManager(passes, verify=True).run(graph)
    assert made.stage == "planned"
    return made


def plan_of(graph: Graph) -> MemoryPlan:
    plan: MemoryPlan = graph.metadata["plan"]
    return plan


def image(graph: Graph, channels: int = 4, size: int = 8) -> Value:
    return graph.input(TensorType(f32, (1, channels, size, size)), f"x{len(graph.inputs)}")


def conv(x: Value, channels: int, size: int = 1, pad: int = 0) -> Value:
    weight = np.random.default_rng(channels).standard_normal((channels, x.shape[1], size, size)).astype(np.float32)
    return Conv(x, constant(weight), None, (1, 1), (pad,) * 4).result


# --- nothing moves that need not ----------------------------------------------------------------------------------


def test_convolutions_write_into_their_part_of_a_concatenation() -> None:
    graph = Graph()
    x = image(graph)
    y = graph.add(Concat((Relu(conv(x, 8)).result, conv(x, 4)), 1))
    graph.set_outputs([graph.add(conv(y, 8).producer)], ["y"])  # type: ignore[arg-type]
    made = planned(graph)
    assert "concat" not in copies(made)
    (whole,) = (op for op in made if op.name == "concat")
    assert {plan_of(made).place(v).buffer for v in whole.operands} == {plan_of(made).place(whole.results[0]).buffer}


def test_a_convolution_writes_inside_the_border_of_the_next() -> None:
    graph = Graph()
    y = Relu(conv(image(graph), 8, 3, 1)).result
    graph.set_outputs([graph.add(conv(y, 8, 3, 1).producer)], ["y"])  # type: ignore[arg-type]
    made = planned(graph)
    assert "pad" not in copies(made)


def test_a_value_with_two_borders_is_copied_once() -> None:
    graph = Graph()
    y = Relu(conv(image(graph), 8)).result
    outputs = [graph.add(conv(y, 8, 3, 1).producer), graph.add(conv(y, 8, 5, 2).producer)]  # type: ignore[arg-type]
    graph.set_outputs(outputs, ["a", "b"])
    assert copies(planned(graph)).count("pad") == 1


def test_a_transposed_output_moves_once() -> None:
    graph = Graph()
    x = graph.input(TensorType(f32, (6, 4)), "x")
    y = Transpose(Reshape(Tanh(x).result, (2, 3, 4)).result, (1, 0, 2)).result
    graph.set_outputs([graph.add(y.producer)], ["y"])  # type: ignore[arg-type]
    made = planned(graph)
    assert copies(made) == ["relayout"], "only what stands in another order moves"


def test_an_output_is_written_in_place_through_a_reshape() -> None:
    graph = Graph()
    x = graph.input(TensorType(f32, (6, 4)), "x")
    graph.set_outputs([graph.add(Reshape(Tanh(x).result, (2, 3, 4)))], ["y"])
    made = planned(graph)
    assert copies(made) == []
    assert not plan_of(made).buffers()


def test_a_concatenation_is_an_output_without_copies() -> None:
    graph = Graph()
    x = graph.input(TensorType(f32, (3, 4)), "x")
    graph.set_outputs([graph.add(Concat((Tanh(x).result, Sigmoid(x).result), 0))], ["y"])
    made = planned(graph)
    assert copies(made) == []
    assert {plan_of(made).place(v).buffer.kind for op in made for v in op.results} == {OUTPUT}


def test_views_of_what_is_kept_cost_nothing() -> None:
    graph = Graph()
    x = graph.input(TensorType(f32, (4, 6)), "x")
    y = Softmax(x).result
    part = Slice(y, (1, 3), (2, 2), (2, -2)).result
    other = Transpose(Slice(y, (0, 0), (3, 6)).result, (1, 0)).result
    graph.set_outputs([graph.add(Tanh(part)), graph.add(Reduce(other, "sum", (1,)))], ["a", "b"])
    assert copies(planned(graph)) == []


def test_an_elementwise_result_takes_over_what_dies() -> None:
    graph = Graph()
    x = graph.input(TensorType(f32, (64, 64)), "x")
    y = Softmax(x).result
    for _ in range(3):
        y = Softmax(Tanh(y).result).result
    graph.set_outputs([graph.add(y.producer)], ["y"])  # type: ignore[arg-type]
    made = planned(graph, "none")
    assert plan_of(made).arena_bytes <= 2 * 64 * 64 * 4 + 1024


# --- what must move does ------------------------------------------------------------------------------------------


def test_an_input_that_is_an_output_is_copied() -> None:
    graph = Graph()
    x = graph.input(TensorType(f32, (2, 3)), "x")
    graph.set_outputs([x, graph.add(Relu(x)), x], ["a", "b", "c"])
    made = planned(graph)
    array = np.arange(-3, 3, dtype=np.float32).reshape(2, 3)
    assert worst_difference([array, np.maximum(array, 0), array], run(made, [array])) is None


def test_a_view_of_a_view_that_moves_does_not_move() -> None:
    graph = Graph()
    keys = graph.add(Relu(graph.input(TensorType(f32, (1, 4, 6, 8)), "x")))
    shared = Expand(Reshape(keys, (1, 4, 1, 6, 8)).result, (1, 4, 2, 6, 8)).result  # by two heads each
    heads = Reshape(shared, (1, 8, 6, 8)).result
    graph.set_outputs([keys, graph.add(MatMul(heads, constant(np.ones((8, 3), np.float32))))], ["keys", "y"])
    made = planned(graph)
    assert copies(made) == ["expand"]


def test_a_value_in_a_concatenation_twice_is_copied() -> None:
    graph = Graph()
    x = graph.input(TensorType(f32, (2, 3)), "x")
    y = Tanh(x).result
    graph.set_outputs([graph.add(Concat((y, y), 0)), y], ["two", "one"])
    check(graph)


def test_values_shared_by_assemblies_keep_their_numbers() -> None:
    graph = Graph()
    x = image(graph)
    y = Relu(conv(x, 4)).result
    both = Concat((y, Sigmoid(y).result), 1).result
    padded = Pad(y, (0, 0, 1, 1, 0, 0, 1, 1), 3.0).result
    graph.set_outputs([graph.add(Add(both, both)), graph.add(Relu(padded)), y], ["a", "b", "c"])
    check(graph)


# --- by brute force -----------------------------------------------------------------------------------------------


def check(graph: Graph, fusion: str = "greedy") -> None:
    inputs = inputs_of(graph)
    expected = graph.evaluate(inputs)
    made = planned(graph, fusion)
    difference = worst_difference(expected, run(made, inputs))
    assert difference is None, f"{difference}\n{made}"


@pytest.mark.parametrize("fusion", ["none", "greedy"])
def test_random_graphs_in_simulated_memory(fusion: str) -> None:
    for seed in SEEDS:
        print("seed", seed)
        check(random_graph(seed), fusion)


@pytest.mark.parametrize("seed", range(4))
def test_larger_random_graphs_in_simulated_memory(seed: int) -> None:
    check(random_graph(1000 + seed, 60))


def test_no_two_living_buffers_share_bytes() -> None:
    for seed in range(60):
        buffers = plan_of(planned(random_graph(seed, 20))).buffers()
        for i, a in enumerate(buffers):
            for b in buffers[:i]:
                apart = a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset
                assert apart or a.last < b.first or b.last < a.first, seed


def test_every_buffer_lies_in_the_arena() -> None:
    for seed in range(60):
        plan = plan_of(planned(random_graph(seed, 20)))
        assert all(0 <= b.offset <= plan.arena_bytes - b.bytes and b.offset % 64 == 0 for b in plan.buffers())
        assert all(b.kind == ARENA for b in plan.buffers())


# --- strides ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "strides", "new", "found"),
    [
        ((2, 3, 4), (12, 4, 1), (6, 4), (4, 1)),
        ((2, 3, 4), (24, 4, 1), (6, 4), None),
        ((2, 3, 4), (24, 4, 1), (2, 12), (24, 1)),
        ((6, 4), (8, 1), (2, 3, 4), (24, 8, 1)),
        ((4, 6), (1, 4), (4, 6, 1), (1, 4, 4)),
        ((1, 5), (77, 2), (5,), (2,)),
        ((4, 6), (1, 4), (24,), None),
    ],
)
def test_reshapes_of_strided_tensors(
    shape: tuple[int, ...], strides: tuple[int, ...], new: tuple[int, ...], found: tuple[int, ...] | None
) -> None:
    assert reshape_strides(shape, strides, new) == found


def test_layouts_are_verified_after_every_pass() -> None:
    made = planned(random_graph(5, 20))
    verify(made)
    assert any(v.type.order == CHANNELS_LAST for v in made.values)
