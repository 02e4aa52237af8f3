"""Float kernels with weights in fewer bits, against the same kernels with the weights as floats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from edgec.ir.ops.stored import from_rows, to_rows
from edgec.kernels.packing import pack_bias, pack_conv, pack_depthwise
from edgec.kernels.packing_weights import fits_four_bits, pack_scales, pack_widened, padded_order

from .harness import Machine, machines, shape_literal
from .harness_i8 import Case, IntegerMachine, run_cases

KINDS = {"f16": "EC_W_F16", "bf16": "EC_W_BF16", "w8": "EC_W_S8", "w4": "EC_W_S4"}


@dataclass(frozen=True)
class Layer:
    """A convolution without borders: channels by group, kernel, image; weights of `kind` in groups of `share`."""

    kind: str
    out_c: int
    in_c: int
    kernel: tuple[int, int] = (1, 1)
    image: tuple[int, int] = (1, 1)
    share: int = 32
    groups: int = 1
    dilation: int = 1
    zeros: bool = False
    tile: tuple[int, int] = (2, 2)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the weights."""
        return self.groups * self.out_c, self.in_c, *self.kernel


LAYERS = [
    Layer("w4", 70, 320, tile=(1, 4)),
    Layer("w8", 33, 45, image=(1, 7), tile=(4, 2)),
    Layer("w4", 20, 1, image=(1, 3)),
    Layer("w4", 9, 5, (3, 3), (2, 5), zeros=True),
    Layer("w8", 9, 3, (3, 5), (3, 4), share=16, zeros=True),
    Layer("w4", 7, 33, (2, 3), (2, 5), share=64, groups=2, dilation=2),
    Layer("w4", 17, 40, (3, 1), (3, 6), share=120),
    Layer("f16", 33, 7, (3, 3), (2, 5)),
    Layer("bf16", 5, 66, (1, 2), (2, 3), groups=3),
    Layer("f16", 90, 40, tile=(1, 3)),
]
FILTERS = [Layer("w8", 1, 1, (3, 3), (3, 6), 9, 37), Layer("f16", 1, 1, (5, 5), (2, 4), 25, 19)]
FILTERS += [Layer("bf16", 1, 1, (1, 9), (2, 5), 9, 6, 2), Layer("w8", 1, 1, (7, 7), (2, 5), 32, 5, zeros=True)]


@machines
@pytest.mark.parametrize("family", ["conv", "depthwise"])
def test_widened_equals_floats(machine: Machine, family: str) -> None:
    layers = LAYERS if family == "conv" else FILTERS
    cases = [case(layer, family, machine.lanes) for layer in layers]
    outputs = run_cases(IntegerMachine(machine), [f"ec_{family}_f32.h"], [c for pair in cases for c in pair])
    for layer, plain, widened in zip(layers, outputs[0::2], outputs[1::2], strict=True):
        assert np.abs(plain).max() > 0.1, layer
        close = 2e-6 * np.abs(plain).max()
        np.testing.assert_allclose(widened, plain, rtol=0, atol=close, err_msg=str(layer))


def case(layer: Layer, family: str, lanes: int) -> tuple[Case, Case]:
    """The convolution with float weights, and with stored ones."""
    random = np.random.default_rng(layer.out_c)
    numbers, floats, scalings = weights(layer, random)
    panel = lanes if family == "depthwise" else layer.tile[1] * lanes
    groups = 1 if family == "depthwise" else layer.groups
    merged = layer.kernel[1] == 1 or (layer.dilation == 1 and groups == 1)
    runs = 1 if family == "depthwise" else layer.kernel[0] * (1 if merged else layer.kernel[1])
    length = numbers.shape[1]
    share = layer.share if scalings else length
    packed = pack_widened(numbers, groups, panel, runs, share, layer.kind == "w4")
    plain = pack_depthwise(floats, lanes) if family == "depthwise" else pack_conv(floats, groups, panel)
    fields, x_size, y_size = shape(layer, family)
    x, bias = random.standard_normal(x_size).astype(np.float32), random.standard_normal(layer.shape[0])
    inputs = [x, plain, packed, pack_bias(bias.astype(np.float32), groups, panel)]
    inputs += [pack_scales(s, groups, panel) for s in scalings]
    names = (", in[4]" if scalings else ", NULL") + (", in[5]" if len(scalings) > 1 else ", NULL")
    sizes = f"{share}, {-(-length // share)}, {packed.shape[1] * packed.itemsize}"
    stored = f"{{in[2]{names}, {KINDS[layer.kind]}, {int(layer.zeros)}, {sizes}}}"
    start = f"    static const ec_conv_shape s = {fields};\n"
    tile = layer.tile[0] if family == "depthwise" else f"{layer.tile[0]}, {layer.tile[1]}"
    count = "ec_depthwise_f32_tasks(&s)" if family == "depthwise" else f"ec_conv_tasks(&s, {panel})"
    rest = f"in[3], out, &s, {tile}, ec_epilogue_none, NULL, 0, {count});"
    declared = f"const ec_weights w = {stored};\n    "
    bodies = f"ec_{family}_f32(in[0], in[1], {rest}", f"{declared}ec_{family}_f32_widened(in[0], w, {rest}"
    return tuple(Case(f"{start}    {body}", inputs, y_size, np.float32) for body in bodies)  # type: ignore[return-value]


def weights(layer: Layer, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Rows as stored, weights as floats, and the scales and zeros of the groups."""
    rows, length = layer.shape[0], int(np.prod(layer.shape[1:]))
    if layer.kind in ("f16", "bf16"):
        numbers = random.standard_normal((rows, length)).astype(np.float16)
        numbers[0, :2] = [1e-7, -65504]
        if layer.kind == "f16":
            return numbers.view(np.uint16), from_rows(numbers.astype(np.float32), layer.shape), []
        upper = numbers.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
        return (upper >> 16).astype(np.uint16), from_rows(upper.view(np.float32), layer.shape), []
    least, most = (-8, 8) if layer.kind == "w4" else (-128, 128)
    numbers = random.integers(least, most, (rows, length)).astype(np.int8)
    scales = random.uniform(0.01, 0.1, (rows, -(-length // layer.share))).astype(np.float32)
    zeros = random.integers(-8, 8, scales.shape).astype(np.int8) * layer.zeros
    spread = [np.repeat(a.astype(np.float32), layer.share, axis=1)[:, :length] for a in (zeros, scales)]
    floats = from_rows((numbers.astype(np.float32) - spread[0]) * spread[1], layer.shape)
    return numbers, floats, [scales, zeros] if layer.zeros else [scales]


def shape(layer: Layer, family: str) -> tuple[str, int, int]:
    """The initializer, and the elements of input and output."""
    (kh, kw), (h, w), step = layer.kernel, layer.image, layer.dilation
    channels_in, channels = layer.groups * layer.in_c, layer.shape[0]
    rows, columns = h + (kh - 1) * step, w + (kw - 1) * step
    fields = {
        "batch": 1, "groups": layer.groups, "out_h": h, "out_w": w, "out_c": layer.out_c, "in_c": layer.in_c,
        "kernel_h": kh, "kernel_w": kw, "stride_h": 1, "stride_w": 1, "dilation_h": step, "dilation_w": step,
        "x_n": 0, "x_h": columns * channels_in, "x_w": channels_in, "y_n": 0, "y_h": w * channels, "y_w": channels,
        "block_h": 2, "block_c": 2,
    }  # fmt: skip
    return shape_literal(**fields), rows * columns * channels_in, h * w * channels


def test_rows_are_taps_then_channels() -> None:
    weights = np.arange(24).reshape(2, 3, 2, 2)
    assert to_rows(weights)[0].tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    np.testing.assert_array_equal(from_rows(to_rows(weights), weights.shape), weights)


def test_padded_order_cuts_runs_and_groups() -> None:
    assert padded_order(6, 2, 4, 2).tolist() == [0, 1, 2, -1, 3, -1, 4, 5]
    assert padded_order(5, 1, 5, 1).tolist() == [0, 1, 2, 3, 4]


def test_only_four_bits() -> None:
    assert fits_four_bits(np.array([-8, 7]))
    assert not fits_four_bits(np.array([8]))
    assert not fits_four_bits(np.array([-9]))
