"""What every operator owes: derived from the declarations, so that a new one is tested by being declared."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edgec.errors import ModelError
from edgec.ir import REGISTRY, Graph, Op, Tolerance, Value, arg, f32, verify
from edgec.ir.op import operator
from edgec.ir.ops import (
    Add,
    BatchNorm,
    Clip,
    Conv,
    Div,
    Gather,
    Interleave,
    MatMul,
    Pool,
    Reduce,
    Relu,
    Reshape,
    Shrink,
    Slice,
    constant,
)
from edgec.ir.types import DTYPES, DType, dtype_of, f64, i32, i64, u64
from edgec.ir.verify import COMPOSITE, STAGES

from ..samples import fault, graph_of, inputs_of, samples_of, with_weights

NO_SAMPLES = ("cascade", "fused", "impossible", "output")
"""Passes make regions and cascades of others; what cannot run gives nothing; the marker of outputs is no operator."""

NAMES = sorted(name for name, cls in REGISTRY.items() if cls.__module__.startswith("edgec.") and name not in NO_SAMPLES)
every_operator = pytest.mark.parametrize("name", NAMES)


def graphs(name: str) -> list[Graph]:
    found = [graph_of([(name, with_weights(op))]) for op in samples_of(name)]
    for graph in found:
        graph.stage = next(stage for stage, illegal in STAGES.items() if name not in illegal)
    return found


@every_operator
def test_has_samples(name: str) -> None:
    assert samples_of(name), f"operator '{name}' has no samples"
    assert all(type(op) is REGISTRY[name] for op in samples_of(name))


@every_operator
def test_text_form_parses_back(name: str) -> None:
    for graph in graphs(name):
        again = Graph.parse(str(graph))
        assert str(again) == str(graph)
        verify(again)


@every_operator
def test_types_are_what_evaluation_gives(name: str) -> None:
    for graph in graphs(name):
        verify(graph)
        for value, array in zip(graph.outputs, graph.evaluate(inputs_of(graph)), strict=True):
            assert (dtype_of(array), array.shape) == (value.dtype, value.shape)


@every_operator
def test_operands_stay_as_they_are(name: str) -> None:
    for graph in graphs(name):
        inputs = inputs_of(graph)
        before = [a.copy() for a in inputs]
        graph.evaluate(inputs)
        assert all(np.array_equal(a, b) for a, b in zip(inputs, before, strict=True))


@every_operator
def test_expansion_computes_the_same(name: str) -> None:
    for op in samples_of(name):
        op = with_weights(op)
        graph = graph_of([(name, op)])
        inputs = inputs_of(graph)
        wanted = graph.evaluate(inputs)
        expanded = op.expand()
        if expanded is None:
            assert name not in COMPOSITE, f"'{name}' is composite and has no expansion"
            continue
        graph.replace_op(op, [expanded])
        verify(graph)
        assert fault(graph.evaluate(inputs)[0], wanted[0], op.tolerance) == ""


@every_operator
def test_a_copy_with_the_same_operands_is_the_same(name: str) -> None:
    for op in samples_of(name):
        again = op.with_operands(lambda v: v)
        assert [r.type for r in again.results] == [r.type for r in op.results]
        assert again is not op
        assert again.operands == op.operands


@every_operator
def test_says_what_it_is(name: str) -> None:
    cls = REGISTRY[name]
    assert cls.__doc__
    assert name == name.lower()
    assert cls.tolerance.relative >= 0
    assert all(op.macs() >= 0 for op in samples_of(name))


# --- against ONNX's own reference -----------------------------------------------------------------------------------


def onnx_attribute(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def onnx_result(op: Op, inputs: list[np.ndarray]) -> np.ndarray:
    """What ONNX's reference evaluator makes of the op; attributes have the names that they have here."""
    import onnx
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    attributes = {f.name: onnx_attribute(getattr(op, f.name)) for f in op.attribute_fields()}
    names = [f"x{i}" for i in range(len(op.operands))]
    node = helper.make_node(op.onnx, names, ["y"], domain=op.domain, **attributes)
    taken = [
        helper.make_tensor_value_info(n, *_onnx_type(v.dtype), list(v.shape))
        for n, v in zip(names, op.operands, strict=True)
    ]
    given = helper.make_tensor_value_info("y", *_onnx_type(op.type.dtype), list(op.type.shape))
    graph = helper.make_graph([node], "one", taken, [given])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(op.domain, min(22, onnx.defs.onnx_opset_version()))]
    )
    return np.asarray(ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))[0])


def _onnx_type(kind: DType) -> tuple[int]:
    from onnx import helper

    return (helper.np_dtype_to_tensor_dtype(kind.numpy),)


WRONG_IN_ONNX = ("lrn",)
"""Its reference loops over the samples where it means the channels; ONNX's node tests cover it."""


@pytest.mark.parametrize("name", [n for n in NAMES if REGISTRY[n].onnx and n not in WRONG_IN_ONNX])
def test_agrees_with_the_reference_of_onnx(name: str) -> None:
    for op in samples_of(name):
        graph = graph_of([(name, op)])
        inputs = inputs_of(graph)
        with np.errstate(all="ignore"):
            wanted = onnx_result(op, inputs)
        tolerance = type(op.tolerance)(max(op.tolerance.relative, 1e-6), max(op.tolerance.absolute, 1e-6))
        assert fault(graph.evaluate(inputs)[0], wanted, tolerance) == ""


def test_division_of_large_integers_is_exact_and_rounds_to_zero() -> None:
    largest, smallest = 2**63 - 1, -(2**63)
    a, b = np.int64([largest, smallest, smallest, -7, 7, 5]), np.int64([2, 3, -1, 2, -2, 0])
    (found,) = graph_of([("div", Div(arg(i64, 6), arg(i64, 6)))]).evaluate([a, b])
    assert found.tolist() == [largest // 2, -((2**63) // 3), smallest, -3, -3, 0]
    (found,) = graph_of([("div", Div(arg(u64, 2), arg(u64, 2)))]).evaluate(
        [np.uint64([2**64 - 1, 9]), np.uint64([3, 0])]
    )
    assert found.tolist() == [(2**64 - 1) // 3, 0]


def test_the_mean_of_integers_is_their_sum_that_wraps_over_their_count() -> None:
    op = Reduce(arg(i32, 2, 3), "mean", (1,), False)
    (found,) = graph_of([("mean", op)]).evaluate([np.int32([[2**31 - 1, 2**31 - 1, 5], [-7, 0, 0]])])
    assert found.tolist() == [1, -2]
    op = Reduce(arg(i64, 2), "mean", (0,), False)
    (found,) = graph_of([("mean", op)]).evaluate([np.int64([2**62 + 3, 2**61])])
    assert found.tolist() == (2**62 + 3 + 2**61) // 2


# --- what they refuse -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Add(arg(f32, 2), arg(f32, 3)), "error: add: shapes [2] and [3] do not broadcast"),
        (lambda: Add(arg(f32, 2), arg(i64, 2)), "error: add: operands have different element types: f32, i64"),
        (
            lambda: Conv(arg(f32, 1, 3, 8, 8), arg(f32, 4, 32, 1, 1)),
            "error: conv: weight expects 32 channels, input has 3\n  hint: check group=1",
        ),
        (lambda: MatMul(arg(f32, 2, 3), arg(f32, 4, 5)), "error: matmul: shapes [2, 3] and [4, 5] do not multiply"),
        (
            lambda: Interleave((arg(f32, 2), arg(f32, 2)), (5,), ((0,), (1,)), (2,)),
            "error: interleave: 2 operands do not fill shape [5]\n  hint: one, or all places",
        ),
        (lambda: Shrink(arg(i64, 3)), "error: shrink: shrinks floats, not i64\n  hint: cast it"),
        (lambda: Reshape(arg(f32, 2, 3), (4,)), "error: reshape: 6 elements do not fill shape [4]"),
        (
            lambda: Slice(arg(f32, 4), (2,), (3,)),
            "error: slice: elements 2, 3 .. 4 lie outside a dimension of 4",
        ),
        (
            lambda: Gather(arg(f32, 4), constant(np.int64([4]))),
            "error: gather: indices 4 .. 4 lie outside a dimension of 4",
        ),
    ],
)
def test_errors_name_the_operator_and_the_shapes(make: object, text: str) -> None:
    with pytest.raises(ModelError) as error:
        make()  # type: ignore[operator]
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("dtype", "bounds", "text"),
    [
        ("u8", (-3.0, 5.0), "low=-3 is no u8"),
        ("u8", (0.0, 256.0), "high=256 is no u8"),
        ("i4", (-9, 7), "low=-9 is no i4"),
        ("i64", (0.0, 2.0**63), "high=9.22337e+18 is no i64"),
        ("i32", (0.5, np.inf), "low=0.5 is no i32"),
        ("i32", (0, np.inf), "high=inf is no i32"),
        ("i32", (np.nan, 3), "low=nan is no i32"),
    ],
)
def test_a_clip_of_integers_has_bounds_of_their_type(dtype: str, bounds: tuple[float, float], text: str) -> None:
    with pytest.raises(ModelError, match=re.escape(f"clip: bound {text}")) as error:
        Clip(arg(DTYPES[dtype], 4), *bounds)
    assert error.value.hint == "take the least or largest number of the type, or max or min alone"


def test_a_clip_takes_the_extremes_of_its_type() -> None:
    for dtype in (DTYPES[name] for name in ("i2", "u4", "i8", "u16", "i32", "u32")):
        signed, half = dtype.name[0] == "i", 1 << dtype.bits - 1
        low, high = (-half, half - 1) if signed else (0, 2 * half - 1)
        x = np.array([low, 0, high]).astype(dtype.numpy)
        clip = Clip(arg(dtype, 3), low, high)
        assert clip.compute({clip.x: x}.__getitem__)[0].tolist() == x.tolist()


def test_doubles_are_computed_with_constants_in_doubles() -> None:
    one, zero, two = (constant(np.array([number])) for number in (1.0, 0.0, 2.0))
    norm = BatchNorm(arg(f64, 1, 1), one, zero, zero, two, epsilon=0.1)
    pool = Pool(arg(f64, 1, 1, 3), "average", (3,), (1,), (0, 0), (1,))
    assert float(norm.compute({**_held(norm), norm.x: np.array([[1.0]])}.__getitem__)[0].item()) == 1 / np.sqrt(2.1)
    assert float(pool.compute({pool.x: np.ones((1, 1, 3))}.__getitem__)[0].item()) == 3 * (1 / 3)
    assert fault(pool.evaluate(np.full((1, 1, 3), 0.1)), np.full((1, 1, 1), 0.1), Tolerance(1e-15, 0)) == ""


def _held(op: Op) -> dict[Value, np.ndarray]:
    return {v: v.producer.value for v in op.operands if v.producer is not None}  # type: ignore[attr-defined]


def test_an_operator_is_declared_once() -> None:
    with pytest.raises(ModelError, match="operator 'relu' is declared twice"):

        @operator("relu")
        class Other(Op):
            """Another relu."""

    assert REGISTRY["relu"] is Relu
