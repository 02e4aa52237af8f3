"""Quantized models: QuantizeLinear and DequantizeLinear in all their forms, malformed ones, whole networks."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgec.errors import ModelError, Unsupported
from edgec.ir import verify
from edgec.ir.onnx_import import load
from edgec.ir.onnx_packed import PACKED, unpacked

from ..quantized_models import Array, f32, imported, model, names_of, node, numbers, one, packed

# --- ONNX's own cases ---------------------------------------------------------------------------------------------

FLOATS, FORMS = ("float32", "float16"), ("", "_expanded")
NODE_CASES = [
    *(f"quantizelinear{kind}" for kind in ("", "_axis", "_uint16", "_int16")),
    *(f"quantizelinear_blocked_{kind}" for kind in ("asymmetric", "symmetric")),
    *(f"dequantizelinear{kind}" for kind in ("", "_axis", "_uint16", "_int16", "_blocked")),
    *(f"qlinearmatmul_{n}D_{kind}_{scale}" for n in "23" for kind in ("uint8", "int8") for scale in FLOATS),
    *(f"dynamicquantizelinear{kind}{form}" for kind in ("", "_max_adjusted", "_min_adjusted") for form in FORMS),
    *("qlinearconv", "convinteger_without_padding", "convinteger_with_padding", "matmulinteger"),
    *(f"{way}linear_{kind}" for way in ("quantize", "dequantize") for kind in ("e4m3fn", "e5m2", "float4e2m1")),
]


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
    assert found.dtype.name == name.lower()


def test_two_bits_a_number() -> None:
    assert unpacked(np.array([[0b11100100]], np.uint8), 2).tolist() == [[0, 1, 2, 3]]


def packed_tensor(name: str, kind: int, values: Array, raw: bool) -> TensorProto:
    stored = packed(values.reshape(1, -1) & 15, 4).tobytes()
    data = {"raw_data": stored} if raw else {"int32_data": list(stored)}
    return TensorProto(name=name, data_type=kind, dims=values.shape, **data)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(("kind", "low"), [(TensorProto.INT4, -8), (TensorProto.UINT4, 0)])
def test_weights_of_four_bits_become_bytes(kind: int, low: int, raw: bool) -> None:
    rng = np.random.default_rng(0)
    w, z = rng.integers(low, low + 16, (9, 3)), rng.integers(low, low + 16, (3, 3))
    x, s = numbers(0, np.float32, 2, 9), rng.uniform(0.1, 1, (3, 3)).astype(np.float32)
    nodes = [node("DequantizeLinear", ["w", "s", "z"], ["d"], axis=0, block_size=4), node("MatMul", ["x", "d"], ["y"])]
    found = onnx.ModelProto.FromString(model(nodes, {"x": x}, {"s": s}))
    found.graph.initializer.extend([packed_tensor("w", kind, w, raw), packed_tensor("z", kind, z, raw)])
    graph = load(found.SerializeToString())
    dequantize = next(op for op in graph if op.name == "dequantize")
    assert [str(v.type) for v in dequantize.operands] == ["i8[9,3]", "f32[9,3]", "i8[]"]
    rows = np.arange(9) // 4
    np.testing.assert_allclose(graph.evaluate([x])[0], x @ ((w - z[rows]) * s[rows]), rtol=1e-5, atol=1e-5)


def test_activations_in_four_bits() -> None:
    x = f32(-9.6, 2.5, 3.5, 7.4)
    found = onnx.ModelProto.FromString(model([node("QuantizeLinear", ["x", "s", "z"], ["y"])], {"x": x}, {"s": f32(1)}))
    found.graph.initializer.append(packed_tensor("z", TensorProto.INT4, np.array(1), True))
    (y,) = load(found.SerializeToString()).evaluate([x])
    assert (y.dtype.name, y.tolist()) == ("int4", [-8, 3, 5, 7])


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


def test_blocks_beyond_any_memory() -> None:
    weights = {"s": np.ones((1, 1), np.float32)}
    nodes = [node("DequantizeLinear", ["q", "s"], ["y"], axis=1, block_size=1 << 38)]
    data = onnx.ModelProto.FromString(model(nodes, {"q": np.zeros((1, 1), np.int8)}, weights))
    data.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1 << 38
    with pytest.raises(ModelError, match="scale 's' is too large"):
        load(data.SerializeToString())


def test_a_number_that_its_type_cannot_hold() -> None:
    data = onnx.ModelProto.FromString(
        model([node("DequantizeLinear", ["q", "s", "z"], ["y"])], {"q": np.zeros(3, np.uint8)}, {"s": f32(1)})
    )
    data.graph.initializer.append(TensorProto(name="z", data_type=TensorProto.UINT8, dims=[], int32_data=[300]))
    with pytest.raises(ModelError, match="'z' has values that u8 cannot hold"):
        load(data.SerializeToString())


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
