"""ec_matmul_w4_f32 against numpy: whole and broken groups, rows and panels."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.kernels.packing import pack_bias
from edgec.kernels.packing_w4 import GROUP, pack_w4, pack_w4_scales

from .harness import Machine, machines
from .harness_i8 import Case, IntegerMachine, run_cases

SIZES = [
    (1, 32, 16, 1, 1),
    (1, 320, 70, 1, 4),
    (5, 64, 33, 4, 2),
    (7, 45, 20, 4, 1),
    (3, 1, 5, 2, 2),
    (8, 96, 64, 4, 2),
]


@machines
def test_matmul_equals_numpy(machine: Machine) -> None:
    cases, expected = [], []
    for m, k, n, mr, nv in SIZES:
        random, panel, groups = np.random.default_rng(k), nv * machine.lanes, -(-k // GROUP)
        x = random.standard_normal((m, k)).astype(np.float32)
        weights = random.integers(-8, 8, (k, n)).astype(np.int8)
        scales, bias = random.random((groups, n)).astype(np.float32), random.random(n).astype(np.float32)
        given = "in[3]" if k % 2 else "NULL"
        body = f"""    static const ec_matmul_w4_shape s = {{{m}, {k}, {n}, {k}, {n}}};
    const size_t tasks = ec_matmul_w4_tasks(&s, {nv});
    for (size_t task = tasks; task-- > 0;)
        ec_matmul_w4_f32(in[0], in[1], in[2], {given}, out, &s, {mr}, {nv}, ec_epilogue_none, NULL, task, task + 1);"""
        inputs = (x, pack_w4(weights, panel), pack_w4_scales(scales, panel), pack_bias(bias, 1, panel))
        cases.append(Case(body, inputs, m * n, np.float32))
        real = weights * np.repeat(scales.astype(np.float64), GROUP, 0)[:k]
        expected.append((x @ real + (bias if k % 2 else 0)).ravel())
    outputs = run_cases(IntegerMachine(machine), ["ec_matmul_w4_f32.h"], cases)
    for case, output, wanted in zip(cases, outputs, expected, strict=True):
        np.testing.assert_allclose(output, wanted, rtol=1e-4, atol=1e-3, err_msg=case.body)


def test_only_four_bits() -> None:
    with pytest.raises(ValueError, match=r"-8 \.\. 7"):
        pack_w4(np.full((1, 1), 8, np.int8), 4)
