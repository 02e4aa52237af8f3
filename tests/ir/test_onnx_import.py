"""How models become graphs: names, origins, folding, open dimensions, functions, branches, old versions."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.ir import Graph, verify
from edgec.ir.onnx_import import load

Node = onnx.NodeProto
node = helper.make_node


def model(
    nodes: list[Node],
    inputs: dict[str, tuple[Any, ...]],
    weights: dict[str, np.ndarray] | None = None,
    outputs: tuple[str, ...] = ("y",),
    version: int = 17,
    **options: Any,
) -> onnx.ModelProto:
    """A model of float inputs; outputs have no declared shape."""
    described = [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in inputs.items()]
    results = [onnx.ValueInfoProto(name=n) for n in outputs]
    tensors = [numpy_helper.from_array(a, n) for n, a in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", described, results, tensors)
    opsets = [helper.make_opsetid(d, v) for d, v in {"": version, "com.microsoft": 1, "local": 1}.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=options.pop("ir_version", 8), **options)


def imported(found: onnx.ModelProto, **options: Any) -> Graph:
    graph = load(found.SerializeToString(), **options)
    verify(graph)
    return graph


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


# --- names and origins --------------------------------------------------------------------------------------------


def test_values_keep_their_names_and_ops_their_origins() -> None:
    nodes = [node("Relu", ["x"], ["middle"], name="first"), node("Neg", ["middle"], ["y"], name="second")]
    graph = imported(model(nodes, {"x": (1, 3)}))
    assert [op.result.name for op in graph] == ["middle", "y"]
    assert [str(op.origin) for op in graph] == ["ONNX node 0 Relu 'first'", "ONNX node 1 Neg 'second'"]
    assert graph.stage == "imported"


def test_identities_vanish_and_outputs_keep_their_names() -> None:
    nodes = [node("Identity", ["x"], ["a"]), node("Relu", ["a"], ["b"]), node("Identity", ["b"], ["y"])]
    graph = imported(model([*nodes, node("Identity", ["x"], ["z"])], {"x": (1, 3)}, outputs=("y", "z")))
    assert [op.name for op in graph] == ["relu"]
    assert graph.output_names == ["y", "z"]
    assert graph.outputs[1] is graph.inputs[0]


def test_nodes_may_stand_in_any_order_and_unneeded_ones_go() -> None:
    nodes = [node("Neg", ["a"], ["y"]), node("Mystery", ["x"], ["unread"]), node("Relu", ["x"], ["a"])]
    assert [op.name for op in imported(model(nodes, {"x": (1, 3)}))] == ["relu", "neg"]


def test_initializers_listed_as_inputs() -> None:
    found = model(
        [node("Add", ["x", "w"], ["y"])], {"x": (1, 3), "w": (3,)}, {"w": np.ones(3, np.float32)}, ir_version=3
    )
    assert [v.name for v in imported(found).inputs] == ["x"]


def test_an_output_may_be_a_constant() -> None:
    found = model([node("Shape", ["x"], ["y"])], {"x": (1, 3)})
    (shape,) = imported(found).evaluate([np.zeros((1, 3), np.float32)])
    assert shape.tolist() == [1, 3]


def test_sparse_initializers() -> None:
    found = model([node("Add", ["x", "w"], ["y"])], {"x": (2, 3)})
    values = numpy_helper.from_array(np.float32([5, 7]), "w")
    places = numpy_helper.from_array(np.array([[0, 1], [1, 2]], np.int64), "i")
    found.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2, 3]))
    (y,) = imported(found).evaluate([np.zeros((2, 3), np.float32)])
    assert y.tolist() == [[0, 5, 0], [0, 0, 7]]


# --- folding ------------------------------------------------------------------------------------------------------


def test_shape_chains_fold_away() -> None:
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Unsqueeze", ["n", "axes"], ["n1"]),
        node("Concat", ["n1", "rest"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"], ["y"]),
    ]
    weights = {"zero": np.array(0, np.int64), "axes": ints(0), "rest": ints(-1)}
    graph = imported(model(nodes, {"x": (2, 3, 4)}, weights))
    assert [op.name for op in graph] == ["reshape"]
    assert graph.outputs[0].shape == (2, 12)


def test_folding_does_not_grow_the_model() -> None:
    nodes = [node("Expand", ["w", "shape"], ["big"]), node("Add", ["x", "big"], ["y"])]
    weights = {"w": np.ones((1, 1), np.float32), "shape": ints(512, 512)}
    assert "expand" in [op.name for op in imported(model(nodes, {"x": (512, 512)}, weights))]


# --- open dimensions ----------------------------------------------------------------------------------------------


def test_an_open_batch_becomes_one_and_is_noted() -> None:
    graph = imported(model([node("Relu", ["x"], ["y"])], {"x": ("batch", 3)}))
    assert graph.inputs[0].shape == (1, 3)
    assert graph.metadata["assumed"] == {"batch": 1}
    assert "batch" in graph.journal[0].reason
    assert imported(model([node("Relu", ["x"], ["y"])], {"x": (None, 3)})).metadata["assumed"] == {"x[0]": 1}


def test_dimensions_by_name_and_shapes_by_input() -> None:
    found = model([node("Relu", ["x"], ["y"])], {"x": ("batch", "seq")})
    assert imported(found, dims={"batch": 4, "seq": 7}).inputs[0].shape == (4, 7)
    assert imported(found, shapes={"x": (2, 9)}).inputs[0].shape == (2, 9)
    assert imported(found, dims={"seq": 5}).inputs[0].shape == (1, 5)


def test_a_shape_given_for_one_input_fixes_the_names_of_others() -> None:
    found = model([node("Add", ["x", "z"], ["y"])], {"x": ("batch", "seq"), "z": ("batch", "seq")})
    assert [v.shape for v in imported(found, shapes={"x": (2, 9)}).inputs] == [(2, 9), (2, 9)]


# --- functions and branches ---------------------------------------------------------------------------------------


def scaled_relu() -> onnx.FunctionProto:
    nodes = [node("LeakyRelu", ["a"], ["t"], name="inner"), node("Add", ["t", "b"], ["r"])]
    attribute = nodes[0].attribute.add(name="alpha", type=onnx.AttributeProto.FLOAT)
    attribute.ref_attr_name = "slope"
    opset = [helper.make_opsetid("", 17)]
    return helper.make_function("local", "ScaledRelu", ["a", "b"], ["r"], nodes, opset, ["slope"])


@pytest.mark.parametrize(("attributes", "slope"), [({"slope": 0.5}, 0.5), ({}, 0.01)])
def test_a_function_is_written_out(attributes: dict[str, float], slope: float) -> None:
    call = node("ScaledRelu", ["x", "x"], ["y"], name="block", domain="local", **attributes)
    graph = imported(model([call], {"x": (1, 2)}, functions=[scaled_relu()]))
    assert [str(op.origin) for op in graph] == ["ONNX node 0 LeakyRelu 'block/inner'", "ONNX node 0 Add 'block'"]
    (y,) = graph.evaluate([np.float32([[-2, 3]])])
    np.testing.assert_allclose(y, [[-2 - 2 * slope, 6]])


@pytest.mark.parametrize(("flag", "name"), [(True, "relu"), (False, "neg")])
def test_a_branch_with_a_known_condition(flag: bool, name: str) -> None:
    results = [onnx.ValueInfoProto(name="z")]
    taken = helper.make_graph([node("Relu", ["x"], ["z"])], "then", [], results)
    other = helper.make_graph([node("Neg", ["x"], ["z"])], "else", [], results)
    call = node("If", ["c"], ["y"], then_branch=taken, else_branch=other)
    assert [op.name for op in imported(model([call], {"x": (1, 2)}, {"c": np.array(flag)}))] == [name]


def test_a_branch_with_an_open_condition_stays_one() -> None:
    branch = helper.make_graph([node("Relu", ["x"], ["z"])], "b", [], [onnx.ValueInfoProto(name="z")])
    nodes = [node("Less", ["x", "x"], ["c"]), node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)]
    graph = imported(model(nodes, {"x": (1,)}))
    assert [op.name for op in graph] == ["less", "if"]
    assert str(graph.ops[1].then) == str(graph.ops[1].otherwise).replace("else_branch", "then_branch")


# --- speed --------------------------------------------------------------------------------------------------------


def test_long_chains_import_in_linear_time() -> None:
    nodes = [node("Relu" if i % 2 else "Neg", [f"v{i}"], [f"v{i + 1}"]) for i in range(10_000)]
    data = model(nodes, {"v0": (1, 8)}, outputs=("v10000",)).SerializeToString()
    start = time.perf_counter()
    assert len(load(data)) == 10_000
    assert time.perf_counter() - start < 10


# --- versions: against ONNX Runtime -------------------------------------------------------------------------------

f = np.float32
OLD_AND_NEW = [
    (7, node("Clip", ["x"], ["y"], min=-0.5, max=0.5), (2, 3), {}),
    (11, node("Clip", ["x", "", "h"], ["y"]), (2, 3), {"h": f(0.25)}),
    (13, node("Clip", ["x", "l"], ["y"]), (2, 3), {"l": f(0)}),
    (9, node("Softmax", ["x"], ["y"]), (2, 3, 4), {}),
    (11, node("LogSoftmax", ["x"], ["y"], axis=2), (2, 3, 4), {}),
    (11, node("Hardmax", ["x"], ["y"], axis=1), (2, 3, 4), {}),
    (13, node("Softmax", ["x"], ["y"], axis=1), (2, 3, 4), {}),
    (9, node("Slice", ["x"], ["y"], starts=[1, -3], ends=[99, -1], axes=[0, 1]), (3, 4), {}),
    (
        10,
        node("Slice", ["x", "s", "e", "a", "t"], ["y"]),
        (3, 9),
        {"s": ints(-1), "e": ints(-99), "a": ints(1), "t": ints(-3)},
    ),
    (7, node("Pad", ["x"], ["y"], pads=[0, 1, 2, -1], value=1.5), (3, 4), {}),
    (7, node("Pad", ["x"], ["y"], pads=[0, 2, 0, 1], mode="reflect"), (3, 4), {}),
    (11, node("Pad", ["x", "p"], ["y"], mode="edge"), (3, 4), {"p": ints(0, 2, 0, 1)}),
    (19, node("Pad", ["x", "p", "", "a"], ["y"], mode="wrap"), (3, 4), {"p": ints(2, 1), "a": ints(-1)}),
    (11, node("Squeeze", ["x"], ["y"], axes=[0]), (1, 3, 1), {}),
    (13, node("Squeeze", ["x", "a"], ["y"]), (1, 3, 1), {"a": ints(-1)}),
    (11, node("Unsqueeze", ["x"], ["y"], axes=[0, 3]), (2, 3), {}),
    (13, node("Unsqueeze", ["x", "a"], ["y"]), (2, 3), {"a": ints(-1, 0)}),
    (11, node("ReduceSum", ["x"], ["y"], axes=[1], keepdims=0), (2, 3, 4), {}),
    (13, node("ReduceSum", ["x", "a"], ["y"]), (2, 3, 4), {"a": ints(0, -1)}),
    (13, node("ReduceSum", ["x"], ["y"], noop_with_empty_axes=1), (2, 3), {}),
    (13, node("ReduceLogSumExp", ["x"], ["y"], axes=[1], keepdims=0), (2, 3), {}),
    (18, node("ReduceL2", ["x", "a"], ["y"]), (2, 3), {"a": ints(1)}),
    (7, node("Upsample", ["x"], ["y"], scales=[1.0, 1.0, 2.0, 3.0]), (1, 2, 3, 4), {}),
    (9, node("Upsample", ["x", "s"], ["y"], mode="linear"), (1, 2, 3, 4), {"s": f([1, 1, 2, 2])}),
    (10, node("Resize", ["x", "s"], ["y"]), (1, 2, 3, 4), {"s": f([1, 1, 0.5, 2])}),
    (13, node("Resize", ["x", "", "s"], ["y"], mode="linear"), (1, 2, 3, 4), {"s": f([1, 1, 1.5, 2])}),
    (13, node("Resize", ["x", "", "", "z"], ["y"], mode="cubic"), (1, 2, 4, 4), {"z": ints(1, 2, 7, 5)}),
    (
        13,
        node("Resize", ["x", "", "s"], ["y"], mode="linear", coordinate_transformation_mode="align_corners"),
        (1, 1, 2, 4),
        {"s": f([1, 1, 0.6, 0.6])},
    ),
    (7, node("Dropout", ["x"], ["y"]), (2, 3), {}),
    (7, node("AveragePool", ["x"], ["y"], kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]), (1, 2, 6, 5), {}),
    (
        19,
        node("AveragePool", ["x"], ["y"], kernel_shape=[3], strides=[2], ceil_mode=1, count_include_pad=1, pads=[1, 1]),
        (1, 2, 8),
        {},
    ),
    (
        12,
        node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, dilations=[1, 2]),
        (1, 2, 8, 9),
        {},
    ),
    (12, node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"), (1, 2, 8, 9), {}),
    (11, node("LpPool", ["x"], ["y"], kernel_shape=[2, 2], p=3), (1, 2, 4, 5), {}),
    (
        11,
        node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2]),
        (1, 2, 5, 6),
        {"w": np.ones((3, 2, 3, 2), f)},
    ),
    (11, node("Conv", ["x", "w"], ["y"], group=2, dilations=[2]), (1, 2, 9), {"w": np.ones((4, 1, 3), f)}),
    (
        11,
        node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], output_shape=[7, 9], auto_pad="SAME_UPPER"),
        (1, 2, 3, 4),
        {"w": np.ones((2, 3, 3, 3), f)},
    ),
    (
        11,
        node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
        (1, 2, 3, 4),
        {"w": np.ones((2, 3, 3, 3), f)},
    ),
    (
        9,
        node("Gemm", ["x", "w", "c"], ["y"], alpha=0.5, beta=2.0, transA=1, transB=1),
        (3, 4),
        {"w": np.ones((5, 3), f), "c": np.ones((4, 1), f)},
    ),
    (13, node("Pow", ["x", "e"], ["y"]), (2, 3), {"e": np.int64(2)}),
    (13, node("Mod", ["x", "m"], ["y"], fmod=1), (2, 3), {"m": f(0.7)}),
    (12, node("Einsum", ["x", "w"], ["y"], equation="bij,jk->bki"), (2, 3, 4), {"w": np.ones((4, 5), f)}),
    (11, node("CumSum", ["x", "a"], ["y"], reverse=1, exclusive=1), (2, 3, 4), {"a": np.int64(1)}),
    (11, node("GatherElements", ["x", "i"], ["y"], axis=1), (2, 3), {"i": np.array([[0, -1], [2, 1]], np.int64)}),
    (
        11,
        node("ScatterND", ["x", "i", "u"], ["y"]),
        (4, 3),
        {"i": np.array([[2], [0]], np.int64), "u": np.ones((2, 3), f)},
    ),
    (17, node("LayerNormalization", ["x", "s"], ["y"], axis=1), (2, 3, 4), {"s": np.full((3, 4), 2, f)}),
    (13, node("Tile", ["x", "r"], ["y"]), (2, 3), {"r": ints(2, 3)}),
    (14, node("Trilu", ["x", "k"], ["y"], upper=0), (3, 4), {"k": np.int64(1)}),
    (13, node("DepthToSpace", ["x"], ["y"], blocksize=2, mode="CRD"), (1, 8, 2, 3), {}),
    (17, node("Gelu", ["x"], ["y"], domain="com.microsoft"), (2, 3), {}),
    (17, node("BiasGelu", ["x", "b"], ["y"], domain="com.microsoft"), (2, 3), {"b": np.ones(3, f)}),
    (
        17,
        node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft", transA=1, alpha=0.5),
        (3, 4),
        {"w": np.ones((3, 2), f)},
    ),
]


@pytest.mark.parametrize(
    ("version", "call", "shape", "weights"), OLD_AND_NEW, ids=lambda v: getattr(v, "op_type", None)
)
def test_versions_agree_with_onnx_runtime(
    version: int, call: Node, shape: tuple[int, ...], weights: dict[str, np.ndarray]
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    tensors = {name: np.asarray(array) for name, array in weights.items()}
    found = model([call], {"x": shape}, tensors, version=version)
    found.graph.output[0].type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    (wanted,) = runtime.InferenceSession(found.SerializeToString()).run(None, {"x": x})
    (got,) = imported(found).evaluate([x])
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_shape_of_a_result_is_that_of_what_keeps_it() -> None:
    """Axes of the run fit the declared output, although operators that keep the shape stand between."""
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["wide"], to=onnx.TensorProto.DOUBLE),
        helper.make_node("Sqrt", ["wide"], ["y"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [3, 2, 4]),
        helper.make_tensor_value_info("axes", onnx.TensorProto.INT64, [1]),
    ]
    output = helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, [3, 1, 4])
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, [output]))
    x = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    (got,) = load(model.SerializeToString()).evaluate([x, np.array([-2])])
    np.testing.assert_allclose(got, np.sqrt(x.sum(1, keepdims=True)), rtol=1e-6)
