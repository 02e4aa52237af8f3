"""ec_conv_i8 against numpy, bit for bit: groups, strides, dilations, extremes, every kind of remainder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from edgec.kernels.packing_i8 import (
    fold_into_bias,
    merges_taps,
    pack_bias_i8,
    pack_conv_i8,
    pack_matmul_i8,
    preferred_kind,
    x_offset,
)  # fmt: skip

from .harness import shape_literal
from .harness_i8 import GUARD, Array, Case, IntegerMachine, integer_machines, run_cases
from .reference import Window, convolve

DTYPES = {"u8": np.uint8, "s8": np.int8, "f32": np.float32}
REQUANTIZE = """
struct requantize { const float *scale, *other; size_t n, h, w; float low, high, zero; };

EC_INLINE ec_f32 requantize(ec_f32 value, const void *context, size_t n, size_t h, size_t w, size_t c, size_t lanes)
{
    const struct requantize *q = context;
    const float *other = q->other + n * q->n + h * q->h + w * q->w + c;
    value = ec_f32_mul(value, ec_f32_load_lanes(q->scale + c, lanes));
    value = ec_f32_add(ec_f32_round(ec_f32_add(value, ec_f32_load_lanes(other, lanes))), ec_f32_set(q->zero));
    return ec_f32_min(ec_f32_max(value, ec_f32_set(q->low)), ec_f32_set(q->high));
}
"""


@dataclass(frozen=True)
class Sample:
    window: Window
    mr: int
    nv: int
    x: str = "u8"
    y: str = "f32"
    block_h: int = 1
    block_c: int = 1
    bias: bool = True
    extreme: bool = False


SAMPLES = (
    Sample(Window(), 1, 1, bias=False),
    Sample(Window(out_w=13, out_c=33, in_c=7), 4, 2, y="u8"),
    Sample(Window(out_w=13, out_c=33, in_c=7), 4, 2, "s8", "s8"),
    Sample(Window(out_w=8, out_c=32, in_c=128), 8, 2, extreme=True),
    Sample(Window(out_w=8, out_c=32, in_c=129), 8, 2, "s8", extreme=True),
    Sample(Window(out_w=5, out_c=16, in_c=64), 6, 1, "s8", "u8"),
    Sample(Window(out_w=1, out_c=70, in_c=531), 1, 4, extreme=True),
    Sample(Window(out_w=1, out_c=9, in_c=262), 1, 1, "s8", extreme=True),
    Sample(Window(out_w=3, out_c=20, in_c=40, batch=3), 2, 1, "s8", "f32", bias=False),
    Sample(Window(out_h=7, out_w=7, out_c=40, in_c=19, kernel=(3, 3)), 3, 2, "u8", "s8", 3, 2),
    Sample(Window(out_h=4, out_w=9, out_c=32, in_c=3, kernel=(3, 3), stride=(2, 2)), 8, 2, "u8", "u8", 4),
    Sample(Window(out_h=3, out_w=5, out_c=5, in_c=3, kernel=(7, 7), stride=(2, 2)), 5, 1, "s8", "f32", 2),
    Sample(Window(out_h=5, out_w=6, out_c=18, in_c=5, kernel=(3, 2), dilation=(2, 3), batch=2), 4, 2, "s8", "s8", 2),
    Sample(Window(out_h=2, out_w=6, out_c=11, in_c=6, groups=3, kernel=(1, 3), stride=(2, 1)), 4, 1, "u8", "u8"),
    Sample(Window(out_h=3, out_w=4, out_c=35, in_c=4, groups=2, kernel=(2, 2), extra=3), 2, 1, "s8", "u8", 2, 2),
    Sample(Window(out_h=3, out_w=15, out_c=64, in_c=8, stride=(1, 2)), 14, 1, "u8", "s8", 2, 4),
    Sample(Window(out_w=9, out_c=29, in_c=28), 4, 2, "u8", "u8", extreme=True),
    Sample(Window(out_w=7, out_c=24, in_c=45), 3, 3, "s8", "s8", extreme=True),
    Sample(Window(out_w=5, out_c=20, in_c=62), 2, 1, "u8", "f32", extreme=True),
    Sample(Window(out_w=11, out_c=17, in_c=36, kernel=(2, 1)), 5, 2, "s8", "u8"),
    Sample(Window(out_w=30, out_c=4, in_c=47), 15, 1, "u8", "u8", extreme=True),
)  # fmt: skip


@dataclass(frozen=True)
class Data:
    x: Array
    weights: Array
    bias: Array
    scale: Array
    other: Array
    zero: int


def _data(index: int, sample: Sample) -> Data:
    random = np.random.default_rng(index)
    window, channels = sample.window, sample.window.groups * sample.window.out_c
    low, high = (0, 255) if sample.x == "u8" else (-128, 127)
    x = random.integers(low, high + 1, window.x_shape)
    weights = random.integers(-128, 128, (channels, window.in_c, *window.kernel))
    if sample.extreme:
        x, weights = (
            np.where(x < (low + high) / 2 + 64, high if index % 2 else low, x),
            np.where(weights < 90, -128, 127),
        )
        x[..., :3, :] = high if sample.x == "u8" else low
    bias = random.integers(-100000, 100000, channels)
    scale = (random.random(channels) * 0.002).astype(np.float32)
    other = random.integers(-40, 40, window.y_shape).astype(np.float32)
    return Data(x.astype(DTYPES[sample.x]), weights.astype(np.int8), bias.astype(np.int32), scale, other, index % 7 - 3)


def _case(target: IntegerMachine, sample: Sample, data: Data) -> Case:
    window, panel = sample.window, sample.nv * target.machine.lanes
    fields = window.fields(sample.block_h, sample.block_c)
    merged = merges_taps(window.kernel[1], window.dilation[1], fields["x_w"], window.in_c)
    bias = data.bias if sample.bias else np.zeros_like(data.bias)
    offset = x_offset(target.isa, target.features, sample.x)
    folded = fold_into_bias(bias, data.weights, 0, offset)
    packed = pack_conv_i8(data.weights, window.groups, panel, merged), pack_bias_i8(folded, window.groups, panel)
    low, high = (0, 255) if sample.y == "u8" else (-128, 127)
    body = f"""    static const ec_conv_shape shape = {shape_literal(**fields)};
    const struct requantize context = {{in[3], in[4], shape.y_n, shape.y_h, shape.y_w, {low}, {high}, {data.zero}}};
    const size_t tasks = ec_conv_tasks(&shape, {sample.nv} * EC_LANES), half = tasks / 2;
    _Static_assert(EC_I8_OFFSET_{sample.x.upper()} == {offset}, "the bias is folded for this offset");
    const int32_t *bias = {"in[2]" if folded.any() else "NULL"};
    (void)context;
    for (int part = 1; part >= 0; part--)
        ec_conv_i8(in[0], in[1], bias, out, &shape, {sample.mr}, {sample.nv}, EC_{sample.x.upper()},
                   EC_{sample.y.upper()}, {"ec_epilogue_none" if sample.y == "f32" else "requantize"}, &context,
                   part ? half : 0, part ? tasks : half);"""
    inputs = (data.x, *packed, data.scale, data.other)
    return Case(body, inputs, int(np.prod(window.y_shape)), DTYPES[sample.y], str(sample))


def _expected(sample: Sample, data: Data) -> Array:
    channels = sample.window.groups * sample.window.out_c
    dtype = DTYPES[sample.y]
    sums = convolve(data.x, data.weights, data.bias if sample.bias else None, sample.window)
    assert np.abs(sums).max() < 2**31
    values = sums.astype(np.float32)
    if sample.y != "f32":
        info = np.iinfo(dtype)
        rounded = np.rint(values * data.scale + data.other[..., :channels]) + np.float32(data.zero)
        values = np.clip(rounded, info.min, info.max)
    whole = np.full(sample.window.y_shape, np.frombuffer(bytes([GUARD] * 4), dtype)[0], dtype)
    whole[..., :channels] = values.astype(dtype)
    return whole.ravel()


@integer_machines
def test_conv_equals_numpy(target: IntegerMachine) -> None:
    data = [_data(index, sample) for index, sample in enumerate(SAMPLES)]
    cases = [_case(target, sample, arrays) for sample, arrays in zip(SAMPLES, data, strict=True)]
    outputs = run_cases(target, ["ec_conv_i8.h"], cases, REQUANTIZE)
    for sample, arrays, output in zip(SAMPLES, data, outputs, strict=True):
        np.testing.assert_array_equal(output, _expected(sample, arrays), err_msg=str(sample))


def test_groups_must_divide() -> None:
    with pytest.raises(ValueError, match="5 channels do not divide into 2 groups"):
        pack_conv_i8(np.zeros((5, 1, 1, 1), np.int8), 2, 8, True)


def test_bias_beyond_int32_is_refused() -> None:
    with pytest.raises(ValueError, match="range of int32"):
        fold_into_bias(np.array([2**31 - 1], np.int32), np.full((1, 1), -1, np.int8), 1)


def test_matmul_packs_groups_of_four() -> None:
    packed = pack_matmul_i8(np.arange(10, dtype=np.int8).reshape(5, 2), 2)
    assert packed.tolist() == [0, 2, 4, 6, 1, 3, 5, 7, 8, 0, 0, 0, 9, 0, 0, 0]


def test_preferred_kinds() -> None:
    assert preferred_kind("avx512", ("avx512vnni",)) == "u8"
    assert preferred_kind("neon", ("neon", "dotprod")) == "s8"
