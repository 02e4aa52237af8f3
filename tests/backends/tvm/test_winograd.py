"""Convolutions on transformed tiles: blocks and tasks, the epilogue, threads; shapes and edges are the samples'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgec
from edgec import driver
from edgec.ir import Graph

from ..c.harness import run_guarded
from .networks import network

LAYERS = """\
graph "layers"(%x: f32[1,48,22,31] "x") {
  %w = constant(value=fill(0.125)) : f32[88,48,6,6]
  %b = constant(value=fill(0.5)) : f32[88]
  %conv = winograd-conv(%x, %w, %b, edge=4, block=9, scratch=1000000) : f32[1,88,20,29]
  %act = hard-swish(%conv) : f32[1,88,20,29]
  %wide = pad(%act, pads=[0, 0, 1, 1, 0, 0, 1, 1]) : f32[1,88,22,31]
  %v = constant(value=fill(0.125)) : f32[88,88,4,4]
  %next = winograd-conv(%wide, %v, edge=2, block=30, scratch=1000000) : f32[1,88,20,29]
  %y = add(%next, %act) : f32[1,88,20,29]
  return %y "y"
}
"""
"""Forty tiles in blocks of nine, the last of which lacks five; tiles and panels reach beyond the edges."""

NETWORK = """\
graph "network"(%x: f32[1,64,24,24] "x") {
  %w = constant(value=fill(0.125)) : f32[64,64,3,3]
  %conv = conv(%x, %w, pads=[1, 1, 1, 1]) : f32[1,64,24,24]
  %y = relu(%conv) : f32[1,64,24,24]
  return %y "y"
}
"""


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> tuple[edgec.Artifact, Any, Any]:
    graph, inputs = network(LAYERS)
    folder = tmp_path_factory.mktemp("layers") / "artifact"
    artifact = driver.compile(graph, "tvm", output=folder, selftest=False, options={"vm": "off"})
    return artifact, inputs, graph.evaluate(inputs)


def test_threads_share_tasks_whose_tiles_lie_in_the_arena(layers: tuple[edgec.Artifact, Any, Any]) -> None:
    artifact, inputs, wanted = layers
    alone = run_guarded(artifact, inputs)
    np.testing.assert_allclose(alone[0], wanted[0], atol=1e-4 * np.abs(wanted[0]).max(), rtol=0)
    for threads in (2, 3):
        np.testing.assert_array_equal(run_guarded(artifact, inputs, threads)[0], alone[0])
    assert artifact.report["arena"]["workspace"] > 1 << 20
    assert "MODEL_TASK_WORKSPACE = 0" not in (artifact.folder / "model.c").read_text()


def test_the_epilogue_is_fused(layers: tuple[edgec.Artifact, Any, Any]) -> None:
    labels = [row["label"] for row in layers[0].report["regions"]]
    assert [label for label in labels if "winograd-conv" in label] == ["winograd-conv+hard-swish", "winograd-conv+add"]


@pytest.mark.parametrize(("form", "expected"), [("auto", True), ("off", False), ("2", True)])
def test_layers_take_the_form_that_was_asked_for(form: str, expected: bool) -> None:
    graph = driver.lower(network(NETWORK)[0], "tvm-x86-64-v3", winograd=form).graph
    assert ("winograd-conv" in str(graph)) == expected


def test_not_a_number_stays_in_its_tile(tmp_path: Path) -> None:
    graph = Graph.parse(NETWORK)
    artifact = driver.compile(graph, "tvm", winograd="2", selftest=False, options={"vm": "off"})
    x = np.zeros((1, 64, 24, 24), np.float32)
    x[0, 5, 10, 10] = np.nan
    found = np.isnan(artifact(x))
    assert found[0, :, 9:12, 9:12].all()
    assert not found[0, :, :8].any()
    assert not found[0, :, 14:].any()
