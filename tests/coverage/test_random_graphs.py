"""Random graphs over all operators: compiled, exported and imported again, they compute what `evaluate` computes."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgec.coverage.graphs import (
    AGREES,
    DIFFERS,
    EXEMPT,
    PART,
    WAYS,
    Case,
    Finding,
    batches,
    check,
    random_case,
    shrink,
)
from edgec.coverage.graphs.axes import counted_from_the_end
from edgec.coverage.graphs.cancelling import lost
from edgec.coverage.graphs.check import comparable
from edgec.coverage.graphs.exceptions import EXEMPT as EXEMPTIONS
from edgec.coverage.graphs.exceptions import ONNX, RUNTIME, exemption
from edgec.coverage.graphs.growth import Growth
from edgec.coverage.graphs.known import Known, Unfit, computed, differs, known_outputs, sharp
from edgec.coverage.graphs.part import without
from edgec.coverage.graphs.shrink import smallest
from edgec.coverage.graphs.strategies import MADE_BY_PASSES, families
from edgec.driver import import_model
from edgec.ir import REGISTRY, Graph, TensorType, Value, arg, f32, i64, verify
from edgec.ir.onnx_element_types import element_types
from edgec.ir.onnx_export import export
from edgec.ir.ops import (
    Add,
    ArgReduce,
    Div,
    Exp,
    Floor,
    If,
    InstanceNorm,
    LayerNorm,
    Mul,
    Pad,
    Reduce,
    Relu,
    Slice,
    Softmax,
    TopK,
    Transpose,
    constant,
)
from edgec.ir.types import DTYPES, boolean, i32

SLICE = range(4064, 4096)


@pytest.mark.slow
def test_a_slice_agrees_three_ways() -> None:
    pytest.importorskip("onnxruntime")
    found = check([random_case(seed) for seed in SLICE], WAYS)
    assert [one for one in found if one.status not in (AGREES, PART, EXEMPT)] == []
    assert sum(one.status in (AGREES, PART) for one in found) > 2 * len(SLICE)


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


@pytest.mark.parametrize("kind", ["instance-norm", "layer-norm"])
def test_numbers_close_together_beside_their_size_are_lost(kind: str) -> None:
    def norm(x: Value) -> InstanceNorm | LayerNorm:
        one = constant(np.float32([1]))
        return InstanceNorm(x, one, one) if kind == "instance-norm" else LayerNorm(x)

    near, far = np.float32([[[100, 100.01]]]), np.float32([[[-1, 1]]])
    op = norm(arg(f32, 1, 1, 2))
    assert lost(op, [near]) > 1e4 > 10 > lost(op, [far]) > 0
    assert lost(op, [near[..., :1]]) > 1e4  # one number alone: what is left of x/s - m/s
    assert lost(Exp(op.x), [near]) == lost(LayerNorm(op.x, centered=False), [near]) == 0


def test_an_op_of_steps_must_not_jump_even_where_others_are_large() -> None:
    x = arg(DTYPES["f16"], 40)
    norm = Mul(x, x)
    numbers = sharp(np.linspace(1, 40, 40).astype(np.float16))
    known = {x: numbers, norm.result: Known(numbers.exact, tuple(numbers.exact - np.float16(0.01) for _ in range(4)))}
    with pytest.raises(Unfit, match="a jump"):
        computed(Floor(norm.result), known, random())
    computed(Relu(norm.result), known, random())


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


# --- without what is exempt -------------------------------------------------------------------------------------------


def test_without_an_op_the_rest_is_compared() -> None:
    case = chain()
    left = without(case, lambda op: op.name == "softmax")
    assert left is not None
    verify(left.graph)
    assert [op.name for op in left.graph] == ["add", "relu", "exp", "mul"]
    assert [list(a.reshape(-1)[:1]) for a in left.inputs] == [[1], [np.float32(1 / 3)]]
    outputs = left.graph.evaluate(left.inputs)
    assert np.allclose(outputs[0], case.graph.evaluate(case.inputs)[0])
    assert np.array_equal(outputs[1], np.full((2, 3), 2, np.float32))


def test_without_all_ops_nothing_is_compared() -> None:
    assert without(chain(), lambda op: True) is None


def test_of_an_op_of_several_results_those_that_are_read_come_in() -> None:
    graph = Graph()
    top = TopK(graph.input(TensorType(f32, (4,)), "x"), 2)
    graph.add(top)
    graph.set_outputs([graph.add(Relu(top.results[0])), top.results[1]], ["y", "places"])
    left = without(Case("top", graph, [np.float32([1, -2, 3, 4])]), lambda op: op.name == "top-k")
    assert left is not None
    assert [op.name for op in left.graph] == ["relu"]
    assert left.inputs[0].tolist() == [4, 3]


def test_what_is_exempt_depends_on_the_way() -> None:
    graph = Graph()
    x = graph.input(TensorType(i64, (3,)), "x")
    graph.set_outputs([graph.add(Add(graph.add(Relu(x)), x))], ["y"])
    case = Case("relu", graph, [np.array([1, -1, 2])])
    assert comparable(case, "import") == (case, "")
    left, reason = comparable(case, RUNTIME)
    assert left is not None
    assert [op.name for op in left.graph] == ["add"]
    assert reason == "relu: ONNX Runtime has no CPU kernel for the element type"


def test_onnx_runtime_moves_not_a_number_and_is_not_asked_how_it_compares() -> None:
    graph = Graph()
    x = graph.input(TensorType(f32, (1, 2)), "x")
    graph.set_outputs([graph.add(Transpose(graph.add(Relu(x)), (1, 0)))], ["y"])
    finite, special = (Case("nan", graph, [np.float32([[1, number]])]) for number in (2, np.nan))
    assert comparable(finite, RUNTIME) == (finite, "")
    left, reason = comparable(special, RUNTIME)
    assert left is not None
    assert [op.name for op in left.graph] == ["transpose"]
    assert "NaN" in reason


def test_onnx_runtime_is_not_asked_for_sums_that_do_not_fit() -> None:
    graph = Graph()
    x = graph.input(TensorType(i32, (2, 2)), "x")
    graph.set_outputs([graph.add(Reduce(graph.add(Add(x, x)), "sum", (1,)))], ["y"])
    fits, exceeds = (Case("sum", graph, [np.int32([[number, number], [0, 1]])]) for number in (3, 2**29))
    assert comparable(fits, RUNTIME) == (fits, "")
    left, reason = comparable(exceeds, RUNTIME)
    assert left is not None
    assert [op.name for op in left.graph] == ["add"]
    assert "beyond their range" in reason


def test_an_op_is_exempt_for_what_its_graphs_hold() -> None:
    body = Graph("body")
    body.set_outputs([body.add(Relu(body.input(TensorType(i64, (3,)), "x")))], ["y"])
    op = If(arg(boolean), (arg(i64, 3),), body, body)
    assert exemption(op, RUNTIME) == "relu: ONNX Runtime has no CPU kernel for the element type"
    assert exemption(op, ONNX) == ""


# --- axes from the end ------------------------------------------------------------------------------------------------


def test_every_second_node_counts_its_axes_from_the_end() -> None:
    graph = Graph()
    x = graph.input(TensorType(f32, (2, 3, 4)), "x")
    for _ in range(2):
        x = graph.add(Softmax(x, 1))
    for axes in ((0, 2), (0,)):
        x = graph.add(Reduce(x, "sum", axes, True))
    for _ in range(2):
        x = graph.add(Slice(x, (0, 1, 0), (1, 2, 1)))
        x = graph.add(Pad(x, (0, 1, 0, 0, 0, 0), 0.0))
    graph.set_outputs([x, graph.inputs[0]], ["y", "x again"])
    content = counted_from_the_end(export(graph))
    model = onnx.load_model_from_string(content)
    weights = {one.name: numpy_helper.to_array(one).tolist() for one in model.graph.initializer}
    assert [node.attribute[0].i for node in model.graph.node if node.op_type == "Softmax"] == [-2, 1]
    assert [weights[node.input[1]] for node in model.graph.node if node.op_type == "ReduceSum"] == [[-3, -1], [0]]
    assert [weights[node.input[3]] for node in model.graph.node if node.op_type == "Slice"] == [[-2], [1]]
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 8
    imported = import_model(content)
    assert np.allclose(imported.evaluate([array])[0], graph.evaluate([array])[0])


# --- the command ------------------------------------------------------------------------------------------------------


BENCH = Path(__file__).parents[2] / "bench"


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    """The exit status of the command."""
    monkeypatch.setattr("sys.argv", ["random_graphs.py", *words])
    monkeypatch.syspath_prepend(str(BENCH))
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(BENCH / "random_graphs.py"), run_name="__main__")
    return end.value.code


def test_the_command_counts_what_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    json_file = tmp_path / "facts.json"
    words = ["--count", "6", "--seed", "1", "--ways", "import", "--json", str(json_file)]
    assert command(monkeypatch, *words) == 0
    facts = json.loads(json_file.read_text())
    assert facts["graphs"] == 6
    assert sum(facts["ways"]["import"].values()) == 6
    assert "6 graphs of" in capsys.readouterr().out


def test_the_command_goes_on_where_it_ended_and_fills_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, parts, whole = tmp_path / "page.md", tmp_path / "parts.json", tmp_path / "whole.json"
    page.write_text("before\n<!-- measured: random-graphs -->\n<!-- end measured -->\n")
    ways = ["--seed", "1", "--ways", "import"]
    for words in (["--count", "2"], ["--count", "5", "--resume", "--page", str(page)]):
        assert command(monkeypatch, *ways, "--json", str(parts), *words) == 0
    assert command(monkeypatch, *ways, "--json", str(whole), "--count", "5") == 0
    first, second = (json.loads(file.read_text()) | {"seconds": 0} for file in (parts, whole))
    assert first == second
    assert "seeds 1 to 5, target `host`" in page.read_text()
    assert "| `import` | 4 | 1 | 0 | 0 |" in page.read_text()


def test_processes_side_by_side_give_the_same_batches_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgec.coverage.graphs.many.BATCH", 2)
    alone, together = (list(batches(range(100, 107), ["import"], "host", processes)) for processes in (1, 3))
    assert alone == together
    assert [list(batch.seeds) for batch in alone] == [[100, 101], [102, 103], [104, 105], [106]]


@pytest.mark.parametrize(("processes", "begun"), [(1, 0), (2, 2)])
def test_after_so_many_seconds_no_other_batch_is_begun(
    processes: int, begun: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgec.coverage.graphs.many.BATCH", 1)
    assert len(list(batches(range(100, 105), ["import"], "host", processes, seconds=0))) == begun


def test_the_command_does_not_resume_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(monkeypatch, "--resume") == 2
