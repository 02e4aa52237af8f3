"""First layers read pictures of three planes, which one kernel turns into pixels."""

from __future__ import annotations

import pytest

from edgec.ir import Graph

from ...samples import reference
from .harness import compiled, outputs

PICTURES = """graph "pictures"(%x: f32[2,3,5,37]) {
  %w = constant(value=fill(0.25)) : f32[4,3,3,3]
  %c = conv(%x, %w, pads=[1, 1, 1, 1]) : f32[2,4,5,37]
  return %c
}"""


@pytest.mark.parametrize("target", ["x86-64", "x86-64-v4", "arm-neon"])
def test_planes_become_pixels(target: str) -> None:
    wanted = reference(Graph.parse(PICTURES))
    with compiled(wanted.graph, target) as artifact:
        assert "interleave" in [region["kernel"] for region in artifact.report["regions"]]
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []


def test_other_numbers_of_planes_are_copied_by_loops() -> None:
    wanted = reference(Graph.parse(PICTURES.replace("[2,3,5", "[2,2,5").replace("4,3,3,3", "4,2,3,3")))
    with compiled(wanted.graph, "host") as artifact:
        assert "interleave" not in [region["kernel"] for region in artifact.report["regions"]]
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []
