"""Products of numbers rounded to bf16, against the float kernel on numbers that numpy rounded."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from edgec.ir.ops.half import rounded
from edgec.ir.ops.stored import to_rows
from edgec.kernels.packing import pack_bias, pack_conv
from edgec.kernels.packing_weights import pack_pairs

from .harness import Machine, machines
from .harness_i8 import Case, IntegerMachine, run_cases
from .test_weights import Layer, shape

LAYERS = [
    Layer("pairs", 70, 320, tile=(1, 4)),
    Layer("pairs", 33, 45, image=(1, 7), tile=(4, 2)),
    Layer("pairs", 20, 1, image=(1, 3)),
    Layer("pairs", 9, 3, (3, 5), (3, 4)),
    Layer("pairs", 7, 33, (2, 3), (2, 5), groups=2, dilation=2),
    Layer("pairs", 17, 300, (3, 1), (3, 6)),
]


@machines
def test_pairs_equal_rounded_floats(machine: Machine) -> None:
    cases = [case for layer in LAYERS for case in both(layer, machine.lanes)]
    outputs = run_cases(IntegerMachine(machine), ["ec_conv_f32.h"], cases)
    for layer, plain, pairs in zip(LAYERS, outputs[0::2], outputs[1::2], strict=True):
        assert np.abs(plain).max() > 0.1, layer
        np.testing.assert_allclose(pairs, plain, rtol=0, atol=2e-6 * np.abs(plain).max(), err_msg=str(layer))


def both(layer: Layer, lanes: int) -> tuple[Case, Case]:
    """The convolution of rounded floats, and by pairs of floats that the kernel rounds."""
    random = np.random.default_rng(layer.out_c)
    panel, (mr, nv) = layer.tile[1] * lanes, layer.tile
    floats = rounded(random.standard_normal(layer.shape).astype(np.float32))
    fields, x_size, y_size = shape(layer, "conv")
    x = random.standard_normal(x_size).astype(np.float32)
    bias = pack_bias(random.standard_normal(layer.shape[0]).astype(np.float32), layer.groups, panel)
    merged = layer.kernel[1] == 1 or (layer.dilation == 1 and layer.groups == 1)
    packed = pack_pairs(to_rows(floats), layer.groups, panel, layer.kernel[0] * (1 if merged else layer.kernel[1]))
    inputs = [rounded(x), pack_conv(floats, layer.groups, panel), bias, x, packed]
    start = f"    static const ec_conv_shape s = {fields};\n"
    rest = f"in[2], out, &s, {mr}, {nv}, ec_epilogue_none, NULL, 0, ec_conv_tasks(&s, {nv} * EC_LANES));"
    size = packed.nbytes // (layer.groups * packed.shape[1])
    stored = f"const ec_weights w = {{.data = in[4], .kind = EC_W_PAIRS, .panel = {size}}};\n    "
    bodies = f"ec_conv_f32(in[0], in[1], {rest}", f"{stored}ec_conv_f32_widened(in[3], w, {rest}"
    return tuple(Case(f"{start}    {body}", inputs, y_size, np.float32) for body in bodies)  # type: ignore[return-value]


def test_pairs_are_neighbours_and_runs_are_filled_up() -> None:
    packed = pack_pairs(np.arange(1, 7, dtype=np.float32).reshape(1, 6), 1, 2, 2).view(ml_dtypes.bfloat16)
    assert packed.shape == (1, 1, 2, 2, 2, 2)
    assert packed[0, 0, :, :, 0].astype(int).tolist() == [[[1, 2], [3, 0]], [[4, 5], [6, 0]]]
    assert not packed[0, 0, :, :, 1].any()
