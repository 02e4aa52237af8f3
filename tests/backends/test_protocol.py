"""How backends are found, and what the driver does for all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgec import driver
from edgec.backends import all_backends, find_backend, find_goal, known_options, register
from edgec.errors import ToolchainError, Unsupported, UsageError
from edgec.ir import Graph
from edgec.passes import load_plugin
from edgec.passes.pipeline import PIPELINES
from edgec.targets import get_target

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "numpy_backend.py"
RELU = 'graph "g"(%x: f32[2,3] "x") {\n  %y = relu(%x) : f32[2,3]\n  return %y "y"\n}\n'


def test_each_backend_has_a_pipeline_and_serves_its_names() -> None:
    for backend in all_backends():
        assert backend.pipeline in PIPELINES
        assert find_backend(backend.name) is backend
        rows = [row.name for row in backend.targets() if "{" not in row.name]
        assert rows
        assert {goal.backend.name for name in rows if (goal := backend.goal(name))} == {backend.name}
        assert all(row.description for row in backend.targets())


def test_a_target_row_is_a_goal_of_c() -> None:
    goal = find_goal(get_target("arm-neon", "cortex-a72"))
    assert (goal.backend.name, goal.name, goal.target) == ("c", "arm-neon", get_target("arm-neon", "cortex-a72"))


def test_an_unknown_target_lists_those_of_all_backends() -> None:
    with pytest.raises(UsageError) as raised:
        find_goal("tvm-arm-noen")
    assert str(raised.value).startswith("error: unknown target 'tvm-arm-noen'; known: host, ")
    assert "tensorrt" in str(raised.value)
    assert "hint: did you mean 'tvm-arm-neon'?" in str(raised.value)
    with pytest.raises(UsageError, match="use --device raspberry-pi-4"):
        find_goal("raspberry-pi-4")


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(UsageError, match="there is no backend 'abacus'"):
        find_backend("abacus")


def test_unknown_options_are_named() -> None:
    known_options("c", {}, ())
    with pytest.raises(UsageError, match=r"backend 'c' has no option 'a\\nb'|backend 'c' has no option a\\nb"):
        known_options("c", {"a\nb": "1"}, ("vm",))
    with pytest.raises(UsageError, match="has no option vm"):
        driver.compile(Graph.parse(RELU), "c", build=False, options={"vm": "on"})


def test_what_is_missing_stops_before_the_first_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgec.backends.tvm.backend.importlib.util.find_spec", lambda name: None)
    seen: list[str] = []
    with pytest.raises(ToolchainError, match="backend 'tvm' needs the package apache-tvm") as raised:
        driver.lower(Graph.parse(RELU), "tvm", progress=lambda step, number, total: seen.append(step))
    assert raised.value.hint == 'pip install "edgec[tvm]"'
    assert seen == []


def test_importing_the_backends_loads_no_heavy_package() -> None:
    code = "import sys, edgec.backends as b; b.all_backends(); print([m for m in sys.modules if m in %r])"
    heavy = ("tvm", "tensorrt", "tensorrt_rtx", "onnxruntime", "onnx")
    done = subprocess.run([sys.executable, "-c", code % (heavy,)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_two_backends_of_one_name_are_refused() -> None:
    made = load_plugin(EXAMPLE).NumpyBackend(name="c")
    with pytest.raises(UsageError, match="backend 'c' is there twice"):
        register(made)


def test_the_example_serves_a_target(tmp_path: Path, examples: Path) -> None:
    model = examples / "digits.onnx"
    artifact = driver.compile(model, "numpy", dims={"batch": 1}, plugins=[EXAMPLE], output=tmp_path / "out")
    assert sorted(p.name for p in artifact.folder.iterdir()) == ["model.ir", "report.json"]
    assert artifact.report["backend"] == "numpy"
    graph = Graph.load(model, dims={"batch": 1})
    x = np.ones((1, 1, 8, 8), np.float32)
    np.testing.assert_allclose(driver.load_artifact(artifact.folder)(x), graph.evaluate([x])[0], atol=1e-5)


def test_the_example_refuses_by_name(tmp_path: Path) -> None:
    text = RELU.replace("[2,3]", "[4097,4096]")
    with pytest.raises(Unsupported, match="1 node cannot be compiled"):
        driver.compile(Graph.parse(text), "numpy", plugins=[EXAMPLE], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_entry_point_brings_a_backend(tmp_path: Path, examples: Path) -> None:
    (tmp_path / "its_backend.py").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    about = tmp_path / "its-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: its\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[edgec.backends]\nnumpy = its_backend:BACKEND\n")
    words = [sys.executable, "-m", "edgec", "verify", str(examples / "digits.onnx"), "--dim", "batch=1"]
    path = os.pathsep.join([str(tmp_path), *([os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else [])])
    done = subprocess.run(
        [*words, "--target", "numpy"], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "probabilities" in done.stdout
