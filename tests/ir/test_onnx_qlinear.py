"""Operators on quantized operands: against ONNX Runtime node by node, and against integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgec.errors import ModelError, Unsupported

from ..quantized_models import MS, Array, f32, imported, model, names_of, node, numbers, one, packed

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


def test_the_scale_of_an_input_of_a_convolution_is_one_number() -> None:
    weights = {"w": numbers(3, np.int8, 3, 4, 3, 3), **SCALES, "s4": f32(1, 2, 3, 4)}
    with pytest.raises(ModelError, match="scale 's4' has shape"):
        one("QLinearConv", {"x": X}, weights, "x s4 zx w s3 z3 sy zy")


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
    (y,) = one("MatMulInteger", {"a": a, "b": b}, {}, "a b").evaluate([a, b])
    assert (y == a.astype(int) @ b.astype(int)).all()


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


def test_long_products_of_computed_operands_are_cut_into_exact_ones() -> None:
    a, b, zero = numbers(3, np.uint8, 2, 3, 600), numbers(4, np.uint8, 2, 600, 5), np.asarray(3, np.uint8)
    graph = one("MatMulInteger", {"a": a, "b": b, "z": zero}, {}, "a b z z")
    assert names_of(graph).count("matmul") == 3
    wanted = (a.astype(np.int64) - 3) @ (b.astype(np.int64) - 3)
    np.testing.assert_array_equal(graph.evaluate([a, b, zero])[0], wanted)
