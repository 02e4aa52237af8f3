"""Depthwise convolution, pooling, transposing and packing against numpy."""

from __future__ import annotations

import numpy as np

from edgec.kernels.packing import pack_depthwise, pack_depthwise_bias, pack_matmul

from .harness import GUARD, Case, Floats, Machine, machines, run_cases, shape_literal
from .reference import Window, convolve

WINDOWS = (
    Window(groups=1, out_w=1, kernel=(1, 1)),
    Window(groups=21, out_h=5, out_w=13, kernel=(3, 3)),
    Window(groups=33, out_h=3, out_w=17, kernel=(3, 3), stride=(1, 1), batch=2),
    Window(groups=16, out_h=4, out_w=6, kernel=(3, 3), stride=(2, 2), extra=5),
    Window(groups=40, out_h=3, out_w=5, kernel=(5, 5)),
    Window(groups=70, out_h=2, out_w=3, kernel=(3, 2), dilation=(2, 3)),
    Window(groups=9, out_h=2, out_w=5, kernel=(1, 9), stride=(1, 2)),
    Window(groups=130, out_h=1, out_w=1, kernel=(7, 7)),
    Window(groups=5, out_h=1, out_w=35, kernel=(2, 1)),
)


def _normal(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _halves(call: str, tasks: str) -> str:
    """Calls a kernel for the second half of its tasks and then for the first."""
    return f"    const size_t half = {tasks} / 2;\n    {call}, half, {tasks});\n    {call}, 0, half);"


def _whole(window: Window, y: Floats) -> Floats:
    whole = np.full(window.y_shape, GUARD)
    whole[..., : window.groups] = y
    return whole.ravel()


@machines
def test_depthwise_equals_numpy(machine: Machine) -> None:
    cases, expected = [], []
    for seed, window in enumerate(WINDOWS):
        x, weights = _normal(seed, *window.x_shape), _normal(seed + 50, window.groups, 1, *window.kernel)
        bias = _normal(seed + 90, window.groups) if seed % 3 else None
        packed = [pack_depthwise(weights, machine.lanes)] + (
            [] if bias is None else [pack_depthwise_bias(bias, machine.lanes)]
        )
        shape = f"    static const ec_conv_shape s = {shape_literal(**window.fields())};\n"
        call = (
            f"ec_depthwise_f32(in[0], in[1], {'NULL' if bias is None else 'in[2]'}, out, &s, 4, ec_epilogue_none, NULL"
        )
        cases.append(
            Case(shape + _halves(call, "ec_depthwise_f32_tasks(&s)"), (x, *packed), int(np.prod(window.y_shape)))
        )
        expected.append(_whole(window, convolve(x, weights, bias, window)))
    for window, output, wanted in zip(
        WINDOWS, run_cases(machine, ["ec_depthwise_f32.h"], cases), expected, strict=True
    ):
        np.testing.assert_allclose(output, wanted, rtol=1e-4, atol=1e-5, err_msg=str(window))


ONCE = """
EC_INLINE ec_f32 count(ec_f32 value, const void *context, size_t n, size_t h, size_t w, size_t c, size_t lanes)
{
    const struct counts *counts = context;
    float *at = counts->y + n * counts->n + h * counts->h + w * counts->w + c;
    (void)value;
    return ec_f32_add(ec_f32_load_lanes(at, lanes), ec_f32_set(1.0f));
}
"""


@machines
def test_depthwise_computes_each_pixel_once(machine: Machine) -> None:
    widths = range(1, 37)
    cases = []
    for width in widths:
        window = Window(groups=5, out_h=2, out_w=width, kernel=(3, 3))
        weights = pack_depthwise(_normal(2, 5, 1, 3, 3), machine.lanes)
        size = int(np.prod(window.y_shape))
        body = f"""    static const ec_conv_shape s = {shape_literal(**window.fields())};
    const struct counts counts = {{out, s.y_n, s.y_h, s.y_w}};
    for (size_t i = 0; i < {size}; i++)
        out[i] = 0.0f;
    ec_depthwise_f32(in[0], in[1], NULL, out, &s, 4, count, &counts, 0, ec_depthwise_f32_tasks(&s));"""
        cases.append(Case(body, (_normal(1, *window.x_shape), weights), size))
    counts = "struct counts { float *y; size_t n, h, w; };"
    for output in run_cases(machine, ["ec_depthwise_f32.h"], cases, counts + ONCE):
        assert (output == 1).all()


@machines
def test_pool_equals_numpy(machine: Machine) -> None:
    cases, expected = [], []
    for seed, window in enumerate(WINDOWS):
        x = _normal(seed, *window.x_shape)
        x[..., 0].ravel()[::3] = -np.inf
        if seed % 2:
            x[0, 0, 0, window.groups // 2] = np.nan
        taps = np.stack([pixels[..., : window.groups] for _, _, pixels in window.taps(x)])
        for kind, values in (("MAX", taps.max(0)), ("SUM", taps.sum(0))):
            shape = f"    static const ec_conv_shape s = {shape_literal(**window.fields())};\n"
            call = f"ec_pool_f32(in[0], out, &s, EC_POOL_{kind}, ec_epilogue_none, NULL"
            cases.append(Case(shape + _halves(call, "ec_pool_f32_tasks(&s)"), (x,), int(np.prod(window.y_shape))))
            expected.append(_whole(window, values))
    for case, output, wanted in zip(cases, run_cases(machine, ["ec_pool_f32.h"], cases), expected, strict=True):
        np.testing.assert_allclose(output, wanted, rtol=1e-4, atol=1e-5, err_msg=case.body)


@machines
def test_planes_to_pixels(machine: Machine) -> None:
    cases, expected = [], []
    for n in (0, 1, 5, machine.lanes, 2 * machine.lanes + 3, 100):
        x = _normal(n, 3, n + 3)
        cases.append(Case(f"    ec_interleave_f32(in[0], {n + 3}, out, {n});", (x,), 3 * n))
        expected.append(x[:, :n].T.ravel())
    for case, output, wanted in zip(cases, run_cases(machine, ["ec_interleave_f32.h"], cases), expected, strict=True):
        np.testing.assert_array_equal(output, wanted, err_msg=case.body)


@machines
def test_transpose_and_pack(machine: Machine) -> None:
    sizes = [(1, 1), (3, 70), (16, 16), (17, 33), (40, 9)]
    cases, expected = [], []
    for rows, columns in sizes:
        x = _normal(rows, rows, columns + 2)
        call = f"ec_transpose_f32(in[0], out, {rows}, {columns}, {columns + 2}, {rows}"
        cases.append(Case(_halves(call, f"ec_transpose_f32_tasks({rows})"), (x,), rows * columns))
        expected.append(x[:, :columns].T.ravel())
        for nv in (1, 3):
            packed = pack_matmul(x[:, :columns], nv * machine.lanes)
            other = np.ascontiguousarray(x[:, :columns].T)
            spread = np.ascontiguousarray(np.repeat(x[:, :columns], 2, 1))
            for source, b_k, b_n in ((x, columns + 2, 1), (other, 1, rows), (spread, 2 * columns, 2)):
                body = f"    ec_pack_panels_f32(in[0], out, {rows}, {columns}, {b_k}, {b_n}, {nv});"
                cases.append(Case(body, (source,), packed.size))
                expected.append(packed)
    for case, output, wanted in zip(cases, run_cases(machine, ["ec_pack_f32.h"], cases), expected, strict=True):
        np.testing.assert_array_equal(output, wanted, err_msg=case.body)
