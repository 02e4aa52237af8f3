"""Editing graphs: users are kept, order is kept, ten thousand ops cost ten times what a thousand cost."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from edgec.errors import ModelError
from edgec.ir import Graph, Origin, TensorType, Value, f32, verify
from edgec.ir.ops import Add, Mul, Neg, Relu, Sigmoid, constant

from ..random_graphs import random_graph
from ..samples import inputs_of


def chain(length: int) -> Graph:
    graph = Graph("chain")
    value = graph.input(TensorType(f32, (2, 3)), "x")
    for i in range(length):
        value = graph.add(Relu(value) if i % 2 else Sigmoid(value))
    graph.set_outputs([value], ["y"])
    return graph


def small() -> tuple[Graph, Value, Relu, Add]:
    graph = Graph("g")
    x = graph.input(TensorType(f32, (2, 3)), "x")
    relu = Relu(x)
    add = Add(relu.result, x)
    graph.set_outputs([graph.add(add)], ["y"])
    return graph, x, relu, add


def test_adding_brings_in_what_is_missing() -> None:
    graph, x, relu, add = small()
    assert graph.ops == [relu, add]
    assert x.users == {relu: 1, add: 1}
    assert graph.is_output(add.result)
    assert add.result.has_one_use
    verify(graph)


def test_an_operand_that_is_read_twice_counts_twice() -> None:
    graph, x, _, _ = small()
    double = Mul(x, x)
    graph.add(double)
    assert x.users[double] == 2
    verify(graph)


def test_replacing_an_op_moves_readers_outputs_and_origin() -> None:
    graph, x, relu, add = small()
    relu.origin = Origin(3, "act", "Relu")
    negated = Neg(Neg(x).result)
    inserted = graph.replace_op(relu, [negated.result])
    assert [op.name for op in graph] == ["neg", "neg", "add"]
    assert {op.origin for op in inserted} == {relu.origin}
    graph.replace_op(add, [negated.result])
    assert graph.outputs == [negated.result]
    assert graph.output_names == ["y"]
    verify(graph)


def test_an_op_may_be_replaced_by_one_that_reads_it() -> None:
    graph, x, _, _ = small()
    graph.replace_value(x, graph_insert_first(graph, Neg(x)))
    assert [op.name for op in graph] == ["neg", "relu", "add"]
    assert list(x.users) == [graph.ops[0]]
    verify(graph)


def graph_insert_first(graph: Graph, op: Neg) -> Value:
    graph.insert_before(graph.ops[0], op)
    return op.result


def test_an_output_that_is_there_twice_is_replaced_twice() -> None:
    graph, x, _, add = small()
    graph.set_outputs([add.result, add.result, x], ["a", "b", "c"])
    graph.replace_op(add, [Neg(x).result])
    assert graph.outputs[0] is graph.outputs[1]
    assert graph.outputs[2] is x
    verify(graph)


def test_what_is_in_use_stays() -> None:
    graph, _, relu, _ = small()
    with pytest.raises(ModelError, match="relu is still in use and cannot be removed"):
        graph.remove(relu)
    assert relu in graph


def test_walking_survives_removal() -> None:
    graph = chain(9)
    seen = 0
    for op in graph:
        seen += 1
        graph.replace_op(op, [op.operands[0]])
    assert seen == 9
    assert len(graph) == 0
    assert graph.outputs == graph.inputs


def test_a_copy_is_independent() -> None:
    graph = random_graph(11, 20)
    text = str(graph)
    copied = graph.copy()
    assert str(copied) == text
    assert not set(copied) & set(graph)
    for op in copied:
        if op.operands and op.operands[0].type == op.results[0].type:
            copied.replace_op(op, [op.operands[0]])
    assert str(graph) == text
    verify(graph)
    verify(copied)


def test_a_copy_computes_the_same() -> None:
    graph = random_graph(12, 20)
    inputs = inputs_of(graph)
    for a, b in zip(graph.evaluate(inputs), graph.copy().evaluate(inputs), strict=True):
        assert np.array_equal(a, b, equal_nan=True)


def test_evaluation_names_what_does_not_fit() -> None:
    graph, _, _, _ = small()
    good = np.zeros((2, 3), np.float32)
    assert np.array_equal(graph.evaluate({"x": good})[0], good)
    for wrong, text in (
        ({"y": good}, r"missing: \['x'\]; unknown: \['y'\]"),
        ({"x": good.T}, r"input 'x' expects f32\[2,3\], got float32\[3, 2\]"),
        ({"x": good.astype(np.float64)}, r"input 'x' expects f32\[2,3\], got float64\[2, 3\]"),
        ([], r"missing: \['x'\]"),
    ):
        with pytest.raises(Exception, match=text):
            graph.evaluate(wrong)


def insert_everywhere(graph: Graph) -> None:
    for op in graph.ops:
        inserted = Neg(op.operands[0])
        graph.insert_before(op, inserted)


def replace_everywhere(graph: Graph) -> None:
    for op in graph.ops:
        graph.replace_op(op, [Neg(op.operands[0]).result])


def build_at_once(graph: Graph) -> None:
    value = graph.outputs[0]
    for _ in range(len(graph)):
        value = Add(value, constant(1.0, f32)).result
    graph.set_outputs([graph.add(value.producer)], ["y"])  # type: ignore[arg-type]


def copy(graph: Graph) -> None:
    graph.copy()


def check(graph: Graph) -> None:
    verify(graph)


def print_and_parse(graph: Graph) -> None:
    Graph.parse(str(graph))


def evaluate(graph: Graph) -> None:
    graph.evaluate(inputs_of(graph))


@pytest.mark.parametrize(
    "edit", [insert_everywhere, replace_everywhere, build_at_once, copy, check, print_and_parse, evaluate]
)
def test_edits_are_linear(edit: Callable[[Graph], None]) -> None:
    seconds = {length: min(_timed(edit, length) for _ in range(2)) for length in (1000, 10_000)}
    assert seconds[10_000] < 40 * seconds[1000] + 0.1, seconds
    assert seconds[10_000] < 10


def _timed(edit: Callable[[Graph], None], length: int) -> float:
    graph = chain(length)
    start = time.perf_counter()
    edit(graph)
    return time.perf_counter() - start
