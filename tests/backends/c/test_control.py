"""Branches and loops in C: against `evaluate`, on threads, under sanitizers, and what ends a run."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgec.artifact import golden_sample
from edgec.errors import ModelError, UsageError
from edgec.ir import Graph, TensorType, Tolerance, f32, verify
from edgec.ir.onnx_import import load
from edgec.ir.ops import Loop
from edgec.passes import PassManager, default_pipeline
from edgec.passes.rules.branches import inlined
from edgec.targets import get_target

from ...control_models import CANNOT_RUN, MODELS, control_inputs, control_model
from ...samples import Reference, reference
from ...sharing import everything_shared
from .harness import compiled, compiler_for, run_guarded
from .test_artifact import LINK, files


@cache
def all_models() -> Graph:
    """The models side by side in one graph."""
    merged = Graph("control")
    results, names = [], []
    for name in MODELS:
        one = load(control_model(name).SerializeToString())
        found = inlined(one, [merged.input(v.type, f"{name}.{v.name}") for v in one.inputs])
        for value in found:
            if value.producer is not None and value.producer not in merged:
                merged.insert_before(None, value.producer)
        results += found
        names += [f"{name}.{output}" for output in one.output_names]
    merged.set_outputs(results, names)
    verify(merged)
    return merged


def wanted(seed: int) -> Reference:
    return reference(
        all_models().copy(), [a for name in MODELS for a in control_inputs(name, seed)], Tolerance(1e-5, 1e-5)
    )


@pytest.mark.slow
def test_they_compute_what_evaluate_does_on_any_threads() -> None:
    with everything_shared(), compiled(all_models().copy(), "x86-64-v3") as artifact:
        assert any(region["shares"] > 1 for region in artifact.report["regions"])
        for seed in range(4):
            one = wanted(seed)
            alone, shared = (run_guarded(artifact, one.inputs, threads) for threads in (1, 2))
            assert one.faults(alone) == []
            assert all(np.array_equal(a, b) for a, b in zip(alone, shared, strict=True))


@pytest.mark.slow
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    compiler = compiler_for("c")
    folder = files(all_models().copy(), tmp_path, "c")
    sources = [folder / n for n in ("model.c", "weights.S", "model_pool.c", "selftest.c")]
    program = compiler.compile(sources, tmp_path / "selftest", "executable", link=LINK, sanitize=True)
    done = subprocess.run([program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.parametrize("kind", ["gcc", "clang"])
def test_no_warnings(kind: str, tmp_path: Path) -> None:
    compiler = compiler_for("c", kind)
    folder = files(all_models().copy(), tmp_path, "c")
    flags = ("-Wall", "-Wextra", "-Werror", "-Wpedantic", "-fsyntax-only")
    done = subprocess.run([*compiler.compile_command(), *flags, "-c", "model.c"], cwd=folder, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.slow
def test_a_branch_that_cannot_run_ends_the_run() -> None:
    graph = load(control_model("", CANNOT_RUN).SerializeToString())
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    with compiled(graph, "x86-64-v3") as artifact:
        assert "or 3 where a branch is taken" in (artifact.folder / "model.h").read_text()
        (found,) = artifact._run([x, np.array(True)])
        np.testing.assert_array_equal(found, x + x)
        with pytest.raises(UsageError, match="took a branch that does not fit the shapes"):
            artifact._run([x, np.array(False)])


CHOSEN = """
g (float[2,3] x, int64 rate) => (float[2,3] y) {
  wanted = Constant <value_int = 16000> ()
  same = Equal (rate, wanted)
  y = If (same) <
    then_branch = a () => (float[2,3] p) { p = THEN (x, x) },
    else_branch = b () => (float[2,3] q) { q = ELSE (x, x) }>
}
"""


@pytest.mark.parametrize(("then", "otherwise", "rates"), [("Add", "MatMul", (16_000,)), ("MatMul", "Add", (0, 1))])
def test_the_golden_sample_takes_a_branch_that_can_run(then: str, otherwise: str, rates: tuple[int, ...]) -> None:
    text = CHOSEN.replace("THEN", then).replace("ELSE", otherwise)
    graph = load(control_model("", text).SerializeToString())
    (x, rate), (y,) = golden_sample(graph)
    assert rate in rates
    np.testing.assert_array_equal(y, x + x)


def test_where_no_branch_can_run_the_model_is_malformed() -> None:
    text = CHOSEN.replace("THEN", "MatMul").replace("ELSE", "MatMul")
    with pytest.raises(ModelError, match="MatMul"):
        load(control_model("", text).SerializeToString())


def test_bodies_are_laid_out_fused_and_planned_like_networks() -> None:
    graph = load(control_model("convolution").SerializeToString())
    PassManager(default_pipeline(get_target("x86-64-v3")), verify=True, numeric=True).run(graph)
    (loop,) = (op for op in graph if isinstance(op, Loop))
    labels = [op.label for op in loop.body if op.name == "fused"]
    assert any("conv" in label and "relu" in label for label in labels)
    assert loop.body.stage == graph.stage == "planned"
    assert any(v.type.order == (0, 2, 3, 1) for v in loop.body.values)
    assert all(v.type.order == () for v in (*loop.body.inputs, *loop.body.outputs))
    block = graph.metadata["plan"].storage.scratch[loop]
    assert block.bytes <= graph.metadata["plan"].arena_bytes
    assert block.bytes > loop.body.metadata["plan"].arena_bytes >= TensorType(f32, (1, 4, 9, 7)).bytes
