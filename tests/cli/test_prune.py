"""`prune` and the option `--prune` of `compile`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Run, tree


@pytest.fixture
def data(examples: Path) -> list[str]:
    files = {"--calibration": "digits_calibration.npz", "--evaluation": "digits.npz"}
    return [part for option, name in files.items() for part in (option, str(examples / name))]


def test_the_artifact_tells_what_was_done(edgec: Run, here: Path, examples: Path, data: list[str]) -> None:
    result = edgec("compile", examples / "digits.onnx", "-o", "thin", "--prune", "2:4", *data)
    assert result.code == 0
    assert "pruned" in result.out
    report = json.loads((here / "thin" / "report.json").read_text())
    done = report["pruning"]
    assert done["weights_after"] < 0.7 * done["weights_before"]
    assert done["config"] == (here / "thin" / "pruning.toml").read_text()
    assert done["accuracy"]["samples"] == 360
    assert report["selftest"]["status"] == "passed"
    assert "quantization" not in report


def test_the_configuration_makes_the_same_again(edgec: Run, here: Path, examples: Path, data: list[str]) -> None:
    model = examples / "digits.onnx"
    edgec("compile", model, "-o", "one", "--prune", "channels:0.25", "--no-build", *data[:2])
    edgec("compile", model, "-o", "two", "--prune", here / "one" / "pruning.toml", "--no-build", *data[:2])
    for name in ("model.c", "weights.bin", "pruning.toml"):
        assert (here / "one" / name).read_bytes() == (here / "two" / name).read_bytes(), name


def test_pruned_and_quantized(edgec: Run, here: Path, examples: Path, data: list[str]) -> None:
    options = ["--prune", "channels:0.25", "--quantize", "int8", "--max-accuracy-drop", "3%", "--json", *data]
    result = edgec("compile", examples / "digits.onnx", "-o", "both", *options)
    assert result.code == 0
    pruned, quantized = (result.json[name]["accuracy"] for name in ("pruning", "quantization"))
    assert quantized["float"] == pruned["pruned"]
    assert pruned["float"] - quantized["quantized"] <= 0.03
    assert result.json["selftest"]["status"] == "passed"


def test_a_table_of_layers(edgec: Run, here: Path, digits: Path) -> None:
    result = edgec("prune", digits, "--scheme", "channels:0.5", "--report", "-o", "channels.toml")
    assert result.code == 0
    assert "why channels stay" in result.out
    assert "a reshape that mixes channels with positions" in result.out
    assert 'scheme = "channels:0.5"' in (here / "channels.toml").read_text()
    assert edgec("prune", digits, "--scheme", "channels.toml", "--json").json["layers"]


@pytest.mark.parametrize(
    ("options", "code", "what"),
    [
        (["--prune", "2:2"], 2, "a pattern keeps at least one weight"),
        (["--prune", "missing.toml"], 2, "cannot read 'missing.toml'"),
        (["--prune", "layer.toml"], 2, "no layer is called 'tail'"),
        (["--prune", "0.5", "--max-accuracy-drop", "1%"], 2, "a bound on the loss"),
        (["--prune", "0.5", "--calibration", "missing.npz"], 2, "there is no file 'missing.npz'"),
    ],
)
def test_what_is_wrong(edgec: Run, here: Path, digits: Path, options: list[str], code: int, what: str) -> None:
    (here / "layer.toml").write_text('[layer."tail"]\nscheme = "2:4"\n')
    before = tree(here)
    result = edgec("compile", digits, *options)
    assert result.code == code
    assert result.err.startswith(f"error: {what}")
    assert tree(here) == before
