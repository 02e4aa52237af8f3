"""Operators whose places depend on data: ONNX's own cases for them in one artifact, and data that mean no good."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edgec.coverage.disputes import DISPUTES
from edgec.errors import Unsupported
from edgec.ir import Graph, Tolerance, Value, arg, f32, i64
from edgec.ir.dims import is_open
from edgec.ir.onnx_import import load
from edgec.ir.ops import (
    Concat,
    DeformColumns,
    GridSample,
    MaxRoiPool,
    NonMaxSuppression,
    Reshape,
    ResizeAxis,
    RoiAlign,
    ScatterElements,
    ScatterRows,
    Slice,
    TopK,
    Transpose,
    constant,
)
from edgec.ir.types import f64

from ...samples import Reference, fault, reference
from .harness import compiled, outputs

OPERATORS = """
    AffineGrid ArrayFeatureExtractor Binarizer CenterCropPad Col2Im Compress CumProd CumSum DFT DeformConv
    GatherElements GatherND GridSample MaxPool MaxUnpool NonMaxSuppression NonZero OneHot Resize ReverseSequence
    RoiAlign STFT Scatter ScatterElements ScatterND TensorScatter TfIdfVectorizer TopK TreeEnsemble Trilu Unique
    Upsample
"""
LEFT_OUT = DISPUTES.keys()
MOST = 1
"""Cases of an operator: the compiler takes a while for each."""
PASSED_AT_LEAST = 27


def cases() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        taken = Counter[str]()
        for case in load_model_tests(kind="node"):
            nodes = case.model.graph.node
            name = nodes[0].op_type
            if len(nodes) == 1 and name in OPERATORS.split() and case.name not in LEFT_OUT and taken[name] < MOST:
                taken[name] += 1
                yield case


def imported(case: Any) -> Graph | None:
    """The graph of a case whose operands all come at run time; None where its types or sizes are not known before."""
    try:
        graph = load(case.model.SerializeToString())
    except Unsupported as error:
        strangers = [n for n in error.nodes if "element type" not in n.reason]
        if strangers:
            raise
        return None
    return None if any(is_open(d) for v in graph.outputs for d in v.shape) else graph


def joined(graphs: list[Graph]) -> Graph:
    """Graphs side by side in one."""
    whole, results = Graph("cases"), list[Value]()
    for number, graph in enumerate(graphs):
        table: dict[Value, Value] = {}
        for value in graph.inputs:
            table[value] = whole.input(value.type, f"x{number}.{len(table)}")
        for op in graph:
            made = op.with_operands(table.__getitem__)
            whole.add(made)
            table.update(zip(op.results, made.results, strict=True))
        results += [table[v] for v in graph.outputs]
    whole.set_outputs(results, [f"y{i}" for i in range(len(results))])
    return whole


@pytest.mark.slow
def test_node_cases() -> None:
    known = [(case, graph) for case in cases() if (graph := imported(case)) is not None]
    assert len(known) >= PASSED_AT_LEAST
    arrays = [np.asarray(a) for case, _ in known for a in case.data_sets[0][0]]
    graph = joined([g for _, g in known])
    graph.metadata["examples"] = {v.name: a for v, a in zip(graph.inputs, arrays, strict=True)}  # they give the counts
    with compiled(graph, "x86-64-v3") as artifact:
        found = iter(outputs(artifact, arrays))
    for case, _ in known:
        for wanted in map(np.asarray, case.data_sets[0][1]):
            kind = bool if wanted.dtype == bool else np.float64
            np.testing.assert_allclose(
                next(found).astype(kind), wanted.astype(kind), rtol=case.rtol, atol=case.atol, err_msg=case.name
            )


# --- data that mean no good -------------------------------------------------------------------------------------------

WILD = np.array([0, -1, 5, 6, -6, -7, 2**62, -(2**63), 2**63 - 1, 3], np.int64)
ODD = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 3e9, 0.25, -0.5, 1.0, 0.0], np.float32)


def wild_graph() -> Graph:
    graph = Graph("wild")
    index, odd = graph.input(arg(i64, 10).type, "index"), graph.input(arg(f32, 10).type, "odd")
    image, wide = graph.input(arg(f32, 1, 2, 5, 6).type, "image"), graph.input(arg(f64).type, "scale")
    made: list[Any] = []

    def add(op: Any) -> Any:
        graph.add(op)
        made.append(op)
        return op

    def shaped(x: Value, *shape: int) -> Value:
        return graph.add(Reshape(x, shape))

    row = graph.add(Slice(shaped(image, 60), (0,), (6,), (1,)))
    add(ScatterElements(row, index, odd, 0, "add"))
    add(ScatterRows(shaped(image, 10, 6), shaped(index, 5, 2), graph.add(Slice(odd, (0,), (5,), (1,)))))
    add(TopK(odd, 7))
    add(GridSample(image, shaped(odd, 1, 5, 1, 2), "cubic", "reflection"))
    add(GridSample(image, shaped(odd, 1, 5, 1, 2), "linear", "border", True))
    add(GridSample(image, shaped(odd, 1, 5, 1, 2), "nearest", "zeros"))
    rois = graph.add(Slice(shaped(odd, 10), (0,), (8,), (1,)))
    picked = graph.add(Slice(index, (0,), (2,), (1,)))
    add(RoiAlign(image, shaped(rois, 2, 4), picked, (2, 2), 1.0, 2))
    add(MaxRoiPool(image, shaped(odd, 2, 5), (2, 3)))
    add(ResizeAxis(image, wide, None, 3, 4, "linear", antialias=True))
    offsets = graph.add(Concat((shaped(odd, 1, 1, 2, 5), shaped(odd, 1, 1, 2, 5)), 1))
    add(DeformColumns(image, offsets, None, (1, 1)))
    boxes = graph.add(Concat((shaped(odd, 1, 5, 2), shaped(odd, 1, 5, 2)), 2))
    limit, overlap = constant(3, i64), constant(0.5, f32)
    scores = graph.add(Slice(shaped(odd, 1, 1, 10), (0, 0, 0), (1, 1, 5), (1, 1, 1)))
    add(NonMaxSuppression(boxes, scores, limit, overlap, None, 3))
    results = [r for op in made for r in op.results]
    graph.set_outputs(results, [f"{i}" for i in range(len(results))])
    return graph


def wild_reference(scale: float) -> Reference:
    image = np.random.default_rng(7).standard_normal((1, 2, 5, 6)).astype(np.float32)
    return reference(wild_graph(), [WILD, ODD, image, np.array(scale)], Tolerance(1e-5, 1e-5))


@pytest.mark.parametrize("target", ["c", "x86-64-v3"])
def test_indices_and_places_that_lie_anywhere(target: str) -> None:
    with compiled(wild_graph(), target) as artifact:
        for scale in (0.5, 0.0, -1.0, np.nan, np.inf, 1e-300):
            wanted = wild_reference(scale)
            assert wanted.faults(outputs(artifact, wanted.inputs)) == []


def test_operands_in_other_orders_and_results_inside_others() -> None:
    graph = Graph("places")
    x, index = graph.input(arg(f32, 4, 6).type, "x"), graph.input(arg(i64, 6, 2).type, "index")
    turned = graph.add(Transpose(x, (1, 0)))
    update = graph.add(Slice(turned, (0, 1), (6, 2), (1, 1)))
    written = graph.add(ScatterElements(turned, index, update, 1))
    both = graph.add(Concat((written, turned), 1))
    graph.set_outputs([both], ["y"])
    arrays = [np.arange(24, dtype=np.float32).reshape(4, 6), np.array([[0, 3]] * 3 + [[-1, 1]] * 3)]
    wanted = reference(graph, arrays)
    with compiled(graph, "x86-64-v3") as artifact:
        (got,) = outputs(artifact, arrays)
    assert fault(got, wanted.outputs[0], Tolerance(0, 0)) == ""
