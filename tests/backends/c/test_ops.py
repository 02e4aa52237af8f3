"""Every operator's samples in one artifact per target, against `evaluate`, within each operator's own tolerance."""

from __future__ import annotations

import pytest

from edgec.ir import REGISTRY

from ...samples import INTERNAL, graph_of, reference, samples_of, with_weights
from .harness import FOREIGN, NATIVE, compiled, outputs

MADE_BY_PASSES = ("find-size", "pack-panels", "panel-matmul", "relayout")
"""Their operands and layouts come from passes; matmul and conv bring them in. test_open_sizes has find-size."""


def all_samples() -> list[tuple[str, object]]:
    names = [n for n in REGISTRY if n not in INTERNAL + MADE_BY_PASSES and REGISTRY[n].__module__.startswith("edgec.")]
    return [(name, with_weights(op, i)) for name in names for i, op in enumerate(samples_of(name))]


@pytest.mark.slow
@pytest.mark.parametrize("target", NATIVE + FOREIGN)
def test_every_operator(target: str) -> None:
    wanted = reference(graph_of(all_samples()))
    with compiled(wanted.graph, target) as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []


@pytest.mark.slow
def test_every_operator_without_fusion() -> None:
    wanted = reference(graph_of(all_samples()))
    with compiled(wanted.graph, "host", fusion="none") as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []


@pytest.mark.slow
@pytest.mark.parametrize("target", [pytest.param("c", marks=pytest.mark.long), "x86-64-v3"])
def test_every_operator_by_clang(target: str) -> None:
    wanted = reference(graph_of(all_samples()))
    with compiled(wanted.graph, target, kind="clang") as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []
