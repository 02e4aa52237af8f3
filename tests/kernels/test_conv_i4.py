"""ec_conv_i4 against numpy, bit for bit: one scale a channel and scales of groups of k, whole and broken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgec.ir.ops.stored import from_rows, to_rows
from edgec.kernels.packing import pack_bias
from edgec.kernels.packing_i8 import fold_into_bias, merges_taps, x_offset
from edgec.kernels.packing_weights import pack_four_bits_i8, pack_scales

from .harness import shape_literal
from .harness_i8 import Array, Case, IntegerMachine, integer_machines, run_cases
from .reference import Window, convolve

DTYPES = {"u8": np.uint8, "s8": np.int8}


@dataclass(frozen=True)
class Sample:
    """`group` k share a scale; 0: a channel has none."""

    window: Window
    mr: int
    nv: int
    group: int = 0
    x: str = "u8"
    block_h: int = 1
    block_c: int = 1


SAMPLES = (
    Sample(Window(), 1, 1),
    Sample(Window(out_w=13, out_c=33, in_c=7), 4, 2, x="s8"),
    Sample(Window(out_w=13, out_c=33, in_c=70), 4, 2, 32),
    Sample(Window(out_w=1, out_c=70, in_c=531), 1, 4, 32),
    Sample(Window(out_w=1, out_c=70, in_c=531), 1, 4, 0, "s8"),
    Sample(Window(out_h=7, out_w=7, out_c=40, in_c=19, kernel=(3, 3)), 3, 2, 32, "u8", 3, 2),
    Sample(Window(out_h=4, out_w=9, out_c=32, in_c=3, kernel=(3, 3), stride=(2, 2)), 8, 2, 0, "u8", 4),
    Sample(Window(out_h=3, out_w=5, out_c=5, in_c=3, kernel=(7, 7), stride=(2, 2)), 5, 1, 16, "s8", 2),
    Sample(Window(out_h=5, out_w=6, out_c=18, in_c=5, kernel=(3, 2), dilation=(2, 3), batch=2), 4, 2, 8, "s8", 2),
    Sample(Window(out_h=2, out_w=6, out_c=11, in_c=16, groups=3, kernel=(1, 3), stride=(2, 1)), 4, 1, 32),
    Sample(Window(out_h=3, out_w=15, out_c=64, in_c=48, stride=(1, 2)), 14, 1, 32, "u8", 2, 4),
    Sample(Window(out_h=1, out_w=6, out_c=9, in_c=1300, kernel=(3, 3)), 3, 2, 64),
)


@dataclass(frozen=True)
class Data:
    """`zero` is the zero point of x; `bias` [channels] is added where there is no `scale` [channels, groups of k]."""

    x: Array
    rows: Array
    bias: Array
    zero: int
    scale: Array
    start: Array
    group: int


def _data(index: int, sample: Sample) -> Data:
    random, window = np.random.default_rng(index), sample.window
    channels, length = window.groups * window.out_c, window.in_c * window.kernel[0] * window.kernel[1]
    low, high = (0, 256) if sample.x == "u8" else (-128, 128)
    group = sample.group or length
    count = -(-length // group)
    return Data(
        random.integers(low, high, window.x_shape).astype(DTYPES[sample.x]),
        random.integers(-8, 8, (channels, length)).astype(np.int8),
        random.integers(-9999, 9999, channels).astype(np.int32),
        index % 9 * 3 - 7,
        random.uniform(0.001, 0.1, (channels, count)).astype(np.float32),
        random.standard_normal(channels).astype(np.float32),
        group,
    )


def _parts(data: Data) -> list[Array]:
    """The rows with all but one group of k set to zero, for each group."""
    of = np.arange(data.rows.shape[1]) // data.group
    return [np.where(of == g, data.rows, 0).astype(np.int8) for g in range(data.scale.shape[1])]


def _case(target: IntegerMachine, sample: Sample, data: Data) -> Case:
    window, panel = sample.window, sample.nv * target.machine.lanes
    fields = window.fields(sample.block_h, sample.block_c)
    merged = merges_taps(window.kernel[1], window.dilation[1], fields["x_w"], window.in_c)
    runs = window.kernel[0] * (1 if merged else window.kernel[1])
    offset = x_offset(target.isa, target.features, sample.x)
    folded = fold_into_bias(data.bias, data.rows, data.zero, offset)
    sums = np.stack([part.sum(1, dtype=np.int16) for part in _parts(data)], axis=1)
    packed = pack_four_bits_i8(data.rows, window.groups, panel, runs, data.group)
    scalings = [pack_scales(a, window.groups, panel) for a in (data.scale, sums)]
    biases = [pack_bias(a, window.groups, panel) for a in (data.start, folded)]
    pointers = "NULL, in[2], NULL, in[3], 1" if sample.group else "in[5], NULL, NULL, NULL, 0"
    sizes = f"{data.zero + offset}, {data.group}, {data.scale.shape[1]}, {packed.shape[1]}"
    start = "in[4]" if sample.group else "NULL"
    body = f"""    static const ec_conv_shape shape = {shape_literal(**fields)};
    const ec_i4_weights w = {{in[1], {pointers}, {sizes}}};
    const size_t tasks = ec_conv_tasks(&shape, {sample.nv} * EC_LANES), half = tasks / 2;
    for (int part = 1; part >= 0; part--)
        ec_conv_i4(in[0], w, {start}, out, &shape, {sample.mr}, {sample.nv}, EC_{sample.x.upper()},
                   EC_F32, ec_epilogue_none, NULL, part ? half : 0, part ? tasks : half);"""
    return Case(
        body,
        (data.x, packed, *scalings, *biases),
        int(np.prod(window.y_shape)),
        np.float32,
        str(sample),
    )


def _expected(sample: Sample, data: Data) -> Array:
    window = sample.window
    shape = (len(data.rows), window.in_c, *window.kernel)
    x, shape = data.x.astype(np.int64) - data.zero, (len(data.rows), window.in_c, *window.kernel)
    if not sample.group:
        return (_sums(window, x, from_rows(data.rows, shape)) + data.bias).astype(np.float32)
    sums = [_sums(window, x, from_rows(part, shape)) for part in _parts(data)]
    total = np.zeros(window.y_shape, np.float32) + data.start
    for g, each in enumerate(sums):
        total = total + each.astype(np.float32) * data.scale[:, g]
    return total


def _sums(window: Window, x: Array, weights: Array) -> Array:
    found: Array = np.rint(convolve(x, weights, None, window))
    return found.astype(np.int64)


@integer_machines
def test_conv_equals_numpy(target: IntegerMachine) -> None:
    data = [_data(i, sample) for i, sample in enumerate(SAMPLES)]
    cases = [_case(target, sample, d) for sample, d in zip(SAMPLES, data, strict=True)]
    for sample, d, output in zip(SAMPLES, data, run_cases(target, ["ec_conv_i4.h"], cases), strict=True):
        np.testing.assert_array_equal(output, _expected(sample, d).ravel(), err_msg=str(sample))


def test_rows_keep_their_order() -> None:
    weights = np.arange(12).reshape(1, 3, 2, 2)
    np.testing.assert_array_equal(from_rows(to_rows(weights), weights.shape), weights)
