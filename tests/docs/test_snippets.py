"""Code in the documentation is the code that runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import edgec
from edgec.targets import get_target
from edgec.toolchain import find_compiler

ROOT = Path(__file__).parents[2]
PAGES = {
    "writing-a-pass.md": "relu_past_pool.py",
    "writing-an-operator.md": "activations.py",
    "writing-a-fusion-strategy.md": "epilogues.py",
}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("page", "example"), PAGES.items())
def test_worked_examples_are_shown_as_they_are(page: str, example: str) -> None:
    source = (ROOT / "docs" / "examples" / example).read_text(encoding="utf-8")
    names = re.findall(r"^(?:class|def) (\w+)", source, re.MULTILINE)
    shown = [block for block in blocks(ROOT / "docs" / page, "python") if re.search(rf"\b({'|'.join(names)})\b", block)]
    assert shown
    assert all(block in source for block in shown)


def test_the_examples_of_the_ir_run(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for block in blocks(ROOT / "docs" / "ir.md", "python"):
        exec(block, names)
    assert 'return %1 "y"' in capsys.readouterr().out


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> edgec.Artifact:
    folder = tmp_path_factory.mktemp("readme") / "digits"
    return edgec.compile(ROOT / "examples" / "digits.onnx", "arm-neon", output=folder, build=False)


def test_the_code_in_the_readme_is_what_comes_out(arm: edgec.Artifact) -> None:
    generated = {line.strip() for line in (arm.folder / "model.c").read_text().splitlines()}
    shown, _ = blocks(ROOT / "README.md", "c")
    lines = [line.strip() for line in shown.splitlines() if line.strip() not in ("", "...")]
    assert not [line for line in lines if line not in generated and "..." not in line]


def test_the_sizes_in_the_readme_are_those_of_the_artifact(arm: edgec.Artifact) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"weights    {arm.report['weights_bytes'] / 1024:.1f} KiB" in text
    assert f"arena      {arm.report['arena']['bytes'] / 1024:.1f} KiB" in text


def test_the_accuracy_in_the_readme_is_that_of_the_network() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    samples = np.load(ROOT / "examples" / "digits.npz")
    model = edgec.compile(ROOT / "examples" / "digits.onnx", "c")
    graph = edgec.Graph.load(ROOT / "examples" / "digits.onnx", dims={"batch": len(samples["images"])})
    (before,) = graph.evaluate({"images": samples["images"]})
    after = model.run_many({"images": samples["images"]})["probabilities"]
    right = [int((found.argmax(1) == samples["labels"]).sum()) for found in (before, after)]
    assert f"| the network as trained, in floating point | {right[0]} |" in text
    assert f"`c` | {right[1]} each |" in text
    assert np.abs(after - before).max() <= 1e-6


def test_the_program_in_the_readme_runs(tmp_path: Path) -> None:
    _, snippet = blocks(ROOT / "README.md", "c")
    include, _, rest = snippet.partition("\n")
    source = tmp_path / "program.c"
    source.write_text(f"{include}\nint main(void)\n{{\n{rest}    return status;\n}}\n")
    artifact = edgec.compile(ROOT / "examples" / "digits.onnx", "c", output=tmp_path / "digits", build=False)
    compiler = find_compiler(get_target("c"))
    command = [*compiler.argv, *get_target("c").flags(compiler.kind), "-Wall", "-Werror", f"-I{artifact.folder}"]
    sources = [source, artifact.folder / "model.c", artifact.folder / "weights.S"]
    subprocess.run([*command, *sources, "-o", tmp_path / "program", "-lm"], check=True)
    assert subprocess.run([tmp_path / "program"], timeout=60).returncode == 0
