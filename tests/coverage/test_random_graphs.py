"""Random graphs over all operators: compiled, exported and imported again, they compute what `evaluate` computes."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec.coverage.graphs import AGREES, DIFFERS, EXEMPT, WAYS, Case, Finding, check, random_case, shrink
from edgec.coverage.graphs.exceptions import EXEMPT as EXEMPTIONS
from edgec.coverage.graphs.exceptions import ONNX, RUNTIME, exemption
from edgec.coverage.graphs.growth import Growth
from edgec.coverage.graphs.known import Unfit, computed, differs, known_outputs, sharp
from edgec.coverage.graphs.shrink import smallest
from edgec.coverage.graphs.strategies import MADE_BY_PASSES, families
from edgec.ir import REGISTRY, Graph, TensorType, arg, f32, i64, verify
from edgec.ir.onnx_element_types import element_types
from edgec.ir.ops import Add, ArgReduce, Div, Exp, Floor, Mul, Relu, Softmax, constant
from edgec.ir.types import boolean, i32

SLICE = range(4000, 4032)


@pytest.mark.slow
def test_a_slice_agrees_three_ways() -> None:
    pytest.importorskip("onnxruntime")
    found = check([random_case(seed) for seed in SLICE], WAYS)
    assert [one for one in found if one.status not in (AGREES, EXEMPT)] == []
    assert sum(one.status == AGREES for one in found) > 2 * len(SLICE)


def test_graphs_are_the_same_for_the_same_seed_and_verify() -> None:
    for seed in range(12):
        case, again = random_case(seed), random_case(seed)
        verify(case.graph)
        assert str(case.graph) == str(again.graph)
        assert all(np.array_equal(a, b) for a, b in zip(case.inputs, again.inputs, strict=True))
        assert len({str(random_case(seed).graph), str(random_case(seed + 1).graph)}) == 2


STRATEGIES = {name: strategy for _, family in families() for name, strategy in family.items()}


def test_every_operator_of_models_has_a_strategy() -> None:
    own = {name for name, cls in REGISTRY.items() if cls.__module__.startswith("edgec.")}
    assert set(STRATEGIES) | set(MADE_BY_PASSES) == own


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_makes_its_operator(name: str) -> None:
    for seed in range(40):
        g = Growth(seed)
        g.input(f32, (2, 3, 4))
        if not g.attempt(lambda g=g: STRATEGIES[name](g)):
            break
    assert name in {op.name for op in g.graph} or name == "cast"


def test_two_hundred_graphs_have_nearly_every_operator() -> None:
    met = {op.name for seed in range(200) for op in random_case(seed).graph}
    assert len(set(STRATEGIES) - met) <= 3


# --- what may be off --------------------------------------------------------------------------------------------------


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_small_whole_numbers_must_be_met() -> None:
    op = Add(arg(f32, 3), arg(f32, 3))
    known = dict(zip(op.operands, map(sharp, (np.float32([1, 2, 3]), np.float32([0.5, 0, -1]))), strict=True))
    (found,) = computed(op, known, random())
    assert found.is_sharp
    assert differs(np.float32([1.5, 2, 2]), found, f32) == ""
    assert "1 of 3 elements differ: 2.000000238418579 instead of 2.0 at [1]" in differs(
        np.float32([1.5, 2.0000002, 2]), found, f32
    )


def test_what_is_computed_may_be_off_by_what_its_op_may_be() -> None:
    op = Exp(arg(f32, 2))
    (found,) = computed(op, {op.x: sharp(np.float32([0, 1]))}, random())
    assert differs(found.exact * np.float32(1 + 2e-6), found, f32) == ""
    assert differs(found.exact * np.float32(1 + 1e-3), found, f32) != ""


def test_errors_grow_on_their_way() -> None:
    graph = Graph()
    x = graph.input(TensorType(f32, (4,)), "x")
    third = Div(x, constant(np.float32(3))).result
    graph.set_outputs([third, graph.add(Mul(third, constant(np.float32(1000))))], ["a", "b"])
    a, b = known_outputs(graph, [np.float32([1, 2, 4, 5])])
    assert 500 < b.allowed.max() / a.allowed.max() < 2000


def test_a_jump_of_a_computed_number_is_left_out() -> None:
    x = arg(f32, 3)
    third = Div(x, constant(np.float32(3)))
    known = {x: sharp(np.float32([3, 6, 9])), third.y: sharp(np.float32(3))}
    known[third.result] = computed(third, known, random())[0]
    for op in (Floor(third.result), ArgReduce(Mul(third.result, constant(np.float32(0))).result, "max", 0)):
        if op.operands[0] not in known:
            known[op.operands[0].producer.y] = sharp(np.float32(0))  # type: ignore[union-attr]
            known[op.operands[0]] = computed(op.operands[0].producer, known, random())[0]  # type: ignore[arg-type]
            computed(op, known, random())  # all are zero, however far off
        else:
            with pytest.raises(Unfit, match="a jump"):
                computed(op, known, random())


def test_types_and_shapes_must_be_the_same() -> None:
    known = sharp(np.zeros((2, 3), np.float32))
    assert differs(np.zeros((3, 2), np.float32), known, f32) == "float32[3, 2] instead of f32[2, 3]"
    assert differs(np.zeros((2, 3), np.int64), known, f32) == "int64[2, 3] instead of f32[2, 3]"


# --- the smallest part ------------------------------------------------------------------------------------------------


def chain() -> Case:
    graph = Graph("chain")
    x = graph.input(TensorType(f32, (2, 3)), "x")
    y = Exp(Softmax(Relu(Add(x, x).result).result).result).result
    graph.set_outputs([graph.add(Mul(y, y)), x], ["y", "z"])
    return Case("chain", graph, [np.ones((2, 3), np.float32)])


def test_the_smallest_part_that_fails_is_one_op() -> None:
    small = smallest(chain(), lambda case: any(op.name == "softmax" for op in case.graph))
    assert [op.name for op in small.graph] == ["softmax"]
    assert np.array_equal(small.inputs[0], np.full((2, 3), 2, np.float32))
    verify(small.graph)


def test_what_agrees_does_not_shrink() -> None:
    case = chain()
    assert shrink(case, Finding("chain", "import", DIFFERS)) is case


# --- exemptions -------------------------------------------------------------------------------------------------------


def test_exemptions_name_operators_that_there_are() -> None:
    assert {name for one in EXEMPTIONS for name in one.ops.split()} <= set(REGISTRY)


def test_an_exemption_is_of_an_element_type() -> None:
    assert exemption(Relu(arg(i64, 3)), RUNTIME) == "relu: ONNX Runtime has no CPU kernel for the element type"
    assert exemption(Relu(arg(f32, 3)), RUNTIME) == exemption(Relu(arg(i64, 3)), ONNX) == ""


def test_element_types_are_those_of_onnx() -> None:
    assert boolean in element_types("Equal", 20)
    assert boolean not in element_types("Add", 20)
    assert i32 not in element_types("Exp", 20)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_counts_what_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    words = ["--count", "6", "--seed", "1", "--ways", "import", "--json", str(tmp_path / "facts.json")]
    monkeypatch.setattr("sys.argv", ["random_graphs.py", *words])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(Path(__file__).parents[2] / "bench" / "random_graphs.py"), run_name="__main__")
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert end.value.code == 0
    assert facts["graphs"] == 6
    assert sum(facts["ways"]["import"].values()) == 6
    assert "6 graphs of" in capsys.readouterr().out
