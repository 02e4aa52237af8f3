"""Inputs and outputs in one buffer: nothing is overwritten while somebody reads it, and what grows stays in place."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edgec.errors import UsageError
from edgec.ir import Graph, Symbol, TensorType, Value, f32, i64
from edgec.ir.aliases import aliases_of, declare_aliases
from edgec.ir.dims import symbol
from edgec.ir.ops import (
    Add,
    Concat,
    MatMul,
    Mul,
    Recurrent,
    Reduce,
    Relu,
    Reshape,
    ScatterElements,
    Slice,
    Softmax,
    Tanh,
    Transpose,
    constant,
)
from edgec.passes.numeric import worst_difference
from edgec.passes.places import ARENA, OUTPUT

from ..random_graphs import random_graph
from ..samples import inputs_of
from .memory import copies, run_shared
from .test_storage import plan_of, planned

PAST = symbol(Symbol("past", 0, 12))


def shared(graph: Graph, **pairs: str) -> Graph:
    """A planned graph whose inputs share the buffers of outputs; without open sizes it gives what the graph gave."""
    inputs = [] if graph.symbols else inputs_of(graph)
    expected = [] if graph.symbols else graph.evaluate(inputs)
    declare_aliases(graph, pairs)
    made = planned(graph)
    if not graph.symbols:
        difference = worst_difference(expected, run_shared(made, inputs))
        assert difference is None, f"{difference}\n{made}"
    return made


def state_graph(*shape: int) -> tuple[Graph, Value]:
    graph = Graph("state")
    return graph, graph.input(TensorType(f32, shape), "state")


# --- states -------------------------------------------------------------------------------------------------------


def test_an_elementwise_update_is_done_in_place() -> None:
    graph, state = state_graph(1, 8)
    graph.set_outputs([graph.add(Tanh(state))], ["next"])
    made = shared(graph, state="next")
    assert plan_of(made).place(made.outputs[0]) == plan_of(made).place(made.inputs[0])


def test_an_output_waits_until_its_input_was_read() -> None:
    graph, state = state_graph(4, 4)
    mixed = graph.add(MatMul(state, state))  # reads every element for each
    graph.set_outputs([mixed], ["next"])
    made = shared(graph, state="next")
    assert plan_of(made).place(made.outputs[0]).buffer.kind == ARENA


def test_an_output_is_written_where_all_have_read() -> None:
    graph, state = state_graph(4, 4)
    mixed = graph.add(MatMul(state, constant(np.eye(4, 6, dtype=np.float32))))
    graph.set_outputs([graph.add(MatMul(mixed, constant(np.ones((6, 4), np.float32))))], ["next"])
    made = shared(graph, state="next")
    assert plan_of(made).place(made.outputs[0]).buffer.kind == OUTPUT


def test_a_window_moves_on() -> None:
    graph, state = state_graph(1, 6)
    x = graph.input(TensorType(f32, (1, 2)), "x")
    graph.set_outputs([graph.add(Concat((Slice(state, (0, 2), (1, 4)).result, x), 1))], ["next"])
    made = shared(graph, state="next")
    assert plan_of(made).place(made.outputs[0]).buffer.kind == ARENA


def test_a_scatter_writes_into_its_data() -> None:
    graph, state = state_graph(1, 6)
    place, x = graph.input(TensorType(i64, (1, 1)), "place"), graph.input(TensorType(f32, (1, 1)), "x")
    graph.set_outputs([graph.add(ScatterElements(state, place, x, 1))], ["next"])
    made = shared(graph, state="next")
    assert plan_of(made).place(made.outputs[0]) == plan_of(made).place(made.inputs[0])


def test_a_delay_line_hands_states_on() -> None:
    graph = Graph("line")
    states = [graph.input(TensorType(f32, (1, 5)), f"s{i}") for i in range(3)]
    last = graph.add(Relu(states[0]))
    graph.set_outputs([last, states[0], states[1]], ["n0", "n1", "n2"])
    made = shared(graph, s0="n0", s1="n1", s2="n2")
    assert plan_of(made).storage.deliveries == [2, 1, 0]


def test_states_that_change_places_are_refused() -> None:
    graph = Graph("swap")
    a, b = (graph.input(TensorType(f32, (1, 5)), name) for name in "ab")
    graph.set_outputs([b, a], ["c", "d"])
    with pytest.raises(UsageError, match="the buffers of the outputs 'c', 'd' hold one another"):
        shared(graph, a="c", b="d")


def test_a_state_that_stays() -> None:
    graph, state = state_graph(1, 5)
    graph.set_outputs([state, graph.add(Relu(state))], ["same", "y"])
    made = shared(graph, state="same")
    assert plan_of(made).place(made.inputs[0]).buffer.kind == OUTPUT


def updated(graph: Graph, state: Value, chance: np.random.Generator) -> Value:
    """A value of the graph of a state's type, or the state with the mean of any value added."""
    made = [v for v in graph.values if v.producer is not None and v.dtype == state.dtype]
    same = [v for v in made if v.type == state.type]
    if same and chance.random() < 0.5:
        return same[int(chance.integers(len(same)))]
    mean = Reduce(made[int(chance.integers(len(made)))], "mean", (), False).result
    return graph.add(Add(state, Reshape(mean, (1,) * state.rank).result))


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_random_states_in_simulated_memory(start: int) -> None:
    for seed in range(start, start + 50):
        graph, chance = random_graph(seed, 12), np.random.default_rng(seed)
        states = [updated(graph, value, chance) for value in graph.inputs]
        names = [f"next{i}" for i, _ in enumerate(states)]
        graph.set_outputs([*states, *graph.outputs], [*names, *graph.output_names])
        print("seed", seed)
        shared(graph, **dict(zip((v.name for v in graph.inputs), names, strict=True)))


# --- what grows ---------------------------------------------------------------------------------------------------


def cache(heads: int = 3, more: int = 2, extent: int = PAST) -> tuple[Graph, Value, Value]:
    graph = Graph("cache")
    past = graph.input(TensorType(f32, (1, heads, extent, 4)), "past")
    return graph, past, graph.input(TensorType(f32, (1, heads, more, 4)), "new")


def test_a_cache_grows_where_it_is() -> None:
    graph, past, new = cache()
    graph.set_outputs([graph.add(Concat((past, Relu(new).result), 2))], ["present"])
    made = shared(graph, past="present")
    (alias,) = aliases_of(made)
    assert (alias.axis, alias.grows, str(alias.type)) == (2, True, "f32[1,3,14,4]")
    before, after = (plan_of(made).place(v) for v in (made.inputs[0], made.outputs[0]))
    assert before == after
    assert after.strides == (168, 56, 4, 1)
    assert copies(made) == []  # and relu writes its rows behind them


def test_a_cache_that_is_turned_on_its_way() -> None:
    graph, past, new = cache(extent=5)
    turned = [Transpose(v, (0, 2, 1, 3)).result for v in (past, Relu(new).result)]
    grown = graph.add(Transpose(Concat(tuple(turned), 1).result, (0, 2, 1, 3)))
    graph.set_outputs([grown, graph.add(Softmax(turned[0]))], ["present", "y"])
    made = shared(graph, past="present")
    assert plan_of(made).place(made.outputs[0]).strides == (84, 28, 4, 1)
    assert copies(made) == []


def test_a_reader_that_wants_it_dense_gets_a_copy() -> None:
    graph = Graph("steps")
    past = graph.input(TensorType(f32, (4, PAST, 12)), "past")
    new = graph.input(TensorType(f32, (4, 1, 12)), "new")
    kept = Recurrent(past, constant(np.ones((12, 3), np.float32))).result
    graph.set_outputs([graph.add(Concat((past, new), 1)), graph.add(kept.producer)], ["present", "y"])  # type: ignore[arg-type]
    made = shared(graph, past="present")
    assert copies(made) == ["concat", "slice"] or copies(made) == ["slice", "concat"]


def refused(graph: Graph, output: Value, words: str) -> None:
    graph.set_outputs([output], ["present"])
    with pytest.raises(UsageError, match=words):
        shared(graph, past="present")


def test_what_does_not_append_is_refused() -> None:
    graph, past, new = cache()
    refused(graph, graph.add(Concat((new, past), 2)), "in place of input 'past': the concatenation does not begin with")
    graph, past, new = cache()
    refused(graph, graph.add(Relu(Concat((past, new), 2).result)), "in place of input 'past': it is no concatenation")
    graph, past, new = cache()
    refused(graph, graph.add(Concat((Relu(past).result, new), 2)), "the concatenation does not begin with it")


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({"none": "present"}, "there is no input 'none' to share a buffer\n  hint: inputs: 'past', 'new'"),
        ({"past": "none"}, "there is no output 'none' to share a buffer"),
        ({"past": "present", "new": "present"}, "output 'present' shares its buffer with two inputs"),
        ({"past": "less"}, r"cannot be one buffer: f32\[1,3,past,4\] and f32\[1,3,1,4\]"),
        ({"past": "half"}, r"cannot be one buffer: f32\[1,3,past,4\] and f32\[3,past,4\]"),
        ({"past": "wide"}, r"cannot be one buffer: f32\[1,3,past,4\] and f32\[1,4,past\+2,4\]"),
    ],
)
def test_names_and_types_must_fit(pairs: dict[str, str], words: str) -> None:
    graph, past, new = cache()
    grown = Concat((past, new), 2).result
    half = Slice(grown, (0, 0, 0, 0), (1, 3, PAST, 4)).result
    wide = Concat((grown, Slice(grown, (0, 0, 0, 0), (1, 1, PAST + 2, 4)).result), 1).result
    less = Slice(grown, (0, 0, 0, 0), (1, 3, 1, 4)).result
    outputs = [grown, Reshape(half, (3, PAST, 4)).result, wide, less]
    names = ["present", "half", "wide", "less"]
    graph.set_outputs([graph.add(v.producer) for v in outputs], names)  # type: ignore[arg-type]
    with pytest.raises(UsageError) as caught:
        declare_aliases(graph, pairs)
    assert re.search(words, str(caught.value)), caught.value


def test_an_update_may_add_what_it_reads() -> None:
    graph, state = state_graph(1, 8)
    x = graph.input(TensorType(f32, (1, 8)), "x")
    total = graph.add(Add(Mul(state, x).result, state))
    graph.set_outputs([total], ["next"])
    made = shared(graph, state="next")
    assert plan_of(made).place(made.outputs[0]) == plan_of(made).place(made.inputs[0])
