"""ONNX from the IR: what it says is what `evaluate` computes."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgec.driver import canonical, import_model
from edgec.errors import EdgecError, Unsupported
from edgec.ir import REGISTRY, Graph, arg, f32
from edgec.ir.onnx_export import FINE_OPSET, OPSET, export, export_bytes
from edgec.ir.onnx_export_rules import too_new
from edgec.ir.ops import Add, Concat, Dequantize, Quantize, Relayout, Relu, constant
from edgec.ir.types import i8, i16

onnxruntime = pytest.importorskip("onnxruntime")


def _module(name: str) -> object:
    path = Path(__file__).parents[1] / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, found)
    spec.loader.exec_module(found)
    return found


samples = _module("samples")
LOWERED = (
    "bit-cast", "contract", "find-size", "grouped-conv-integer", "grouped-matmul-integer", "pack-panels",
    "panel-matmul", "recurrent-integer", "relayout", "winograd-conv",
)  # fmt: skip
"""What only passes of the C backend make, after the stage that is exported, and checks of a run, which ONNX has not."""
WITHOUT_WORDS = (
    "compress", "deform-columns", "non-max-suppression", "non-zero", "resize-axis", "shift-left", "shift-right",
    "unique",
)  # fmt: skip
"""Ops that say in numbers what ONNX says in other shapes (counts beside results of full size, tables, columns), and
those that say more than ONNX: shifts by any number, the bits of any type."""
TEXT = tuple(sorted(n for n in REGISTRY if any(v.dtype.is_text for op in samples.samples_of(n) for v in op.operands)))
"""Ops on strings, which are not written."""


def exportable(name: str) -> list[object]:
    """The samples of an op without those of integer arithmetic in 16 bits, which passes make too, and of new types."""
    wide = name in ("conv-integer", "matmul-integer")
    kept = [op for op in samples.samples_of(name) if not (wide and op.operands[0].dtype.bits > 8)]
    return [
        op for op in kept if not too_new(op) and not any(v.dtype.name == "bf16" for v in (*op.operands, *op.results))
    ]


def session(content: bytes, whole: bool = True) -> object:
    """ONNX Runtime; not `whole` runs the model as it was written."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    if not whole:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(graph: Graph, arrays: list[np.ndarray], content: bytes) -> list[np.ndarray]:
    opened = session(content, whole=False)
    return opened.run(None, dict(zip([one.name for one in opened.get_inputs()], arrays, strict=True)))


@pytest.mark.parametrize("name", sorted(set(REGISTRY).difference(samples.INTERNAL, LOWERED, WITHOUT_WORDS, TEXT)))
def test_every_op_means_the_same_in_onnx(name: str) -> None:
    for op in exportable(name):
        graph = samples.graph_of([(name, samples.with_weights(op))])
        model = export(graph).model
        onnx.checker.check_model(model, full_check=True)
        wanted = samples.reference(graph)
        assert wanted.faults(run(graph, wanted.inputs, model.SerializeToString())) == []


def test_integers_of_16_bits_are_refused_by_name() -> None:
    wide = [op for op in samples.samples_of("conv-integer") if op.operands[0].dtype.bits > 8]
    with pytest.raises(Unsupported, match="conv-integer"):
        export(samples.graph_of([("conv", op) for op in wide]))


@pytest.mark.parametrize("name", LOWERED + WITHOUT_WORDS)
def test_what_has_no_counterpart_is_refused_by_name(name: str) -> None:
    graph = samples.graph_of([(name, op) for op in samples.samples_of(name)])
    with pytest.raises(Unsupported) as caught:
        export(graph)
    assert len(caught.value.nodes) == len(samples.samples_of(name))
    assert name in str(caught.value)


@pytest.mark.parametrize("name", TEXT)
def test_strings_are_refused_by_name(name: str) -> None:
    for op in samples.samples_of(name):
        with pytest.raises(Unsupported, match=f"{name} .*: strings are not written"):
            export(samples.graph_of([(name, op)]))


def test_products_of_half_precision_round_their_operands_alone() -> None:
    graph = samples.graph_of([("product", samples.with_weights(op)) for op in samples.samples_of("half-conv")[:1]])
    names = [node.op_type for node in export(graph).model.graph.node]
    assert sorted(names) == ["Cast"] * 2 + ["Conv"]  # of the image: its weights are constants, rounded already


def test_all_refusals_come_at_once() -> None:
    graph = Graph()
    x = graph.input(arg(f32, 1, 2, 3, 4).type, "x")
    first = Relayout(x, (0, 2, 3, 1)).result
    graph.set_outputs([graph.add(Relayout(Relu(first).result, (0, 1, 2, 3)))], ["y"])
    with pytest.raises(Unsupported) as caught:
        export(graph)
    assert len(caught.value.nodes) == 2


def test_inputs_outputs_and_doubles_keep_their_names() -> None:
    graph = Graph()
    x = graph.input(arg(f32, 3).type, "x")
    y = graph.add(Relu(x))
    y.name = "x"
    graph.set_outputs([x, y, y, constant(np.ones(2, np.float32))], ["same", "y", "again", "ones"])
    graph.insert_before(None, graph.outputs[3].producer)
    model = export(graph).model
    onnx.checker.check_model(model, full_check=True)
    assert [one.name for one in model.graph.output] == ["same", "y", "again", "ones"]
    assert [one.name for one in model.graph.input] == ["x"]
    got = run(graph, [np.array([-1, 0, 2], np.float32)], model.SerializeToString())
    assert [list(one) for one in got] == [[-1, 0, 2], [0, 0, 2], [0, 0, 2], [1, 1]]


def _quantized(scale: np.ndarray, kind: object, shape: tuple[int, ...]) -> Graph:
    graph = Graph()
    x = graph.input(arg(f32, *shape).type, "x")
    number = constant(scale.astype(np.float32))
    zero = constant(0, kind)
    graph.set_outputs([graph.add(Dequantize(Quantize(x, number, zero, kind).result, number, zero))], ["y"])
    return graph


@pytest.mark.parametrize(
    ("scale", "kind", "operators", "opset"),
    [
        (np.array(0.1), i8, 2, OPSET),
        (np.array([[0.1], [0.2], [0.3]]), i8, 2, OPSET),
        (np.array(0.01), i16, 2, FINE_OPSET),
        (np.full((2, 3, 1), 0.1) + np.arange(3)[:, None], i8, 2, FINE_OPSET),
        (np.full((2, 1, 4), 0.1) + np.arange(4), i8, 2, FINE_OPSET),
        (np.full((3, 4), 0.1) + np.arange(4), i8, 0, OPSET),
    ],
)
def test_scales_of_every_granularity(scale: np.ndarray, kind: object, operators: int, opset: int) -> None:
    graph = _quantized(scale, kind, (2, 3, 4))
    model = export(graph).model
    onnx.checker.check_model(model, full_check=True)
    assert sum(node.op_type.endswith("Linear") for node in model.graph.node) == operators
    assert model.opset_import[0].version == opset
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    np.testing.assert_allclose(run(graph, [x], model.SerializeToString())[0], graph.evaluate([x])[0], rtol=1e-6)


def test_what_is_chosen_is_spelled_out() -> None:
    graph = samples.graph_of([("softmax", samples.samples_of("softmax")[0])])
    names = [node.op_type for node in export(graph, lambda op: True).model.graph.node]
    assert names == ["ReduceMax", "Sub", "Exp", "ReduceSum", "Div", "Mul"]
    assert [node.op_type for node in export(graph).model.graph.node] == ["Softmax"]


def test_nodes_are_traced_to_ops() -> None:
    graph = samples.graph_of([("resize", op) for op in samples.samples_of("resize")])
    exported = export(graph, lambda op: True)
    assert {node.name for node in exported.model.graph.node} == set(exported.ops)
    assert set(exported.ops.values()) == {op for op in graph if op.name == "resize"}


def test_the_same_bytes_twice() -> None:
    graph = samples.graph_of([("lstm", op) for op in samples.samples_of("recurrent")])
    assert export_bytes(graph) == export_bytes(graph.copy())


def test_it_comes_back() -> None:
    graph = Graph()
    x = graph.input(arg(f32, 2, 3).type, "x")
    graph.set_outputs([graph.add(Concat((Add(x, constant(np.float32(2))).result, x), 1))], ["y"])
    back = import_model(export_bytes(graph))
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(back.evaluate([array])[0], graph.evaluate([array])[0])


# --- real networks ----------------------------------------------------------------------------------------------------

FOLDER = Path(os.environ.get("EDGEC_MODELS", "")) / "real"
NETWORKS = sorted(path.stem for path in FOLDER.glob("*.onnx")) if os.environ.get("EDGEC_MODELS") else []


@pytest.mark.models
@pytest.mark.parametrize("name", NETWORKS)
def test_real_networks_compute_the_same(name: str) -> None:
    data = np.load(FOLDER / f"{name}.npz")
    given = {key[3:]: data[key] for key in data.files if key.startswith("in:")}
    try:
        graph = canonical(FOLDER / f"{name}.onnx", shapes={key: array.shape for key, array in given.items()})
    except EdgecError as error:
        pytest.skip(f"is not imported: {error.what}")
    content = export_bytes(graph)
    onnx.checker.check_model(content, full_check=True)
    wanted = session(str(FOLDER / f"{name}.onnx")).run(None, given)
    got = session(content).run(None, {v.name: given[v.name] for v in graph.inputs})
    for one, other in zip(got, wanted, strict=True):
        worst = np.abs(one.astype(np.float64) - other).max() if one.size else 0
        assert worst <= 1e-4 * max(1.0, np.abs(other.astype(np.float64)).max())
