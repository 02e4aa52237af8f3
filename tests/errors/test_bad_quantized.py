"""Quantized models with something wrong: a clear error that names node or tensor, or the result that was meant."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgec import driver
from edgec.errors import EXIT_INTERNAL, EdgecError, Mismatch, ModelError, Unsupported

from ..quantized_models import MS, Array, f32, model, node, numbers, one
from .quantized_damage import damaged

X, Q = np.zeros((2, 3), np.float32), np.zeros((2, 3), np.uint8)
THREE = {"s": f32(1, 2, 3), "z": np.uint8([1, 2, 3])}

MALFORMED: dict[str, tuple[str, dict[str, Array], dict[str, Array], str, dict[str, Any], str]] = {
    "axis too large": ("DequantizeLinear", {"q": Q}, THREE, "q s z", {"axis": 2}, "axis 2 is outside a tensor"),
    "axis too small": ("QuantizeLinear", {"x": X}, THREE, "x s z", {"axis": -3}, "axis -3 is outside a tensor"),
    "no scale": ("DequantizeLinear", {"q": Q}, {}, "q", {}, "it has 1 operands, its operator takes 2 to 3"),
    "blank scale": ("DequantizeLinear", {"q": Q}, {"z": np.uint8(1)}, "q _ z", {}, "operand 1 is missing"),
    "scale of nothing": (
        "DequantizeLinear", {"q": Q}, {"s": np.ones(0, np.float32)}, "q s", {},
        "scale 's' has 0 numbers, axis 1 of shape [2, 3] has 3",
    ),
    "float zero point": (
        "DequantizeLinear", {"q": Q}, {"s": f32(1), "z": f32(1)}, "q s z", {},
        "zero point 'z' is f32, its tensor 'q' is u8",
    ),
    "negative block": (
        "DequantizeLinear", {"q": Q}, {"s": np.ones((2, 2), np.float32)}, "q s", {"axis": 1, "block_size": -2},
        "block_size is -2",
    ),
    "too few blocks": (
        "DequantizeLinear", {"q": Q}, {"s": np.ones((2, 1), np.float32)}, "q s", {"axis": 1, "block_size": 2},
        "scale 's' has shape [2, 1], blocks of 2 along axis 1 of shape [2, 3] need [2, 2]",
    ),
    "zero points for other blocks": (
        "DequantizeLinear", {"q": Q}, {"s": np.ones((2, 2), np.float32), "z": np.ones((2, 3), np.uint8)}, "q s z",
        {"axis": 1, "block_size": 2}, "zero point 'z' has shape [2, 3], blocks of 2 along axis 1",
    ),
    "block axis": (
        "DequantizeLinear", {"q": Q}, {"s": np.ones((2, 2), np.float32)}, "q s", {"axis": 4, "block_size": 2},
        "axis 4 is outside a tensor of rank 2",
    ),
    "half a scale": ("DequantizeLinear", {"q": Q}, {"s": np.float16(0)}, "q s", {}, "scale 's' holds 0.0"),
    "double beyond float": ("DequantizeLinear", {"q": Q}, {"s": np.float64(1e50)}, "q s", {}, "scale 's' holds inf"),
    "parts of a concatenation": (
        "QLinearConcat", {"q": Q}, {"s": f32(1), "z": np.uint8(1)}, "s z q s", {"domain": MS}, "it has 4 operands",
    ),
    "result scale of zero": (
        "QLinearAdd", {"q": Q}, {"s": f32(1), "z": np.uint8(1), "t": f32(0)}, "q s z q s z t z", {"domain": MS},
        "scale 't' holds 0.0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_parameters_that_cannot_be_meant(name: str) -> None:
    op, inputs, weights, order, attributes, text = MALFORMED[name]
    with pytest.raises(ModelError) as caught:
        one(op, inputs, weights, order, **attributes)
    assert text in str(caught.value)
    assert op in str(caught.value)
    assert caught.value.exit_code == 3


# --- quantized convolutions -------------------------------------------------------------------------------------------

IMAGE = numbers(0, np.uint8, 1, 4, 6, 6)
PARAMETERS: dict[str, Array] = {
    "sx": f32(0.02), "zx": np.uint8(3), "w": numbers(3, np.int8, 3, 4, 3, 3), "sw": f32(0.1, 0.2, 0.3),
    "zw": np.zeros(3, np.int8), "sy": f32(0.5), "zy": np.uint8(3), "b": np.int32([1, 2, 3]),
}  # fmt: skip


def convolution(changes: dict[str, Array | None]) -> bytes:
    """A QLinearConv with some of its operands changed, or left out."""
    operands = {name: array for name, array in {**PARAMETERS, **changes}.items() if array is not None}
    names = [name if name in operands else "" for name in PARAMETERS]
    return model([node("QLinearConv", ["x", *names], ["y"])], {"x": IMAGE}, operands)


WRONG: dict[str, tuple[dict[str, Array | None], str]] = {
    "no input scale": ({"sx": None}, "operand 1 is missing"),
    "no weight": ({"w": None}, "operand 3 is missing"),
    "no result scale": ({"sy": None}, "operand 6 is missing"),
    "signed zero of bytes": ({"zx": np.int8(3)}, "zero point 'zx' is i8, its tensor 'x' is u8"),
    "unsigned zero of weights": ({"zw": np.zeros(3, np.uint8)}, "zero point 'zw' is u8, its tensor 'w' is i8"),
    "too few weight scales": ({"sw": f32(1, 2)}, "scale 'sw' has 2 numbers, axis 0 of shape [3, 4, 3, 3] has 3"),
    "a weight scale of zero": ({"sw": f32(0.1, 0, 0.1)}, "scale 'sw' holds 0.0"),
    "a weight scale that is no number": ({"sw": f32(0.1, np.nan, 0.1)}, "scale 'sw' holds nan"),
    "an infinite scale": ({"sy": f32(np.inf)}, "scale 'sy' holds inf"),
    "a negative scale": ({"sx": f32(-1)}, "scale 'sx' holds -1.0"),
    "many input scales": ({"sx": f32(1, 2, 3, 4)}, "scale 'sx' has shape [4]"),
    "many input zero points": ({"zx": np.uint8([1, 2, 3, 4])}, "zero point 'zx' has shape [4]"),
    "too short a bias": ({"b": np.int32([1, 2])}, "scale has 3 numbers, axis 0 of shape [2] has 2"),
    "a bias of floats": ({"b": f32(1, 2, 3)}, "bias 'b' of f32 is not dequantized"),
    "no weights at all": ({"w": np.zeros((0, 4, 3, 3), np.int8)}, "QLinearConv"),
    "weights of floats": ({"w": np.ones((3, 4, 3, 3), np.float32)}, "operand 3 'w' of f32 is not dequantized"),
}


@pytest.mark.parametrize("name", WRONG)
def test_convolutions_that_cannot_be_meant(name: str) -> None:
    changes, text = WRONG[name]
    with pytest.raises((ModelError, Unsupported)) as caught:
        driver.lower(convolution(changes), "c")
    assert text in str(caught.value)
    assert "QLinearConv" in str(caught.value)


ODD: dict[str, dict[str, Array | None]] = {
    "no zero points": {"zx": None, "zw": None, "zy": None},
    "zero points of weights": {"zw": np.int8([-128, 2, 3])},
    "a subnormal scale": {"sy": np.float32(1e-44)},
    "a scale that makes everything zero": {"sy": f32(3e38)},
    "a factor beyond f32": {"sx": f32(1e6), "sy": f32(1.2e-38)},
    "a bias near the limit": {"b": np.full(3, 2**31 - 9999999, np.int32)},
    "parameters of one dimension": {"sx": np.ones(1, np.float32), "zx": np.uint8([3])},
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ODD)
def test_odd_convolutions_are_computed(name: str) -> None:
    lowered = driver.lower(convolution(ODD[name]), "c")
    (found,) = lowered.reference.evaluate([IMAGE])
    wanted = expected({**PARAMETERS, **ODD[name]})
    assert np.abs(found.astype(int) - wanted).max() <= 1


def expected(given: dict[str, Array | None]) -> Array:
    """The convolution in double precision."""
    p = {name: np.float64(0) if array is None else array.astype(np.float64) for name, array in given.items()}
    x, w = IMAGE[0] - p["zx"], p["w"] - np.broadcast_to(p["zw"], 3).reshape(3, 1, 1, 1)
    view = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    total = np.einsum("cijab,mcab->mij", view, w) + p["b"].reshape(3, 1, 1)
    scaled = total * p["sx"] * p["sw"].reshape(3, 1, 1) / p["sy"]
    return np.asarray(np.clip(np.rint(scaled) + p["zy"], 0, 255)[None], np.int64)


# --- 4 bits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 9])
def test_four_bit_weights_of_the_wrong_size(size: int) -> None:
    nodes = [node("DequantizeLinear", ["w", "s"], ["d"]), node("MatMul", ["x", "d"], ["y"])]
    made = onnx.ModelProto.FromString(model(nodes, {"x": X}, {"s": f32(0.5)}))
    made.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.INT4, dims=[3, 3], raw_data=bytes(size)))
    with pytest.raises(ModelError, match=f"tensor 'w' has {size} bytes"):
        driver.lower(made.SerializeToString(), "c")


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
@pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear"])
def test_tensors_without_elements(op: str, shape: tuple[int, int]) -> None:
    x = np.zeros(shape, np.float32 if op == "QuantizeLinear" else np.uint8)
    artifact = driver.compile(model([node(op, ["x", "s"], ["y"])], {"x": x}, {"s": f32(1)}), "c")
    assert artifact(x).shape == shape


# --- damage -----------------------------------------------------------------------------------------------------------


def small() -> bytes:
    """A little of everything: QDQ form, quantized operators, a softmax."""
    weights = {**PARAMETERS, "v": numbers(4, np.int8, 48, 5), "sv": f32(0.01)}
    nodes = [
        node("QuantizeLinear", ["x", "sx", "zx"], ["q"]),
        node("QLinearConv", ["q", *PARAMETERS], ["c"], pads=[0, 0, 0, 0], strides=[1, 1]),
        node("DequantizeLinear", ["c", "sy", "zy"], ["d"]),
        node("Flatten", ["d"], ["f"], axis=1),
        node("DequantizeLinear", ["v", "sv"], ["dv"]),
        node("MatMul", ["f", "dv"], ["m"]),
        node("QuantizeLinear", ["m", "sy", "zy"], ["n"]),
        node("DequantizeLinear", ["n", "sy", "zy"], ["o"]),
        node("Softmax", ["o"], ["y"], axis=1),
    ]
    return model(nodes, {"x": IMAGE.astype(np.float32)}, weights)


def survive(data: bytes) -> None:
    """Compile as far as C: that works, or an error says why not."""
    try:
        driver.assemble(driver.lower(data, "c"), build=False, selftest=False)
    except EdgecError as error:
        assert error.exit_code not in (EXIT_INTERNAL, Mismatch.exit_code), str(error)  # noqa: PT017


@pytest.mark.parametrize("seed", range(150))
def test_damaged_models(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        survive(damaged(small(), seed))


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize(
    "name", ["mlperftiny_kws_int8", "mlperftiny_resnet8_int8", "micro_kws_qdq", "micro_kws_qoperator"]
)
def test_damaged_networks(models: Path, name: str) -> None:
    data = (models / "real" / f"{name}.onnx").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(40):
            survive(damaged(data, seed))
