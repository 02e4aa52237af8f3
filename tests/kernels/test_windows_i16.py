"""The kernels for 16-bit values against numpy, bit for bit: convolution, depthwise, pooling, sums beyond 32 bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from edgec.kernels.packing_i8 import merges_taps, pack_bias_i8
from edgec.kernels.packing_i16 import fits_wide_sums, needs_wide_sums, pack_conv_i16, pack_depthwise_i16
from edgec.kernels.table_i16 import choose_tile_i16, depthwise_pixels_i16, get_isa_i16

from .harness import shape_literal
from .harness_i8 import GUARD, Array, Case, IntegerMachine, integer_machines, run_cases
from .reference import Window, convolve

HALVED = """
EC_INLINE ec_f32 scaled(ec_f32 value, const void *context, size_t n, size_t h, size_t w, size_t c, size_t lanes)
{
    (void)n, (void)h, (void)w;
    value = ec_f32_round(ec_f32_mul(value, ec_f32_load_lanes((const float *)context + c, lanes)));
    return ec_f32_min(ec_f32_max(value, ec_f32_set(-32768.0f)), ec_f32_set(32767.0f));
}
"""


@dataclass(frozen=True)
class Sample:
    window: Window
    mr: int
    nv: int = 1
    y: str = "f32"
    extreme: bool = False
    blocks: tuple[int, int] = (1, 1)


SAMPLES = (
    Sample(Window(), 1),
    Sample(Window(out_w=13, out_c=33, in_c=7), 4, 2, "s16"),
    Sample(Window(out_w=13, out_c=33, in_c=8), 4, 2, "u8"),
    Sample(Window(out_w=5, out_c=16, in_c=511), 4, 1, extreme=True),
    Sample(Window(out_w=5, out_c=16, in_c=512), 4, 1, extreme=True),
    Sample(Window(out_w=1, out_c=70, in_c=1031), 1, 4, extreme=True),
    Sample(Window(out_h=7, out_w=7, out_c=40, in_c=19, kernel=(3, 3)), 3, 2, "s16", blocks=(3, 2)),
    Sample(Window(out_h=4, out_w=9, out_c=32, in_c=3, kernel=(3, 3), stride=(2, 2)), 8, 2, "s16", blocks=(4, 1)),
    Sample(Window(out_h=2, out_w=5, out_c=5, in_c=130, kernel=(3, 3), dilation=(2, 3)), 3, 1, extreme=True),
    Sample(Window(out_h=3, out_w=4, out_c=35, in_c=5, groups=2, kernel=(2, 2), extra=3), 2, 1, "s16", blocks=(2, 2)),
)
DEPTHWISE = (
    Sample(Window(out_h=3, out_w=9, groups=19, kernel=(3, 3), extra=2), 4, y="s16"),
    Sample(Window(out_h=2, out_w=4, groups=35, kernel=(5, 4), stride=(2, 1), dilation=(1, 2), batch=2), 4),
    Sample(Window(out_h=2, out_w=3, groups=16, kernel=(2, 1)), 8, y="u8"),
)


def _wide(sample: Sample, weights: Array, bias: Array) -> bool:
    wide = needs_wide_sums(weights, bias)
    assert wide == ((sample.extreme and sample.window.in_c > 511) or sample.window.in_c == 130), sample
    return wide


@dataclass(frozen=True)
class Data:
    x: Array
    weights: Array
    bias: Array
    scale: Array


def _data(index: int, sample: Sample) -> Data:
    random = np.random.default_rng(index)
    window, channels = sample.window, sample.window.groups * sample.window.out_c
    x = random.integers(-32768, 32768, window.x_shape)
    weights = random.integers(-128, 128, (channels, window.in_c, *window.kernel))
    if sample.extreme:
        x[..., : window.x_shape[2] // 2 + 1, :] = -32768
        weights[::2] = -128
    bias = random.integers(-100000, 100000, channels)
    scale = (random.random(channels) * 0.0005).astype(np.float32)
    return Data(x.astype(np.int16), weights.astype(np.int8), bias.astype(np.int32), scale)


DTYPES = {"u8": np.uint8, "s16": np.int16, "f32": np.float32}


def _expected(sample: Sample, data: Data) -> Array:
    window, dtype = sample.window, DTYPES[sample.y]
    values = convolve(data.x, data.weights, data.bias, window).astype(np.float32)
    if sample.y != "f32":
        values = np.clip(np.rint(values * data.scale), -32768, 32767)
    if sample.y == "u8":
        values = np.clip(values, 0, 255)
    guard = np.frombuffer(bytes([GUARD] * 4), dtype)[0]
    whole = np.full(window.y_shape, guard, dtype)
    whole[..., : window.groups * window.out_c] = values.astype(dtype)
    return whole.ravel()


def _kind(sample: Sample) -> str:
    return "EC_REQUANTIZED(EC_U8, 0)" if sample.y == "u8" else f"EC_{sample.y.upper()}"


def _call(sample: Sample, data: Data, target: IntegerMachine, depthwise: bool) -> Case:
    window, lanes = sample.window, target.machine.lanes
    fields = window.fields(*sample.blocks)
    epilogue = "ec_epilogue_none, NULL" if sample.y == "f32" else "scaled, in[3]"
    if depthwise:
        packed = pack_depthwise_i16(data.weights, lanes), pack_bias_i8(data.bias, 1, lanes)
        tasks = "ec_depthwise_i16_tasks(&shape)"
        call = f"ec_depthwise_i16(in[0], in[1], in[2], out, &shape, {sample.mr}, {_kind(sample)}, {epilogue}"
    else:
        panel = sample.nv * lanes
        merged = merges_taps(window.kernel[1], window.dilation[1], fields["x_w"], window.in_c)
        packed = (
            pack_conv_i16(data.weights, window.groups, panel, merged),
            pack_bias_i8(data.bias, window.groups, panel),
        )
        wide = int(_wide(sample, data.weights, data.bias))
        tasks = f"ec_conv_tasks(&shape, {sample.nv} * EC_LANES)"
        tile = f"{sample.mr}, {sample.nv}, {wide}"
        call = f"ec_conv_i16(in[0], in[1], in[2], out, &shape, {tile}, {_kind(sample)}, {epilogue}"
    body = f"""    static const ec_conv_shape shape = {shape_literal(**fields)};
    const size_t tasks = {tasks}, half = tasks / 2;
    {call}, half, tasks);
    {call}, 0, half);"""
    return Case(body, (data.x, *packed, data.scale), int(np.prod(window.y_shape)), DTYPES[sample.y], str(sample))


@pytest.mark.parametrize("depthwise", [False, True], ids=["conv", "depthwise"])
@integer_machines
def test_equals_numpy(target: IntegerMachine, depthwise: bool) -> None:
    samples = DEPTHWISE if depthwise else SAMPLES
    data = [_data(index, sample) for index, sample in enumerate(samples)]
    cases = [_call(sample, arrays, target, depthwise) for sample, arrays in zip(samples, data, strict=True)]
    header = "ec_depthwise_i16.h" if depthwise else "ec_conv_i16.h"
    for sample, arrays, output in zip(samples, data, run_cases(target, [header], cases, HALVED), strict=True):
        np.testing.assert_array_equal(output, _expected(sample, arrays), err_msg=str(sample))


@integer_machines
def test_pools_equal_numpy(target: IntegerMachine) -> None:
    window = Window(batch=2, groups=21, out_h=3, out_w=4, kernel=(3, 2), stride=(1, 2), extra=1)
    x = np.random.default_rng(0).integers(-32768, 32768, window.x_shape).astype(np.int16)
    shape = shape_literal(**window.fields())
    calls = {"EC_S16": "0, EC_S16", "EC_F32": "1, EC_F32"}
    bodies = [
        f"static const ec_conv_shape shape = {shape};\n"
        f"ec_pool_i16(in[0], out, &shape, {call}, ec_epilogue_none, NULL, 0, ec_pool_i16_tasks(&shape));"
        for call in calls.values()
    ]
    size = int(np.prod(window.y_shape))
    cases = [Case(body, (x,), size, dtype) for body, dtype in zip(bodies, (np.int16, np.float32), strict=True)]
    most, total = run_cases(target, ["ec_pool_i16.h"], cases)
    taps = np.stack([pixels[..., :21] for _, _, pixels in window.taps(x)]).astype(np.int32)
    np.testing.assert_array_equal(most.reshape(window.y_shape)[..., :21], taps.max(0))
    np.testing.assert_array_equal(total.reshape(window.y_shape)[..., :21], taps.sum(0).astype(np.float32))


def test_tiles_stay_in_registers() -> None:
    for isa, features, registers in (("avx2", (), 16), ("avx512", ("avx512vnni",), 32), ("neon", (), 32)):
        row = get_isa_i16(isa, features)
        tile = choose_tile_i16(isa, features, 56, 128, 576)
        assert row.fits(tile.mr, tile.nv)
        assert depthwise_pixels_i16(registers) in (4, 8)
    assert get_isa_i16("avx512", ("avx512vnni",)).dot == 1


def test_which_sums_need_more_than_32_bits() -> None:
    most = np.full((1, 511, 1, 1), -128, np.int8)
    assert not needs_wide_sums(most, np.zeros(1, np.int32))
    assert needs_wide_sums(most, np.full(1, 2**23, np.int32))
    assert fits_wide_sums(most)
    assert not fits_wide_sums(np.full((1, 2**18), -128, np.int8))


def test_packs_groups_of_two() -> None:
    weights = np.arange(1, 7, dtype=np.int8).reshape(2, 3, 1, 1)
    assert pack_conv_i16(weights, 1, 2, True).tolist() == [1, 2, 4, 5, 3, 0, 6, 0]
    with pytest.raises(ValueError, match="2 channels do not divide into 3 groups"):
        pack_conv_i16(weights, 3, 2, True)
