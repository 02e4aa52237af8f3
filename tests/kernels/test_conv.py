"""ec_conv_f32 against numpy: groups, strides, dilations, every kind of remainder."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from edgec.kernels.packing import pack_bias, pack_conv

from .harness import GUARD, Case, Floats, Machine, machines, run_cases, shape_literal
from .reference import Window, convolve

EPILOGUE = """
EC_INLINE ec_f32 add_and_relu(ec_f32 value, const void *context, size_t n, size_t h, size_t w, size_t c, size_t lanes)
{
    const struct residual *residual = context;
    const float *other = residual->data + n * residual->n + h * residual->h + w * residual->w + c;
    return ec_f32_max(ec_f32_set(0.0f), ec_f32_add(value, ec_f32_load_lanes(other, lanes)));
}
"""
RESIDUAL = "struct residual { const float *data; size_t n, h, w; };"


@dataclass(frozen=True)
class Sample:
    window: Window
    mr: int
    nv: int
    block_h: int = 1
    block_c: int = 1
    bias: bool = True
    residual: bool = False
    open: int = 0


CONSTANT = (
    Sample(Window(out_w=1, out_c=1, in_c=1), 1, 1, bias=False),
    Sample(Window(out_w=13, out_c=33, in_c=7), 4, 2, residual=True),
    Sample(Window(out_w=5, out_c=16, in_c=64), 6, 1),
    Sample(Window(out_w=1, out_c=70, in_c=131), 1, 4),
    Sample(Window(out_w=1, out_c=9, in_c=65), 1, 1, residual=True),
    Sample(Window(out_w=3, out_c=20, in_c=40, batch=3), 2, 1, bias=False),
    Sample(Window(out_h=7, out_w=7, out_c=40, in_c=19, kernel=(3, 3)), 3, 2, 3, 2, residual=True),
    Sample(Window(out_h=4, out_w=9, out_c=32, in_c=3, kernel=(3, 3), stride=(2, 2)), 8, 2, 4, 1),
    Sample(Window(out_h=3, out_w=5, out_c=5, in_c=3, kernel=(7, 7), stride=(2, 2)), 5, 1, 2, 1),
    Sample(Window(out_h=5, out_w=6, out_c=18, in_c=5, kernel=(3, 2), dilation=(2, 3), batch=2), 4, 2, 2, 1),
    Sample(Window(out_h=2, out_w=6, out_c=11, in_c=6, groups=3, kernel=(1, 3), stride=(2, 1)), 4, 1, residual=True),
    Sample(Window(out_h=3, out_w=4, out_c=35, in_c=4, groups=2, kernel=(2, 2), extra=3, batch=2), 2, 1, 2, 2),
    Sample(Window(out_h=3, out_w=15, out_c=64, in_c=8, stride=(1, 2)), 14, 2, 2, 4, residual=True),
)
OPEN = tuple(replace(sample, open=7) for sample in CONSTANT[1:9])
"""EC_OPEN_W | EC_OPEN_C | EC_OPEN_K: the widths come from memory."""
SAMPLES = CONSTANT + OPEN


def _data(index: int, sample: Sample) -> tuple[Floats, Floats, Floats, Floats]:
    random = np.random.default_rng(index)
    window = sample.window
    channels = window.groups * window.out_c
    shapes = (window.x_shape, (channels, window.in_c, *window.kernel), (channels,), window.y_shape)
    x, weights, bias, other = (random.standard_normal(shape).astype(np.float32) for shape in shapes)
    return x, weights, bias, other


def _case(machine: Machine, sample: Sample, data: tuple[Floats, Floats, Floats, Floats]) -> Case:
    x, weights, bias, other = data
    window, panel = sample.window, sample.nv * machine.lanes
    packed = pack_conv(weights, window.groups, panel), pack_bias(bias, window.groups, panel)
    fields = window.fields(sample.block_h, sample.block_c)
    epilogue = "add_and_relu" if sample.residual else "ec_epilogue_none"
    names = ("out_w", "out_c", "in_c") if sample.open else ()
    read = {name: f"({name} = {fields[name]}, {name})" for name in names}
    volatile = f"    volatile size_t {', '.join(names)};\n" if names else ""
    literal = shape_literal(**{**fields, **read}, open=sample.open)
    body = f"""{volatile}    const ec_conv_shape shape = {literal};
    const struct residual context = {{in[3], shape.y_n, shape.y_h, shape.y_w}};
    const size_t tasks = ec_conv_tasks(&shape, {sample.nv} * EC_LANES), half = tasks / 2;
    const float *bias = {"in[2]" if sample.bias else "NULL"};
    for (int part = 1; part >= 0; part--)
        ec_conv_f32(in[0], in[1], bias, out, &shape, {sample.mr}, {sample.nv}, {epilogue}, &context,
                    part ? half : 0, part ? tasks : half);"""
    return Case(body, (x, *packed, other), int(np.prod(window.y_shape)), str(sample))


def _expected(sample: Sample, data: tuple[Floats, Floats, Floats, Floats]) -> Floats:
    x, weights, bias, other = data
    channels = sample.window.groups * sample.window.out_c
    y = convolve(x, weights, bias if sample.bias else None, sample.window)
    if sample.residual:
        y = np.maximum(y + other[..., :channels], 0)
    whole = np.full(sample.window.y_shape, GUARD)
    whole[..., :channels] = y
    return whole


@machines
def test_conv_equals_numpy(machine: Machine) -> None:
    data = [_data(index, sample) for index, sample in enumerate(SAMPLES)]
    cases = [_case(machine, sample, arrays) for sample, arrays in zip(SAMPLES, data, strict=True)]
    outputs = run_cases(machine, ["ec_conv_f32.h"], cases, RESIDUAL + EPILOGUE)
    for sample, arrays, output in zip(SAMPLES, data, outputs, strict=True):
        expected = _expected(sample, arrays)
        np.testing.assert_allclose(output, expected.ravel(), rtol=1e-4, atol=1e-4, err_msg=str(sample))


def test_groups_must_divide() -> None:
    with pytest.raises(ValueError, match="5 channels do not divide into 2 groups"):
        pack_conv(np.zeros((5, 1, 1, 1), np.float32), 2, 8)
