"""Quantized models: every form becomes quantize, dequantize and integer ops, and computes what it says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.errors import ModelError, Unsupported
from edgec.ir import Graph, verify
from edgec.ir.onnx_import import load
from edgec.ir.onnx_packed import PACKED, bits_of, unpacked

Array = np.ndarray
MS = "com.microsoft"
node = helper.make_node


def model(nodes: list[onnx.NodeProto], inputs: dict[str, Array], weights: dict[str, Array], version: int = 21) -> bytes:
    """A model with one output `y`; `inputs` are arrays of the types and shapes that it takes."""
    code = helper.np_dtype_to_tensor_dtype
    described = [helper.make_tensor_value_info(n, code(a.dtype), list(a.shape)) for n, a in inputs.items()]
    tensors = [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()]
    graph = helper.make_graph(nodes, "g", described, [onnx.ValueInfoProto(name="y")], tensors)
    opsets = [helper.make_opsetid("", version), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def imported(nodes: list[onnx.NodeProto], inputs: dict[str, Array], weights: dict[str, Array], **options: Any) -> Graph:
    graph = load(model(nodes, inputs, weights, **options))
    verify(graph)
    assert str(Graph.parse(str(graph))) == str(graph)
    return graph


def one(op: str, inputs: dict[str, Array], weights: dict[str, Array], order: str, **attributes: Any) -> Graph:
    """A graph of one node whose operands are named in order (`_`: left out)."""
    names = ["" if name == "_" else name for name in order.split()]
    return imported([node(op, names, ["y"], **attributes)], inputs, weights)


def names_of(graph: Graph) -> list[str]:
    return [op.name for op in graph if op.name != "constant"]


def numbers(seed: int, kind: Any, *shape: int) -> Array:
    rng = np.random.default_rng(seed)
    if np.dtype(kind).kind == "f":
        return rng.normal(size=shape).astype(kind)
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max + 1, shape).astype(kind)


def f32(*values: float) -> Array:
    return np.asarray(values if len(values) != 1 else values[0], np.float32)


# --- ONNX's own cases ---------------------------------------------------------------------------------------------

FLOATS, FORMS = ("float32", "float16"), ("", "_expanded")
NODE_CASES = [
    *(f"quantizelinear{kind}" for kind in ("", "_axis", "_uint16", "_int16")),
    *(f"quantizelinear_blocked_{kind}" for kind in ("asymmetric", "symmetric")),
    *(f"dequantizelinear{kind}" for kind in ("", "_axis", "_uint16", "_int16", "_blocked")),
    *(f"qlinearmatmul_{n}D_{kind}_{scale}" for n in "23" for kind in ("uint8", "int8") for scale in FLOATS),
    *(f"dynamicquantizelinear{kind}{form}" for kind in ("", "_max_adjusted", "_min_adjusted") for form in FORMS),
    *("qlinearconv", "convinteger_without_padding", "convinteger_with_padding", "matmulinteger"),
]
REFUSED_CASES = {
    "quantizelinear_e4m3fn": "float8e4m3fn",
    "quantizelinear_e5m2": "float8e5m2",
    "quantizelinear_float4e2m1": "float4e2m1",
    "dequantizelinear_e4m3fn": "float8e4m3fn",
    "dequantizelinear_e5m2": "float8e5m2",
    "dequantizelinear_float4e2m1": "float4e2m1",
}


@pytest.fixture(scope="module")
def cases() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        return {case.name.removeprefix("test_"): case for case in load_model_tests(kind="node")}


def with_parameters(case: Any) -> tuple[bytes, list[str], dict[str, Array]]:
    """A case with all its inputs but the tensors that it computes on (x, a, b, w) as initializers."""
    made = onnx.ModelProto()
    made.CopyFrom(case.model)
    names = [value.name for value in made.graph.input]
    plain = [numpy_helper.to_array(a) if isinstance(a, TensorProto) else a for a in case.data_sets[0][0]]
    arrays = dict(zip(names, map(np.asarray, plain), strict=True))
    kept = [value for value in made.graph.input if value.name in ("x", "a")]
    made.graph.ClearField("input")
    made.graph.input.extend(kept)
    fixed = [n for n in names if n not in ("x", "a")]
    made.graph.initializer.extend(numpy_helper.from_array(arrays[n], n) for n in fixed)
    return made.SerializeToString(), names, arrays


@pytest.mark.slow
@pytest.mark.parametrize("constant", [False, True], ids=["given", "constant"])
@pytest.mark.parametrize("name", NODE_CASES)
def test_a_node_case(cases: dict[str, Any], name: str, constant: bool) -> None:
    case = cases[name]
    data, _, arrays = with_parameters(case)
    blocked = "blocked" in name
    graph = load(data if constant or blocked else case.model.SerializeToString())
    verify(graph)
    found = graph.evaluate({v.name: arrays[v.name] for v in graph.inputs})
    wanted = [numpy_helper.to_array(a) if isinstance(a, TensorProto) else a for a in case.data_sets[0][1]]
    for got, want in zip(found, wanted, strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED_CASES)
def test_small_floats_are_refused_by_name(cases: dict[str, Any], name: str) -> None:
    with pytest.raises(Unsupported, match="1 node") as caught:
        load(with_parameters(cases[name])[0])
    assert REFUSED_CASES[name] in str(caught.value)


# --- QuantizeLinear and DequantizeLinear --------------------------------------------------------------------------


def test_weights_keep_their_integers() -> None:
    w = numbers(0, np.int8, 4, 3)
    nodes = [node("DequantizeLinear", ["w", "s", "z"], ["d"], axis=0), node("MatMul", ["x", "d"], ["y"])]
    x, scale = numbers(1, np.float32, 2, 4), f32(0.1, 0.2, 0.3, 0.4)
    graph = imported(nodes, {"x": x}, {"w": w, "s": scale, "z": np.zeros(4, np.int8)})
    assert names_of(graph) == ["dequantize", "matmul"]
    dequantize = next(op for op in graph if op.name == "dequantize")
    assert [str(v.type) for v in dequantize.operands] == ["i8[4,3]", "f32[4,1]", "i8[]"]
    (y,) = graph.evaluate([x])
    np.testing.assert_allclose(y, x @ (w * scale[:, None]), rtol=1e-5)


def test_unsigned_weights_around_128_become_signed() -> None:
    w = numbers(0, np.uint8, 4, 3)
    nodes = [node("DequantizeLinear", ["w", "s", "z"], ["d"]), node("MatMul", ["x", "d"], ["y"])]
    x = numbers(1, np.float32, 2, 4)
    for zero, kept in ((128, "i8"), (100, "u8")):
        graph = imported(nodes, {"x": x}, {"w": w, "s": f32(0.5), "z": np.uint8(zero)})
        dequantize = next(op for op in graph if op.name == "dequantize")
        assert dequantize.operands[0].dtype.name == kept
        (y,) = graph.evaluate([x])
        np.testing.assert_allclose(y, x @ ((w.astype(float) - zero) * 0.5), rtol=1e-4)


@pytest.mark.parametrize("version", [10, 13, 19, 21, 23, 25])
def test_all_versions_quantize_to_u8_without_a_zero_point(version: int) -> None:
    nodes = [node("QuantizeLinear", ["x", "s"], ["q"]), node("DequantizeLinear", ["q", "s"], ["y"])]
    x = f32(-1, 0.26, 0.25, 0.75, 1000)
    graph = imported(nodes, {"x": x}, {"s": f32(0.5)}, version=version)
    assert names_of(graph) == ["quantize", "dequantize"]
    assert graph.evaluate([x])[0].tolist() == [0, 0.5, 0, 1, 127.5]


def test_the_output_type_may_be_an_attribute() -> None:
    x = f32(-3, 3)
    graph = one("QuantizeLinear", {"x": x}, {"s": f32(1.0)}, "x s", output_dtype=TensorProto.INT16)
    assert graph.evaluate([x])[0].dtype == np.int16


def test_division_in_half_precision() -> None:
    x, s = np.float16([2049 / 16, 3.3]), np.float16(0.0478)
    graph = imported([node("QuantizeLinear", ["x", "s"], ["y"], precision=10)], {"x": x}, {"s": s}, version=23)
    wanted = np.clip(np.round((x / s).astype(np.float32)), 0, 255)
    assert graph.evaluate([x])[0].tolist() == wanted.tolist()


def test_floats_of_16_bits_come_back_as_such() -> None:
    x = numbers(0, np.int8, 2, 3)
    graph = one("DequantizeLinear", {"x": x}, {"s": np.float16(0.25)}, "x s")
    (y,) = graph.evaluate([x])
    assert y.dtype == np.float16
    assert (y == x * 0.25).all()


def test_blocks_that_do_not_divide() -> None:
    w, s, z = numbers(0, np.uint8, 5, 3), f32(*range(1, 10)).reshape(3, 3), numbers(1, np.uint8, 3, 3)
    nodes = [node("DequantizeLinear", ["w", "s", "z"], ["d"], axis=0, block_size=2), node("Add", ["x", "d"], ["y"])]
    x = np.zeros((5, 3), np.float32)
    (y,) = imported(nodes, {"x": x}, {"w": w, "s": s, "z": z}).evaluate([x])
    rows = np.arange(5) // 2
    assert (y == (w.astype(np.float32) - z[rows]) * s[rows]).all()


def test_quantized_weights_of_floats_fold() -> None:
    """As training with quantization in mind leaves them."""
    nodes = [
        node("QuantizeLinear", ["w", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("Mul", ["x", "d"], ["y"]),
    ]
    x = numbers(0, np.float32, 4)
    graph = imported(nodes, {"x": x}, {"w": f32(1, 2, 3, 4), "s": f32(0.5), "z": np.int8(0)})
    assert names_of(graph) == ["dequantize", "mul"]


def test_dynamic_quantization_of_zeros() -> None:
    nodes = [node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]), node("DequantizeLinear", ["q", "s", "z"], ["y"])]
    x = np.zeros((2, 3), np.float32)
    graph = imported(nodes, {"x": x}, {})
    assert not graph.evaluate([x])[0].any()
    x = numbers(0, np.float32, 2, 3)
    assert np.abs(graph.evaluate([x])[0] - x).max() <= np.ptp(x) / 255


# --- 4 and 2 bits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "values"), [("INT4", [-8, 7, -1, 0, 3]), ("UINT4", [15, 0, 8, 1, 9])])
def test_packed_numbers(name: str, values: list[int]) -> None:
    packed = PACKED[TensorProto.DataType.Value(name)]
    pairs = zip(values[::2], [*values[1::2], 0], strict=True)
    stored = np.array([(second & 15) << 4 | first & 15 for first, second in pairs], np.uint8)
    assert packed.bytes(5) == stored.size
    found = packed.read(stored, 5)
    assert found.tolist() == values
    assert bits_of(found) == 4
    assert bits_of(np.zeros(3, np.int8)) == 8


def test_two_bits_a_number() -> None:
    assert unpacked(np.array([[0b11100100]], np.uint8), 2).tolist() == [[0, 1, 2, 3]]


# --- QLinear* -----------------------------------------------------------------------------------------------------

X, A, B = numbers(0, np.uint8, 1, 4, 6, 6), numbers(1, np.uint8, 5, 7), numbers(2, np.int8, 7, 9)
W, V = numbers(3, np.int8, 3, 4, 3, 3), numbers(3, np.uint8, 3, 4, 3, 3)
LONG, REAL = numbers(6, np.int16, 9).astype(np.int32), numbers(6, np.float32, 9)
POOL = {"domain": MS, "kernel_shape": [2, 2]}
SCALES = {
    "sx": f32(0.0213), "sy": f32(0.05), "zx": np.uint8(120), "zy": np.uint8(7), "s3": f32(0.01, 0.02, 0.03),
    "s9": np.linspace(0.01, 0.09, 9, dtype=np.float32), "z0": np.int8(0), "z9": np.zeros(9, np.int8),
    "z3": np.zeros(3, np.int8), "zi": np.int8(-5), "s256": f32(1 / 256),
}  # fmt: skip
"""Scales and zero points that the cases name."""

RUNTIME_CASES: dict[str, tuple[str, dict[str, Array], dict[str, Array], str, dict[str, Any]]] = {
    "conv": (
        "QLinearConv", {"x": X}, {"w": W, "c": LONG[:3]}, "x sx zx w s3 z3 sy zy c",
        {"pads": [1, 1, 1, 1], "strides": [2, 2]},
    ),
    "conv-u8-weights": ("QLinearConv", {"x": X}, {"w": V}, "x sx zx w sx zx sy zy", {"auto_pad": "SAME_UPPER"}),
    "matmul-columns": ("QLinearMatMul", {"a": A}, {"b": B}, "a sx zx b s9 z9 sy zy", {}),
    "add": ("QLinearAdd", {"a": A, "b": A[1]}, {}, "a sx zx b sy zy sy zx", {"domain": MS}),
    "mul": ("QLinearMul", {"a": A, "b": A}, {}, "a sx zx b sx zx sy zy", {"domain": MS}),
    "sigmoid": ("QLinearSigmoid", {"a": A}, {}, "a sx zx sx zy", {"domain": MS}),
    "leaky": ("QLinearLeakyRelu", {"a": A}, {}, "a sx zx sx zx", {"domain": MS, "alpha": 0.2}),
    "softmax": ("QLinearSoftmax", {"a": A}, {}, "a sx zx s256 zy", {"domain": MS, "opset": 13, "axis": -1}),
    "softmax-11": ("QLinearSoftmax", {"a": X}, {}, "a sx zx s256 zy", {"domain": MS, "opset": 11, "axis": 2}),
    "concat": ("QLinearConcat", {"a": A, "b": A}, {}, "sy zy a sx zx b sy zx", {"domain": MS, "axis": 1}),
    "pool": ("QLinearAveragePool", {"x": X}, {}, "x sx zx sy zx", {**POOL, "pads": [1, 0, 1, 0]}),
    "pool-counted": (
        "QLinearAveragePool", {"x": X}, {}, "x sx zx sy zx",
        {**POOL, "pads": [1, 1, 1, 1], "strides": [2, 2], "count_include_pad": 1},
    ),
    "pool-last": ("QLinearAveragePool", {"x": X}, {}, "x sx zx sy zx", {**POOL, "channels_last": 1}),
    "global": ("QLinearGlobalAveragePool", {"x": X}, {}, "x sx zx sy zx", {"domain": MS}),
    "global-last": ("QLinearGlobalAveragePool", {"x": X}, {}, "x sx zx sy zx", {"domain": MS, "channels_last": 1}),
    "gemm": (
        "QGemm", {"a": A}, {"b": B.T.copy(), "c": LONG}, "a sx zx b s9 z9 c sy zy", {"domain": MS, "transB": 1},
    ),
    "gemm-floats": ("QGemm", {"a": A}, {"b": B}, "a sx zx b sx z0", {"domain": MS, "alpha": 0.5}),
    "gemm-alpha": (
        "QGemm", {"a": A}, {"b": B, "c": LONG}, "a sx zx b sx zi c sy zy", {"domain": MS, "alpha": 0.5},
    ),
    "matmul-integer": ("MatMulInteger", {"a": A}, {"b": B}, "a b zx zi", {}),
    "matmul-integer-3d": ("MatMulInteger", {"a": numbers(1, np.uint8, 2, 5, 7)}, {"b": B}, "a b zx", {}),
    "conv-integer": ("ConvInteger", {"x": X}, {"w": V}, "x w zx zy", {"pads": [1, 1, 1, 1]}),
    "to-float": ("MatMulIntegerToFloat", {"a": A}, {"b": B, "c": REAL}, "a b sx s9 zx z9 c", {"domain": MS}),
    "dynamic": (
        "DynamicQuantizeMatMul", {"a": numbers(1, np.float32, 5, 7)}, {"b": B, "c": REAL}, "a b s9 z9 c",
        {"domain": MS},
    ),
    "microsoft-dequantize": ("DequantizeLinear", {"a": A}, {}, "a sx zx", {"domain": MS}),
    "microsoft-quantize": ("QuantizeLinear", {"a": numbers(1, np.float32, 5, 7)}, {}, "a sx zx", {"domain": MS}),
}  # fmt: skip


def of_runtime(data: bytes, inputs: dict[str, Array]) -> Array:
    """What ONNX Runtime computes, node by node."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, inputs)[0])


@pytest.mark.parametrize("name", RUNTIME_CASES)
def test_an_operator_computes_what_onnx_runtime_does(name: str) -> None:
    op, inputs, weights, order, attributes = RUNTIME_CASES[name]
    names = ["" if n == "_" else n for n in order.split()]
    held = {**weights, **{n: SCALES[n] for n in names if n in SCALES}}
    nodes = [node(op, names, ["y"], **attributes)]
    (found,) = imported(nodes, inputs, held).evaluate(inputs)
    wanted = of_runtime(model(nodes, inputs, held), inputs)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    if found.dtype == np.float32:
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    else:
        off = np.abs(found.astype(int) - wanted.astype(int))
        assert off.max() <= (1 if found.dtype.itemsize == 1 else 0)
        assert (off > 0).mean() < 0.05


def test_sums_without_zero_points() -> None:
    a, b = numbers(1, np.uint8, 5, 7), numbers(2, np.uint8, 7)
    graph = one("QLinearAdd", {"a": a, "b": b}, {"s": f32(0.5)}, "a s _ b s _ s", domain=MS)
    assert (graph.evaluate([a, b])[0] == np.minimum(a.astype(int) + b, 255)).all()


def test_conv_without_bias_is_float_ops_between_integers() -> None:
    weights = {"w": numbers(3, np.int8, 3, 4, 3, 3), **SCALES}
    graph = one("QLinearConv", {"x": X}, weights, "x sx zx w s3 z3 sy zy")
    assert names_of(graph) == ["dequantize", "dequantize", "conv", "quantize"]


# --- integer products ---------------------------------------------------------------------------------------------


def test_constant_weights_make_integer_ops() -> None:
    graph = one("MatMulInteger", {"a": A}, {"b": B, "za": np.uint8(3)}, "a b za")
    assert names_of(graph) == ["matmul-integer", "cast"]
    (y,) = graph.evaluate([A])
    assert (y == (A.astype(int) - 3) @ B.astype(int)).all()


@pytest.mark.parametrize("zero", [0, 1, 128, 200, 255])
def test_any_zero_point_of_weights_is_exact(zero: int) -> None:
    b = numbers(2, np.uint8, 7, 9)
    b[0, :2] = 0, 255
    graph = one("MatMulInteger", {"a": A}, {"b": b, "za": np.uint8(9), "zb": np.uint8(zero)}, "a b za zb")
    assert set(names_of(graph)) <= {"matmul-integer", "cast", "add"}
    (y,) = graph.evaluate([A])
    assert (y == (A.astype(int) - 9) @ (b.astype(int) - zero)).all()


@pytest.mark.parametrize("dynamic", [False, True])
def test_sums_beyond_what_f32_holds(dynamic: bool) -> None:
    """All weights at their limits: no order of f32 additions gives the odd sums."""
    a, b, z = numbers(0, np.uint8, 3, 3000), np.full((3000, 2), -127, np.int8), np.uint8(0)
    a[0] = 255
    inputs = {"a": a, "z": np.asarray(z)} if dynamic else {"a": a}
    graph = one("MatMulInteger", inputs, {"b": b} if dynamic else {"b": b, "z": z}, "a b z")
    assert (graph.evaluate(inputs)[0] == a.astype(int) @ b.astype(int)).all()


def test_a_convolution_of_large_sums() -> None:
    x, w = np.full((1, 500, 3, 4), 255, np.uint8), np.full((2, 500, 3, 3), 127, np.int8)
    w[1, 7] = 3
    (y,) = one("ConvInteger", {"x": x}, {"w": w}, "x w").evaluate([x])
    assert (y.reshape(2, 2) == 255 * w.astype(int).sum((1, 2, 3))[:, None]).all()


def test_zero_points_by_row_and_column() -> None:
    za, zb = numbers(3, np.uint8, 5), numbers(4, np.int8, 9)
    graph = one("MatMulInteger", {"a": A}, {"b": B, "za": za, "zb": zb}, "a b za zb")
    (y,) = graph.evaluate([A])
    assert (y == (A.astype(int) - za[:, None]) @ (B.astype(int) - zb)).all()


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 2, 1]])
def test_a_zero_point_of_the_run(pads: list[int]) -> None:
    w, z = numbers(3, np.int8, 6, 2, 3, 3), np.uint8(77)
    inputs = {"x": X, "z": np.asarray(z)}
    graph = one("ConvInteger", inputs, {"w": w}, "x w z", pads=pads, group=2)
    fixed = one("ConvInteger", {"x": X}, {"w": w, "z": z}, "x w z", pads=pads, group=2)
    assert names_of(fixed) == ["conv-integer", "cast"]
    assert (graph.evaluate(inputs)[0] == fixed.evaluate([X])[0]).all()


def test_a_dynamically_quantized_product_stays_in_integers() -> None:
    nodes = [node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]), node("MatMulInteger", ["q", "b", "z"], ["y"])]
    x = numbers(0, np.float32, 2, 900)
    b = numbers(1, np.int8, 900, 4)
    graph = imported(nodes, {"x": x}, {"b": b})
    assert "matmul" not in names_of(graph)
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = np.float32(high - low) / np.float32(255)
    zero = int(np.round(-low / scale))
    q = np.clip(np.round(x / scale) + zero, 0, 255).astype(int)
    assert (graph.evaluate([x])[0] == (q - zero) @ b.astype(int)).all()


def test_products_of_unknown_numbers() -> None:
    a, b = numbers(0, np.uint8, 3, 64), numbers(1, np.int8, 64, 2)
    (y,) = one("MatMulInteger", {"a": a, "b": b}, {}, "a b").evaluate([a, b])
    assert y.dtype == np.int32
    assert (y == a.astype(int) @ b.astype(int)).all()
    a, b = numbers(0, np.uint8, 3, 640), numbers(1, np.int8, 640, 2)
    with pytest.raises(Unsupported, match="1 node") as caught:
        one("MatMulInteger", {"a": a, "b": b}, {}, "a b")
    assert "sums of 640 products" in str(caught.value)


# --- MatMulNBits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize(("k", "block"), [(64, 32), (40, 16), (48, 32)])
def test_weights_in_blocks(bits: int, zeros: bool, k: int, block: int) -> None:
    n, blocks, middle = 5, -(-k // block), 1 << (bits - 1)
    rng = np.random.default_rng(k + bits)
    q = rng.integers(0, 1 << bits, (n, blocks, block))
    z = rng.integers(0, 1 << bits, (n, blocks)) if zeros else np.full((n, blocks), middle)
    scale = rng.normal(size=(n, blocks)).astype(np.float32)
    weights = {"b": packed(q, bits), "s": scale}
    if zeros:
        weights["z"] = packed(z, bits)
    x = numbers(0, np.float32, 2, 3, k)
    order = "x b s z" if zeros else "x b s"
    graph = one(
        "MatMulNBits", {"x": x}, weights, order, domain=MS, K=k, N=n, bits=bits, block_size=block, accuracy_level=4
    )
    dense = ((q - z[..., None]) * scale[..., None]).reshape(n, -1)[:, :k].T
    np.testing.assert_allclose(graph.evaluate([x])[0], x @ dense, rtol=1e-3, atol=1e-3)
    dequantize = next(op for op in graph if op.name == "dequantize")
    assert str(dequantize.operands[0].type) == f"i8[{blocks},{block},{n}]"


def packed(values: Array, bits: int) -> Array:
    """Numbers of some bits, packed along the last dimension."""
    each = 8 // bits
    short = -values.shape[-1] % each
    wide = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, short)]).reshape(*values.shape[:-1], -1, each)
    return np.asarray((wide << (np.arange(each) * bits)).sum(-1), np.uint8)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"bits": 3}, "weights of 3 bits"),
        ({"K": 65}, "weight has 160 elements, shape [5, 3, 16] needs 240"),
        ({"block_size": 0}, "are no shape of a weight"),
    ],
)
def test_weights_that_do_not_fit(changes: dict[str, int], text: str) -> None:
    weights = {"b": np.zeros((5, 2, 16), np.uint8), "s": np.ones((5, 2), np.float32)}
    attributes = {"K": 64, "N": 5, "bits": 4, "block_size": 32, **changes}
    with pytest.raises((ModelError, Unsupported)) as caught:
        one("MatMulNBits", {"x": np.zeros((1, attributes["K"]), np.float32)}, weights, "x b s", domain=MS, **attributes)
    assert text in str(caught.value)


# --- malformed models ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear"])
@pytest.mark.parametrize("scale", [0.0, -0.5, np.nan, np.inf, 1e-60])
def test_scales_that_are_not_positive_numbers(op: str, scale: float) -> None:
    x = f32(1, 2) if op == "QuantizeLinear" else np.uint8([1, 2])
    with pytest.raises(ModelError) as caught:
        one(op, {"x": x}, {"act_scale": np.asarray(scale, np.float32)}, "x act_scale")
    assert "scale 'act_scale' holds" in str(caught.value)
    assert "hint: scales must be positive and finite" in str(caught.value)


MALFORMED: dict[str, tuple[str, dict[str, Array], str, str]] = {
    "zero of another type": (
        "DequantizeLinear", {"s": f32(1), "zp": np.int8(1)}, "q s zp", "zero point 'zp' is i8, its tensor 'q' is u8",
    ),
    "too few scales": (
        "DequantizeLinear", {"s": f32(1, 2), "zp": np.uint8([1, 2])}, "q s zp",
        "scale 's' has 2 numbers, axis 1 of shape [2, 3] has 3",
    ),
    "too few zeros": (
        "DequantizeLinear", {"s": f32(1), "zp": np.uint8([1, 2])}, "q s zp",
        "zero point 'zp' has 2 numbers, axis 1 of shape [2, 3] has 3",
    ),
    "integer scale": ("DequantizeLinear", {"s": np.int32(1)}, "q s", "scale 's' is i32"),
    "matrix of scales": ("DequantizeLinear", {"s": np.ones((3, 2), np.float32)}, "q s", "scale 's' has shape [3, 2]"),
    "quantize, too few scales": ("QuantizeLinear", {"s": f32(1, 2)}, "x s", "scale 's' has 2 numbers"),
    "quantize to i32": ("QuantizeLinear", {"s": f32(1), "zp": np.int32(1)}, "x s zp", "zero point 'zp' of i32"),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_parameters_that_do_not_fit(name: str) -> None:
    op, weights, order, text = MALFORMED[name]
    inputs = {"x": np.zeros((2, 3), np.float32)} if op == "QuantizeLinear" else {"q": np.zeros((2, 3), np.uint8)}
    with pytest.raises((ModelError, Unsupported)) as caught:
        one(op, inputs, weights, order)
    assert text in str(caught.value)


def test_i32_has_no_zero_point() -> None:
    with pytest.raises(ModelError, match="must be 0"):
        one("DequantizeLinear", {"q": np.zeros(3, np.int32)}, {"s": f32(1), "z": np.int32(3)}, "q s z")


def test_blocks_of_the_wrong_number() -> None:
    weights = {"s": np.ones((2, 2), np.float32)}
    with pytest.raises(ModelError) as caught:
        one("DequantizeLinear", {"q": np.zeros((2, 6), np.int8)}, weights, "q s", axis=1, block_size=2)
    assert "scale 's' has shape [2, 2], blocks of 2 along axis 1 of shape [2, 6] need [2, 3]" in str(caught.value)


def test_a_number_that_its_type_cannot_hold() -> None:
    data = onnx.ModelProto.FromString(
        model([node("DequantizeLinear", ["q", "s", "z"], ["y"])], {"q": np.zeros(3, np.uint8)}, {"s": f32(1)})
    )
    data.graph.initializer.append(TensorProto(name="z", data_type=TensorProto.UINT8, dims=[], int32_data=[300]))
    with pytest.raises(ModelError, match="'z' has values that u8 cannot hold"):
        load(data.SerializeToString())


def test_the_scale_of_an_input_of_a_convolution_is_one_number() -> None:
    weights = {"w": numbers(3, np.int8, 3, 4, 3, 3), **SCALES, "s4": f32(1, 2, 3, 4)}
    with pytest.raises(ModelError, match="scale 's4' has shape"):
        one("QLinearConv", {"x": X}, weights, "x s4 zx w s3 z3 sy zy")


# --- real networks ------------------------------------------------------------------------------------------------

STEPS = {"mlperftiny_kws_int8": 256, "mlperftiny_resnet8_int8": 256, "micro_kws_qdq": 255, "micro_kws_qoperator": 256}
"""Their outputs are probabilities, in steps of one over this."""


@pytest.mark.models
@pytest.mark.parametrize("name", STEPS)
def test_a_network_stays_within_two_steps(models: Path, name: str) -> None:
    with np.load(models / "real" / f"{name}.npz", allow_pickle=False) as file:
        inputs = {key[3:]: file[key] for key in file.files if key.startswith("in:")}
        outputs = {key[4:]: file[key] for key in file.files if key.startswith("out:")}
    graph = load(models / "real" / f"{name}.onnx", shapes={key: array.shape for key, array in inputs.items()})
    verify(graph)
    found = dict(zip(graph.output_names, graph.evaluate(inputs), strict=True))
    for key, wanted in outputs.items():
        assert np.abs(found[key] - wanted).max() <= 2 / STEPS[name]


LABELLED = {"mlperftiny_kws_int8": ("kws01", "mfcc", 181), "mlperftiny_resnet8_int8": ("cifar10", "images", 144)}
"""Data, its array, and how many of the first 200 samples ONNX Runtime gets right."""


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize("name", LABELLED)
def test_a_network_keeps_its_accuracy(models: Path, name: str) -> None:
    data, key, right = LABELLED[name]
    with np.load(models / "datasets" / f"{data}_dev.npz", allow_pickle=False) as file:
        samples, labels = file[key][:200], file["labels"][:200]
    x = samples.astype(np.float32)
    x = ((x - 83) * np.float32(0.5847029)).reshape(-1, 490) if key == "mfcc" else x
    graph = load(models / "real" / f"{name}.onnx")
    found = np.concatenate([graph.evaluate([sample[None]])[0] for sample in x])
    assert abs(int((found.argmax(1) == labels).sum()) - right) <= 1
