"""Rewriting: rules fire to the end, rules that chase each other are named, near misses are recorded."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.errors import EdgecError
from edgec.ir import Graph, Op, Origin, Skip, TensorType, Value, f32, rewrite, verify
from edgec.ir.ops import Abs, Add, Mul, Neg, Relu, Sigmoid, constant, uniform


def graph_of(*kinds: type) -> Graph:
    graph = Graph("g")
    value = graph.input(TensorType(f32, (2, 3)), "x")
    for i, kind in enumerate(kinds):
        op = kind(value)
        op.origin = Origin(i, f"n{i}", kind.__name__)
        value = graph.add(op)
    graph.set_outputs([value], ["y"])
    return graph


def names(graph: Graph) -> list[str]:
    return [op.name for op in graph]


def double_negation(neg: Neg) -> Value | Skip:
    inner = neg.x.producer
    if not isinstance(inner, Neg):
        return Skip(f"negates {inner.name if inner else 'an input'}", inner)
    return inner.x


def negate_as_product(neg: Neg) -> Value | Skip:
    return Mul(neg.x, constant(-1.0, f32)).result


def product_as_negation(mul: Mul) -> Value | Skip:
    if uniform(mul.y) != -1.0:
        return Skip()
    return Neg(mul.x).result


def any_op_grows(op: Op) -> Value | Skip:
    return Sigmoid(op.operands[0]).result if isinstance(op, Sigmoid) else Skip()


def test_rules_fire_until_none_does() -> None:
    graph = graph_of(*[Neg] * 8, Relu)
    done = rewrite(graph, [double_negation])
    assert names(graph) == ["relu"]
    assert done.changed
    assert done.fired == {"double_negation": 4}
    verify(graph)


def test_an_odd_one_stays_and_says_why() -> None:
    graph = graph_of(Relu, Neg, Neg, Neg)
    done = rewrite(graph, [double_negation])
    assert names(graph) == ["relu", "neg"]
    assert done.fired == {"double_negation": 1}
    (note,) = graph.journal
    assert str(note) == "double_negation: negates relu (ONNX node 0 Relu 'n0')"
    assert note.origin is not None
    assert note.origin.name.startswith("n")


def test_silent_skips_leave_no_note() -> None:
    graph = graph_of(Relu)
    graph.add(Mul(graph.outputs[0], constant(2.0, f32)))
    assert not rewrite(graph, [product_as_negation]).changed
    assert graph.journal == []


def test_a_skip_is_recorded_once() -> None:
    graph = graph_of(Abs, Neg, Relu, Sigmoid)
    rewrite(graph, [double_negation])
    rewritten = [n for n in graph.journal if n.source == "double_negation"]
    assert len(rewritten) == 1


def test_skips_of_ops_that_went_away_are_forgotten() -> None:
    graph = graph_of(Abs, Neg, Neg)
    rewrite(graph, [double_negation])
    assert names(graph) == ["abs"]
    assert graph.journal == []


def test_rules_that_chase_each_other_are_named() -> None:
    graph = graph_of(Neg)
    with pytest.raises(EdgecError) as error:
        rewrite(graph, [negate_as_product, product_as_negation])
    assert error.value.what == "rewriting does not end: negate_as_product, product_as_negation undo each other"
    assert "f32[2,3]" in error.value.where


def test_a_rule_that_never_ends_is_named() -> None:
    with pytest.raises(EdgecError, match="rewriting does not end: any_op_grows"):
        rewrite(graph_of(Sigmoid), [any_op_grows])


def test_what_only_a_replaced_op_read_is_removed() -> None:
    graph = graph_of(Relu, Sigmoid, Neg)

    def constant_instead(neg: Neg) -> Value | Skip:
        return constant(np.ones((2, 3), np.float32))

    rewrite(graph, [constant_instead])
    assert names(graph) == ["constant"]
    verify(graph)


def test_the_first_rule_that_fires_wins() -> None:
    def first(relu: Relu) -> Value | Skip:
        return Abs(relu.x).result

    def second(relu: Relu) -> Value | Skip:
        return Neg(relu.x).result

    graph = graph_of(Relu)
    assert rewrite(graph, [first, second]).fired == {"first": 1}
    assert names(graph) == ["abs"]


def test_readers_are_looked_at_again() -> None:
    def relu_of_abs(relu: Relu) -> Value | Skip:
        return relu.x if isinstance(relu.x.producer, Abs) else Skip()

    def add_itself(add: Add) -> Value | Skip:
        return Abs(add.x).result if add.x is add.y else Skip()

    graph = Graph("g")
    x = graph.input(TensorType(f32, (2,)), "x")
    graph.set_outputs([graph.add(Relu(Relu(Add(x, x).result).result))], ["y"])
    rewrite(graph, [relu_of_abs, add_itself])
    assert names(graph) == ["abs"]


def test_a_rule_must_say_what_it_is_for() -> None:
    def lost(x):  # type: ignore[no-untyped-def]
        return x

    with pytest.raises(TypeError, match="rule lost must annotate its parameter"):
        rewrite(graph_of(Relu), [lost])
