"""Products and sums in half precision, against what `half-conv` says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgec.ir.op import arg
from edgec.ir.ops import HalfConv
from edgec.ir.ops.half import BLOCK
from edgec.ir.types import f16, f32
from edgec.kernels.packing import pack_bias, pack_conv

from .harness import KERNELS, MACHINES
from .harness_i8 import Case, IntegerMachine, _with, run_cases
from .test_weights import Layer, shape

LANES = 8
LAYERS = [
    Layer("f16", 70, 320, tile=(1, 4)),
    Layer("f16", 33, 45, image=(1, 7), tile=(4, 2)),
    Layer("f16", 20, 1, image=(1, 3)),
    Layer("f16", 9, 3, (3, 5), (3, 4)),
    Layer("f16", 7, 33, (2, 3), (2, 5), groups=2, dilation=2),
    Layer("f16", 17, 72, (3, 1), (3, 6), tile=(5, 3)),
]
FUSED = _with("neon", ("fp16",), "-march=armv8.2-a+fp16")
"""Multiplies and adds with one rounding, where others round the sum twice."""
TARGETS = (*(IntegerMachine(one) for one in MACHINES if one.name in ("scalar", "avx512")), FUSED)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_sums_are_those_of_the_operator(target: IntegerMachine) -> None:
    cases = [case(layer) for layer in LAYERS]
    found = run_cases(target, ["ec_conv_f16.h"], [one for one, _ in cases], "#include <string.h>")
    close = 1e-3 if target is FUSED else 1e-6
    for layer, got, (_, wanted) in zip(LAYERS, found, cases, strict=True):
        assert np.abs(wanted).max() > 0.1, layer
        np.testing.assert_allclose(got, wanted, rtol=0, atol=close * np.abs(wanted).max(), err_msg=str(layer))


def case(layer: Layer) -> tuple[Case, np.ndarray]:
    """The call of the kernel, and what it must give."""
    random = np.random.default_rng(layer.out_c)
    fields, size, y_size = shape(layer, "conv")
    x = random.standard_normal(size).astype(np.float16)
    weights = random.standard_normal(layer.shape).astype(np.float16)
    bias = random.standard_normal(layer.shape[0]).astype(np.float32)
    rows = layer.image[0] + (layer.kernel[0] - 1) * layer.dilation
    image = x.reshape(1, rows, -1, layer.groups * layer.in_c).transpose(0, 3, 1, 2)
    steps = (layer.dilation, layer.dilation)
    operands = arg(f16, *image.shape), arg(f32, *layer.shape), arg(f32, *bias.shape)
    op = HalfConv(*operands, dilations=steps, groups=layer.groups, to=f16)
    wanted = op.evaluate(image, weights.astype(np.float32), bias)
    (mr, nv), panel = layer.tile, layer.tile[1] * LANES
    packed = [pack_conv(weights, layer.groups, panel), pack_bias(bias, layer.groups, panel)]
    call = f"ec_conv_f16(in[0], in[1], in[2], out, &s, {mr}, {nv}, ec_epilogue_none, NULL, 0, tasks);"
    tasks = f"const size_t tasks = ec_conv_tasks(&s, {nv} * EC_HALVES);"
    body = f"    static const ec_conv_shape s = {fields};\n    {tasks}\n    {call}"
    return Case(body, [x, *packed], y_size, np.float32), wanted.transpose(0, 2, 3, 1).ravel()


def test_kernel_and_operator_count_the_same_products() -> None:
    assert f"#define EC_CONV_F16_BLOCK {BLOCK} " in Path(KERNELS, "ec_conv_f16.h").read_text()
