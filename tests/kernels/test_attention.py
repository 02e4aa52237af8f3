"""The attention kernels against numpy: blocks, remainders, masks, shared heads, rows without a number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from edgec.ir.ops import Attention
from edgec.ir.types import TensorType, f32
from edgec.ir.value import Value
from edgec.kernels.table_attention import plan_attention

from .harness import GUARD, Case, Floats, Machine, machines, run_cases

GAP = 3
"""Elements between the heads of an operand, so that its strides are not those of a dense one."""


@dataclass(frozen=True)
class Sample:
    queries: int
    keys: int
    depth: int
    width: int
    heads: int = 2
    sharing: int = 1
    batch: int = 1
    bias: str = ""
    scale: float = 0.5
    softcap: float = 0.0
    causal: bool = False
    replaces: bool = False
    blank: bool = False
    unseen: bool = False
    few: bool = False
    block: int = 0
    """Keys of a block instead of those of the plan."""
    odd: str = ""
    """Numbers that a model should not have: "nan" or "hidden", a row of minus infinity."""

    def operator(self) -> Attention:
        """The same computation in numpy."""
        groups = self.heads // self.sharing
        shapes = [
            (self.heads, self.queries, self.depth),
            (groups, self.keys, self.depth),
            (groups, self.keys, self.width),
        ]
        q, k, v = (Value(TensorType(f32, (self.batch, *shape))) for shape in shapes)
        bias = Value(TensorType(f32, self.bias_shape)) if self.bias else None
        return Attention(q, k, v, bias, self.scale, self.softcap, self.causal, self.replaces, self.blank, self.unseen)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        whole = {"b": self.batch, "h": self.heads, "m": self.queries, "n": self.keys}
        return tuple(extent if axis in self.bias else 1 for axis, extent in whole.items())


SAMPLES = (
    Sample(37, 19, 7, 9),
    Sample(33, 50, 16, 70, batch=2, block=16),
    Sample(70, 41, 12, 33, heads=4, sharing=2, bias="mn", block=13),
    Sample(19, 45, 8, 8, bias="bn", batch=2, softcap=2.0, block=20),
    Sample(40, 40, 5, 17, causal=True, block=11),
    Sample(20, 30, 4, 18, bias="mn", replaces=True, odd="hidden", block=7),
    Sample(20, 30, 4, 18, bias="mn", odd="hidden", blank=True, block=8),
    Sample(17, 21, 3, 5, bias="mn", odd="hidden", unseen=True),
    Sample(1, 77, 20, 35, few=True, batch=2),
    Sample(2, 130, 8, 8, few=True, heads=4, sharing=2, block=64, bias="bn", batch=2),
    Sample(3, 90, 19, 64, few=True, bias="mn", block=32, softcap=1.5),
    Sample(4, 33, 7, 5, few=True, causal=True, block=32),
    Sample(3, 70, 6, 9, few=True, bias="hmn", odd="hidden", blank=True, block=32),
    Sample(2, 40, 6, 9, few=True, odd="nan"),
    Sample(3, 37, 6, 9, few=True, bias="mn", odd="hidden", unseen=True, block=32),
)


def _data(sample: Sample) -> list[Floats]:
    random = np.random.default_rng(sample.queries * 1000 + sample.keys)
    op = sample.operator()
    q, k, v = (random.standard_normal(x.shape).astype(np.float32) for x in (op.q, op.k, op.v))
    bias = random.standard_normal(sample.bias_shape).astype(np.float32)
    bias[random.random(bias.shape) < 0.3] = 0 if sample.replaces else -np.inf
    if sample.odd == "hidden":
        bias[:, :, 1] = -np.inf
        bias[:, :, 2, : sample.keys // 2] = -np.inf
    else:
        bias[..., 0] = 0.5
    if sample.odd == "nan":
        q[0, 0, 1, 0] = np.nan
    return [q, k, v, bias]


def _expected(sample: Sample, data: list[Floats]) -> Floats:
    with np.errstate(invalid="ignore", over="ignore"):
        y = sample.operator().evaluate(*data[:3], data[3] if sample.bias else None)
    return np.asarray(y, np.float32)


def _strides(array: Floats, names: str) -> dict[str, int]:
    """Strides of an operand whose heads stand apart, 0 along what has one element."""
    steps = [s // 4 for s in array.strides]
    return {name: 0 if extent == 1 else step for name, extent, step in zip(names, array.shape, steps, strict=False)}


def _spread(array: Floats) -> Floats:
    """[batch, length, heads, size + GAP] seen as [batch, heads, length, size], as a projection leaves it."""
    b, h, n, d = array.shape
    wide = np.full((b, n, h, d + GAP), np.float32(7))
    wide[..., :d] = array.transpose(0, 2, 1, 3)
    return wide.transpose(0, 2, 1, 3)[..., :d]


def _memory(array: Floats) -> Floats:
    assert array.base is not None
    return np.asarray(array.base)


def _case(machine: Machine, sample: Sample, data: list[Floats]) -> Case:
    registers = 16 if machine.name == "armv7" else None
    isa = "neon" if machine.name == "armv7" else machine.name
    sizes = (sample.queries, sample.keys, sample.depth, sample.width)
    plan = plan_attention(isa, registers, 32 << 10, sample.few, *sizes)
    assert plan is not None
    q, k, v = (_spread(a) for a in data[:3])
    bias = data[3] if sample.few or sample.queries % 2 else np.ascontiguousarray(data[3].swapaxes(2, 3)).swapaxes(2, 3)
    numbers: dict[str, object] = {
        "batch": sample.batch, "heads": sample.heads, "sharing": sample.sharing, "queries": sample.queries,
        "keys": sample.keys, "depth": sample.depth, "width": sample.width, "rows": plan.rows,
        "block": sample.block and -(-sample.block // plan.scores.panel) * plan.scores.panel
        if sample.few else sample.block or plan.block,
        "scale": sample.scale, "cap": sample.softcap, "causal": int(sample.causal), "replaces": int(sample.replaces),
        "blank": int(sample.blank), "unseen": int(sample.unseen),
    }  # fmt: skip
    numbers["block"] = numbers["block"] or plan.block
    size = sample.batch * sample.queries * sample.heads * (sample.width + GAP)
    to = _spread(np.zeros((sample.batch, sample.heads, sample.queries, sample.width), np.float32))
    for name, array, axes in (
        ("q", q, "bhm"),
        ("k", k, "bhn"),
        ("v", v, "bhn"),
        ("y", to, "bhm"),
        ("bias", bias, "bhmn"),
    ):
        numbers |= {f"{name}_{axis}": step for axis, step in _strides(array, axes).items()}
    fields = ", ".join(f".{name} = {value}" for name, value in numbers.items())
    heads = sample.batch * sample.heads
    tasks = heads if sample.few else heads * -(-sample.queries // plan.rows)
    bias_pointer = "in[3]" if sample.bias else "NULL"
    tiles = f"{plan.scores.mr}, {plan.scores.nv}, {plan.results.mr}, {plan.results.nv}"
    kernel = "ec_attention_few_f32" if sample.few else "ec_attention_f32"
    call = f"{kernel}(in[0], in[1], in[2], {bias_pointer}, out, &shape, (ec_attention_tiles){{{tiles}}}"
    body = f"""    const ec_attention_shape shape = {{{fields}}};
    {call}, {tasks // 2}, {tasks});
    {call}, 0, {tasks // 2});"""
    arrays = [_memory(a) for a in (q, k, v)] + [bias if bias.base is None else _memory(bias)]
    return Case(body, arrays, size, str(sample))


def _samples_of(machine: Machine) -> tuple[Sample, ...]:
    """All on AVX-512; elsewhere every third, another third on each machine, since all compile one source."""
    names = ["scalar", "sse2", "avx2", "neon", "armv7"]
    return SAMPLES if machine.name not in names else SAMPLES[names.index(machine.name) % 3 :: 3]


def test_every_sample_runs_on_two_machines() -> None:
    thirds = [SAMPLES[start % 3 :: 3] for start in range(5)]
    assert all(sum(sample in third for third in thirds) + 1 >= 2 for sample in SAMPLES)


@pytest.mark.slow
@machines
def test_attention_equals_numpy(machine: Machine) -> None:
    samples = _samples_of(machine)
    data = [_data(sample) for sample in samples]
    cases = [_case(machine, sample, arrays) for sample, arrays in zip(samples, data, strict=True)]
    outputs = run_cases(machine, ["ec_attention_f32.h"], cases)
    for sample, arrays, output in zip(samples, data, outputs, strict=True):
        whole = output.reshape(sample.batch, sample.queries, sample.heads, sample.width + GAP)
        assert (whole[..., sample.width :] == GUARD).all(), f"{sample} wrote between heads"
        got = whole[..., : sample.width].transpose(0, 2, 1, 3)
        np.testing.assert_allclose(got, _expected(sample, arrays), rtol=1e-4, atol=2e-5, err_msg=str(sample))


@pytest.mark.parametrize("depth", [1, 64, 128, 256])
def test_usual_heads_fit_every_machine(depth: int) -> None:
    for isa, registers in (("scalar", None), ("sse2", None), ("avx2", None), ("neon", None), ("neon", 16)):
        for few, queries in ((True, 1), (True, 4), (False, 200)):
            plan = plan_attention(isa, registers, 32 << 10, few, queries, 1000, depth, depth)
            assert plan is not None
            assert plan.few == few


def test_heads_that_are_too_large_have_no_plan() -> None:
    assert plan_attention("avx512", None, 32 << 10, False, 64, 64, 4096, 64) is None
    assert plan_attention("avx512", None, 32 << 10, True, 1, 64, 4096, 64) is None
