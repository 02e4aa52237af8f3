"""Depthwise convolution, pooling, tables and conversions of 8-bit values against numpy, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.kernels.packing_i8 import (
    depthwise_offset,
    depthwise_rows,
    fold_into_bias,
    pack_bias_i8,
    pack_depthwise_i8,
)

from .harness import shape_literal
from .harness_i8 import (
    GUARD,
    INTEGER_MACHINES,
    WITH_BYTE_PERMUTES,
    Array,
    Case,
    IntegerMachine,
    integer_machines,
    run_cases,
)
from .reference import Window, convolve

DTYPES = {"u8": np.uint8, "s8": np.int8}
WINDOWS = (
    Window(groups=1),
    Window(groups=21, out_h=5, out_w=13, kernel=(3, 3)),
    Window(groups=33, out_h=3, out_w=17, kernel=(3, 3), batch=2),
    Window(groups=16, out_h=4, out_w=6, kernel=(3, 3), stride=(2, 2), extra=5),
    Window(groups=40, out_h=3, out_w=5, kernel=(5, 5)),
    Window(groups=70, out_h=2, out_w=3, kernel=(3, 2), dilation=(2, 3)),
    Window(groups=9, out_h=2, out_w=5, kernel=(1, 9), stride=(1, 2)),
    Window(groups=130, kernel=(7, 7)),
    Window(groups=5, out_w=35, kernel=(2, 1)),
    Window(groups=64, out_h=2, out_w=4, kernel=(4, 4)),
)
MEAN = """
EC_INLINE ec_f32 mean(ec_f32 value, const void *context, size_t n, size_t h, size_t w, size_t c, size_t lanes)
{
    (void)n, (void)h, (void)w, (void)c, (void)lanes;
    return ec_f32_round(ec_f32_mul(value, ec_f32_set(*(const float *)context)));
}
"""
SCALED = """
EC_INLINE ec_f32 scaled(ec_f32 value, const void *context, size_t n, size_t h, size_t w, size_t c, size_t lanes)
{
    (void)n, (void)h, (void)w, (void)c, (void)lanes;
    return ec_f32_mul(value, ec_f32_set(*(const float *)context));
}
"""


def _values(seed: int, kind: str, shape: tuple[int, ...]) -> Array:
    """Random values with many extremes."""
    info = np.iinfo(DTYPES[kind])
    random = np.random.default_rng(seed)
    values = random.integers(info.min, info.max + 1, shape)
    return np.where(random.random(shape) < 0.3, random.choice([info.min, info.max], shape), values).astype(info.dtype)


def _body(window: Window, call: str, tasks: str) -> str:
    """Calls a kernel for the second half of its tasks and then for the first."""
    return f"""    static const ec_conv_shape s = {shape_literal(**window.fields())};
    const size_t half = {tasks}(&s) / 2;
    {call}, half, {tasks}(&s));
    {call}, 0, half);"""


def _whole(window: Window, y: Array) -> Array:
    whole = np.full(window.y_shape, np.frombuffer(bytes([GUARD] * 4), y.dtype)[0], y.dtype)
    whole[..., : window.groups] = y
    return whole.ravel()


def _compare(target: IntegerMachine, header: str, cases: list[Case], expected: list[Array], text: str = "") -> None:
    for case, output, wanted in zip(cases, run_cases(target, [header], cases, text), expected, strict=True):
        np.testing.assert_array_equal(output, wanted, err_msg=case.body)


@integer_machines
def test_depthwise_equals_numpy(target: IntegerMachine) -> None:
    cases, expected = [], []
    for seed, window in enumerate(WINDOWS):
        kind = "u8" if seed % 2 else "s8"
        x, weights = _values(seed, kind, window.x_shape), _values(seed + 50, "s8", (window.groups, 1, *window.kernel))
        bias = np.random.default_rng(seed).integers(-9999, 9999, window.groups).astype(np.int32)
        lanes = target.machine.lanes
        bias = bias if seed % 3 else np.zeros_like(bias)
        offset = depthwise_offset(target.isa, target.features, kind)
        folded = fold_into_bias(bias, weights, 0, offset)
        rows = depthwise_rows(target.isa, target.features)
        packed = pack_depthwise_i8(weights, lanes, rows), pack_bias_i8(folded, 1, lanes)
        given = "in[2]" if folded.any() else "NULL"
        call = f"ec_depthwise_i8(in[0], in[1], {given}, out, &s, 4, EC_{kind.upper()}, EC_F32, ec_epilogue_none, NULL"
        body = (
            _body(window, call, "ec_depthwise_i8_tasks")
            + f"""
    _Static_assert(EC_I8_ROWS == {rows} && EC_I8_ROWS_OFFSET_{kind.upper()} == {offset}, "as packed");"""
        )
        cases.append(Case(body, (x, *packed), int(np.prod(window.y_shape)), np.float32))
        y = convolve(x, weights, bias, window).astype(np.float32)
        expected.append(_whole(window, y))
    _compare(target, "ec_depthwise_i8.h", cases, expected)


@integer_machines
def test_depthwise_of_any_pixels_stores_bytes(target: IntegerMachine) -> None:
    """Through EC_REQUANTIZED: rounded, shifted and saturated."""
    cases, expected, scale = [], [], np.float32(0.0037)
    offset_of = {kind: depthwise_offset(target.isa, target.features, kind) for kind in DTYPES}
    rows, lanes = depthwise_rows(target.isa, target.features), target.machine.lanes
    for kind, pixels in (("u8", 3), ("s8", 6), ("u8", 8)):
        window = Window(groups=19, out_h=2, out_w=2 * pixels + 1, kernel=(3, 3), stride=(1, 1 + pixels % 2))
        dtype = DTYPES[kind]
        x, weights = _values(pixels, kind, window.x_shape), _values(pixels + 9, "s8", (window.groups, 1, 3, 3))
        bias = np.random.default_rng(pixels).integers(-9999, 9999, window.groups).astype(np.int32)
        folded, zero = fold_into_bias(bias, weights, 0, offset_of[kind]), 3 * pixels - 12
        stored = f"EC_REQUANTIZED(EC_{kind.upper()}, {zero})"
        call = f"ec_depthwise_i8(in[0], in[1], in[2], out, &s, {pixels}, EC_{kind.upper()}, {stored}, scaled, in[3]"
        packed = pack_depthwise_i8(weights, lanes, rows), pack_bias_i8(folded, 1, lanes), np.array([scale])
        body = _body(window, call, "ec_depthwise_i8_tasks")
        cases.append(Case(body, (x, *packed), int(np.prod(window.y_shape)), dtype))
        y = np.rint(convolve(x, weights, bias, window).astype(np.float32) * scale) + zero
        info = np.iinfo(dtype)
        expected.append(_whole(window, np.clip(y, info.min, info.max).astype(dtype)))
    _compare(target, "ec_depthwise_i8.h", cases, expected, SCALED)


@integer_machines
def test_pool_equals_numpy(target: IntegerMachine) -> None:
    cases, expected = [], []
    for seed, window in enumerate(WINDOWS):
        for kind, dtype in DTYPES.items():
            x, size = _values(seed, kind, window.x_shape), int(np.prod(window.y_shape))
            taps = np.stack([pixels[..., : window.groups] for _, _, pixels in window.taps(x)])
            call = f"ec_pool_i8_max(in[0], out, &s, EC_{kind.upper()}"
            cases.append(Case(_body(window, call, "ec_pool_i8_tasks"), (x,), size, dtype))
            expected.append(_whole(window, taps.max(0)))
            scale = np.float32(1 / len(taps))
            call = f"ec_pool_i8_sum(in[0], out, &s, EC_{kind.upper()}, EC_{kind.upper()}, mean, in[1]"
            body = _body(window, call, "ec_pool_i8_tasks")
            cases.append(Case(body, (x, np.array([scale], np.float32)), size, dtype))
            mean = np.rint(taps.astype(np.int64).sum(0).astype(np.float32) * scale)
            expected.append(_whole(window, mean.astype(dtype)))
    _compare(target, "ec_pool_i8.h", cases, expected, MEAN)


@pytest.mark.parametrize("target", [*INTEGER_MACHINES, WITH_BYTE_PERMUTES], ids=lambda target: target.name)
def test_table_equals_numpy(target: IntegerMachine) -> None:
    cases, expected = [], []
    for size in (0, 1, 17, 64, 333, 1024):
        x = np.random.default_rng(size).permutation(np.arange(1024).astype(np.uint8))[:size]
        table = np.random.default_rng(1).permutation(256).astype(np.uint8)
        cases.append(Case(f"    ec_table_i8(in[0], in[1], out, {size});", (x, table), size))
        expected.append(table[x])
    _compare(target, "ec_table_i8.h", cases, expected)


@integer_machines
def test_conversions_equal_numpy(target: IntegerMachine) -> None:
    cases, expected, lanes = [], [], target.machine.lanes
    for kind, dtype in DTYPES.items():
        every = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)
        body = "    for (size_t i = 0; i < 256; i += EC_LANES)\n        %s"
        load = f"ec_f32_store((float *)out + i, ec_f32_load_{kind}((const uint8_t *)in[0] + i));"
        cases.append(Case(body % load, (every,), 256, np.float32))
        expected.append(every.astype(np.float32))
        halves = np.clip(
            every.astype(np.float32) + np.tile(np.float32([0.5, -0.5, 0.25, -0.49]), 64), every[0], every[-1]
        )
        store = f"ec_f32_store_{kind}((uint8_t *)out + i, ec_f32_load((const float *)in[0] + i));"
        cases.append(Case(body % store, (halves,), 256, dtype))
        expected.append(np.rint(halves).astype(dtype))
        for n in range(1, lanes):
            both = f"    ec_f32_store_{kind}_tail(out, ec_f32_load_{kind}_tail(in[0], {n}), {n});"
            cases.append(Case(both, (every[-lanes:],), n, dtype))
            expected.append(every[-lanes:][:n])
    wide = np.random.default_rng(0).integers(-(2**31), 2**31, 64).astype(np.int32)
    body = "    for (size_t i = 0; i < 64; i += EC_LANES)\n        "
    cases.append(
        Case(
            body + "ec_f32_store((float *)out + i, ec_f32_load_i32((const int32_t *)in[0] + i));",
            (wide,),
            64,
            np.float32,
        )
    )
    expected.append(wide.astype(np.float32))
    _compare(target, "ec_simd_i8.h", cases, expected)
