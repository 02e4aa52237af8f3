"""Every operator's samples in one artifact per target, against `evaluate`, within each operator's own tolerance."""

from __future__ import annotations

import pytest

from edgec.driver import lower
from edgec.ir import REGISTRY, Op, Value
from edgec.ir.ops import Fused

from ...samples import INTERNAL, graph_of, reference, samples_of, with_weights
from .harness import FOREIGN, NATIVE, compiled, outputs

MADE_BY_PASSES = ("find-size", "pack-panels", "panel-matmul", "relayout")
"""Their operands and layouts come from passes; matmul and conv bring them in. test_open_sizes has find-size."""


def all_samples() -> list[tuple[str, Op]]:
    names = [n for n in REGISTRY if n not in INTERNAL + MADE_BY_PASSES and REGISTRY[n].__module__.startswith("edgec.")]
    return [(name, with_weights(op, i)) for name in names for i, op in enumerate(samples_of(name))]


def first_samples() -> list[tuple[str, Op]]:
    """One sample of every operator."""
    return list({name: (name, op) for name, op in reversed(all_samples())}.values())


@pytest.mark.slow
@pytest.mark.parametrize("target", NATIVE + FOREIGN)
def test_every_operator(target: str) -> None:
    wanted = reference(graph_of(all_samples()))
    with compiled(wanted.graph, target) as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []


def are_fused() -> list[bool]:
    """Of each sample, whether passes make it several ops and the default strategy puts some of them together."""
    samples = all_samples()
    outputs = iter(lower(graph_of(samples), "host").graph.outputs)
    return [any(is_fused(next(outputs)) for _ in op.results) for _, op in samples]


def is_fused(value: Value) -> bool:
    """Whether a value comes out of a region of several ops, maybe by way of others."""
    op = value.producer
    if op is None:
        return False
    several = isinstance(op, Fused) and sum(inner.name != "constant" for inner in op.body) > 1
    return several or op.name in ("if", "loop") or any(is_fused(operand) for operand in op.operands)


@pytest.mark.slow
def test_every_operator_without_fusion() -> None:
    """Of the samples that are made otherwise then: the rest is the same C."""
    chosen = [sample for sample, fused in zip(all_samples(), are_fused(), strict=True) if fused]
    assert len(chosen) > 20
    wanted = reference(graph_of(chosen))
    with compiled(wanted.graph, "host", fusion="none") as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []


@pytest.mark.slow
def test_a_sample_of_every_operator_by_clang() -> None:
    wanted = reference(graph_of(first_samples()))
    with compiled(wanted.graph, "x86-64-v3", kind="clang") as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []


@pytest.mark.long
@pytest.mark.parametrize("target", ["c", "x86-64-v3"])
def test_every_operator_by_clang(target: str) -> None:
    wanted = reference(graph_of(all_samples()))
    with compiled(wanted.graph, target, kind="clang") as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []
