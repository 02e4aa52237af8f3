"""ec_winograd_f32 against numpy: every form, remainders, blocks, parts and tasks; its choice and its plan."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgec.ir.ops.winograd import POINTS, transform_weights, transforms
from edgec.kernels import Tile
from edgec.kernels.packing import pack_bias, pack_conv
from edgec.kernels.table_winograd import (
    EDGES,
    Layer,
    Machine,
    choose_winograd,
    direct_cycles,
    plan_winograd,
    weight_rate,
    winograd_cycles,
)

from .harness import GUARD, KERNELS, MACHINES, Case, Floats, machines, run_cases, shape_literal
from .harness import Machine as Host
from .reference import Window, convolve
from .test_conv import EPILOGUE, RESIDUAL


@dataclass(frozen=True)
class Sample:
    window: Window
    edge: int
    mr: int
    nv: int
    block: int
    panels: int = 1
    tasks: int = 1
    bias: bool = True
    residual: bool = False


def _window(h: int, w: int, in_c: int, out_c: int, batch: int = 1, extra: int = 0) -> Window:
    return Window(out_h=h, out_w=w, in_c=in_c, out_c=out_c, kernel=(3, 3), batch=batch, extra=extra)


SAMPLES = (
    Sample(_window(1, 1, 1, 1), 2, 1, 1, 1, bias=False),
    Sample(_window(7, 5, 19, 35), 2, 4, 2, 5, tasks=3, residual=True),
    Sample(_window(7, 10, 33, 21, batch=2, extra=3), 4, 4, 1, 5, tasks=4, residual=True),
    Sample(_window(1, 13, 5, 70), 4, 3, 4, 4, panels=2, tasks=2, bias=False),
    Sample(_window(6, 6, 8, 17), 6, 1, 2, 1, bias=False),
    Sample(_window(13, 11, 20, 40, batch=2), 6, 3, 2, 5, panels=1, tasks=8, residual=True),
)


def _data(index: int, sample: Sample) -> tuple[Floats, Floats, Floats, Floats]:
    random, window = np.random.default_rng(index), sample.window
    shapes = (window.x_shape, (window.out_c, window.in_c, 3, 3), (window.out_c,), window.y_shape)
    x, weights, bias, other = (random.standard_normal(shape).astype(np.float32) for shape in shapes)
    return x, weights, bias, other


def _case(machine: Host, sample: Sample, data: tuple[Floats, Floats, Floats, Floats]) -> Case:
    """In one task, then in several from the last to the first; the last element says that scratch was as planned."""
    x, weights, bias, other = data
    window, panel = sample.window, sample.nv * machine.lanes
    packed = pack_conv(transform_weights(weights, sample.edge), 1, panel), pack_bias(bias, 1, panel)
    fields = window.fields(sample.block, sample.panels)
    epilogue = "add_and_relu" if sample.residual else "ec_epilogue_none"
    size, floats = int(np.prod(window.y_shape)), _floats(sample, machine.lanes)
    body = f"""    static const ec_conv_shape shape = {shape_literal(**fields)};
    const struct residual context = {{in[3], shape.y_n, shape.y_h, shape.y_w}};
    const float *bias = {"in[2]" if sample.bias else "NULL"};
    static float scratch[{sample.tasks} * {floats} + 1];
    for (size_t i = 0; i <= {sample.tasks} * {floats}; i++)
        scratch[i] = 1e30f;
    for (size_t run = 0; run < 2; run++) {{
        const size_t tasks = run ? {sample.tasks} : 1;
        for (size_t task = tasks; task-- > 0;)
            ec_winograd_f32(in[0], in[1], bias, out + run * {size}, scratch, &shape, {sample.edge}, {sample.mr},
                            {sample.nv}, {epilogue}, &context, tasks, task, task + 1);
    }}
    out[2 * {size}] = scratch[{sample.tasks} * {floats}] == 1e30f
                      && ec_winograd_f32_scratch(&shape, {sample.edge}, {sample.nv}) == {floats};"""
    return Case(body, (x, *packed, other), 2 * size + 1, str(sample))


def _floats(sample: Sample, lanes: int) -> int:
    """As plan_winograd."""
    places = (sample.edge + 2) ** 2
    return sample.block * (places * (-(-sample.window.in_c // lanes) * lanes + 16) + places * sample.nv * lanes + 16)


def _expected(sample: Sample, data: tuple[Floats, Floats, Floats, Floats]) -> Floats:
    x, weights, bias, other = data
    y = convolve(x, weights, bias if sample.bias else None, sample.window)
    if sample.residual:
        y = np.maximum(y + other[..., : sample.window.out_c], 0)
    whole = np.full(sample.window.y_shape, GUARD)
    whole[..., : sample.window.out_c] = y
    return whole


@machines
def test_winograd_equals_numpy_in_any_number_of_tasks(machine: Host) -> None:
    data = [_data(index, sample) for index, sample in enumerate(SAMPLES)]
    cases = [_case(machine, sample, arrays) for sample, arrays in zip(SAMPLES, data, strict=True)]
    outputs = run_cases(machine, ["ec_winograd_f32.h"], cases, RESIDUAL + EPILOGUE)
    for sample, arrays, output in zip(SAMPLES, data, outputs, strict=True):
        expected = _expected(sample, arrays).ravel()
        alone, divided = output[:-1].reshape(2, -1)
        most = 1e-5 * np.abs(np.where(expected == GUARD, 0, expected)).max()
        np.testing.assert_allclose(alone, expected, rtol=0, atol=most, err_msg=str(sample))
        np.testing.assert_array_equal(alone, divided, err_msg=str(sample))
        assert output[-1] == 1, f"scratch of {sample}"


@pytest.mark.parametrize("machine", [m for m in MACHINES if m.name in ("sse2", "neon")], ids=lambda m: m.name)
def test_what_is_not_a_number_stays_in_its_tile(machine: Host) -> None:
    sample = Sample(_window(8, 8, 3, 5), 4, 4, 1, 4)
    x, weights, bias, other = _data(0, sample)
    x[0, 1, 1, 0], x[0, 9, 9, 1] = np.nan, np.inf
    case = _case(machine, sample, (x, weights, bias, other))
    (output,) = run_cases(machine, ["ec_winograd_f32.h"], [case], RESIDUAL + EPILOGUE)
    y = output[:-1].reshape(2, *sample.window.y_shape[1:])[0]
    assert np.isnan(y[:3, :3]).all()
    assert not np.isfinite(y[7, 7]).any()
    expected = _expected(sample, (x, weights, bias, other))[0]
    for other_tile in (np.s_[:4, 4:], np.s_[4:, :4]):
        np.testing.assert_allclose(y[other_tile], expected[other_tile], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("edge", EDGES)
def test_transforms_are_exact_on_integers(edge: int) -> None:
    """The three matrices compute the correlation of integers without any error but that of doubles."""
    found = transforms(edge)
    random = np.random.default_rng(edge)
    data, kernel = random.integers(-9, 9, edge + 2), random.integers(-9, 9, 3)
    y = found.products @ ((found.kernel @ kernel) * (found.data @ data))
    np.testing.assert_allclose(y, np.correlate(data, kernel, "valid"), atol=1e-11)


def test_constants_of_the_header_are_those_of_the_compiler() -> None:
    text = Path(KERNELS, "ec_winograd_f32.h").read_text()

    def numbers(name: str) -> list[list[float]]:
        (body,) = re.findall(rf"{name}\[3\][\[\]0-9]* = {{(.*?)}};", text, re.DOTALL)
        return [[float(n) for n in re.findall(r"-?\d+\.\d+", row)] for row in re.findall(r"{[^{}]*}", body)]

    assert numbers("ec_winograd_points") == [list(points) for points in POINTS.values()]
    squares = [[p * p for p in points] for points in POINTS.values()]
    assert numbers("ec_winograd_whole") == [list(np.poly(roots)[:0:-1]) for roots in squares]
    without = [np.poly(roots[:i] + roots[i + 1 :])[:0:-1] for roots in squares[1:] for i in range(len(roots))]
    assert numbers("ec_winograd_without")[1:] == [list(row) for row in without]


HOST = Machine("avx512", None, 1 << 20, 32 << 20)


def test_cost_of_a_wide_layer_is_a_third_and_of_much_weight_is_not() -> None:
    early, late = Layer(1, 56, 56, 64, 64), Layer(1, 7, 7, 512, 512)
    assert direct_cycles(HOST, early) > 2.5 * choose_winograd(HOST, early, 4)[1]
    assert direct_cycles(HOST, late) < choose_winograd(HOST, late, 6)[1]


def test_plans_count_scratch_and_tasks() -> None:
    layer = Layer(1, 28, 28, 128, 128)
    plan = plan_winograd(HOST, layer, 4, 25)
    assert (plan.block, plan.tile) == (25, Tile(plan.tile.mr, plan.tile.nv, 16))
    assert plan.floats == 25 * (36 * (128 + 16) + 36 * plan.tile.panel + 16)
    assert plan.scratch == 4 * plan.floats * plan.tasks
    assert 1 <= plan.tasks <= 8
    assert winograd_cycles(HOST, layer, plan) >= choose_winograd(HOST, layer, 4)[1] / 1.03


def test_weights_come_from_the_cache_that_holds_them() -> None:
    small, middle, large = (weight_rate(total, 1 << 20, 32 << 20) for total in (100 << 10, 4 << 20, 64 << 20))
    assert small > middle > large
