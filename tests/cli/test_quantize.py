"""`quantize`, `evaluate`, and the options about quantization of other commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgec.cli.arrays import read_arrays, write_arrays

from .conftest import Run, tree

METRIC = "def share(outputs, labels):\n    return float((outputs.argmax(1) == labels).mean())\n"
SAMPLES = (
    "import numpy as np\ndef samples():\n    return (np.full((1, 1, 8, 8), i / 8, np.float32) for i in range(8))\n"
)


@pytest.fixture
def calibration(examples: Path) -> Path:
    return examples / "digits_calibration.npz"


@pytest.fixture
def labelled(examples: Path) -> Path:
    return examples / "digits.npz"


@pytest.fixture(scope="session")
def quantized(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Path:
    """The example in 8 bits, compiled once with its accuracy measured; look, do not touch."""
    from edgec import compile

    folder = tmp_path_factory.mktemp("quantized") / "digits"
    data = {"calibration": examples / "digits_calibration.npz", "evaluation": examples / "digits.npz"}
    compile(examples / "digits.onnx", output=folder, quantize="int8", veto=False, **data)
    return folder


# --- compile --------------------------------------------------------------------------------------------------------


def test_the_artifact_tells_what_was_done(quantized: Path, built: Path) -> None:
    report = json.loads((quantized / "report.json").read_text())
    done = report["quantization"]
    assert {layer["scheme"] for layer in done["layers"]} == {"int8"}
    assert done["config"] == (quantized / "quantization.toml").read_text()
    assert done["sqnr"] > 30
    assert done["accuracy"]["samples"] == 360
    assert done["accuracy"]["drop"] <= 0.01
    assert report["selftest"]["status"] == "passed"
    assert "quantization" not in json.loads((built / "report.json").read_text())


def test_it_is_smaller(quantized: Path, built: Path) -> None:
    small, large = ((folder / "weights.bin").stat().st_size for folder in (quantized, built))
    assert small < 0.4 * large


def test_the_configuration_makes_the_same_again(
    edgec: Run, quantized: Path, here: Path, examples: Path, calibration: Path
) -> None:
    config = quantized / "quantization.toml"
    result = edgec(
        "compile", examples / "digits.onnx", "-o", "again", "--quantize", config, "--calibration", calibration
    )
    assert result.code == 0
    assert "layers: 5 int8; signal to noise" in result.out
    for name in ("model.c", "weights.bin", "golden.bin", "quantization.toml"):
        assert (here / "again" / name).read_bytes() == (quantized / name).read_bytes(), name


def test_a_function_gives_samples(edgec: Run, here: Path, digits: Path) -> None:
    (here / "data.py").write_text(SAMPLES)
    result = edgec("compile", digits, "--quantize", "int8", "--calibration", "data.py:samples", "--no-build", "--json")
    assert result.code == 0
    assert len(result.json["quantization"]["layers"]) == 5


def test_a_bound_is_kept(edgec: Run, here: Path, examples: Path, calibration: Path, labelled: Path) -> None:
    result = edgec(
        "compile", examples / "digits.onnx", "--quantize", "ternary", "--calibration", calibration, "--evaluation",
        labelled, "--max-accuracy-drop", "0%", "--json", "-o", "bound",
    )  # fmt: skip
    assert result.code == 0
    done = result.json["quantization"]
    assert done["accuracy"]["drop"] <= 0
    schemes = {layer["scheme"] for layer in done["layers"]}
    assert "float" in schemes
    assert "[layer." in (here / "bound" / "quantization.toml").read_text()


@pytest.mark.parametrize(
    ("options", "code", "what"),
    [
        (["--quantize", "int8"], 2, "quantization needs calibration data"),
        (["--calibration", "x.npz"], 2, "--calibration without a scheme to quantize to"),
        (["--max-accuracy-drop", "1%"], 2, "--max-accuracy-drop without a scheme to quantize to"),
        (["--quantize", "int7", "--calibration", "x.npz"], 2, "there is no scheme 'int7'"),
        (["--quantize", "missing.toml", "--calibration", "x.npz"], 2, "cannot read 'missing.toml'"),
        (["--quantize", "int8", "--calibration", "missing.npz"], 2, "there is no file 'missing.npz'"),
        (["--quantize", "int8", "--calibration", "x.npz"], 3, "'x.npz' does not match the inputs"),
        (["--quantize", "int8", "--calibration", "nan.npz"], 3, "calibration data holds NaN"),
        (["--quantize", "int8", "--calibration", "x.npz", "--max-accuracy-drop", "much"], 2, "--max-accuracy-drop:"),
        (["--quantize", "int8", "--calibration", "x.npz", "--max-accuracy-drop", "1%"], 2, "a bound on the loss"),
        (["--quantize", "int8", "--calibration", "x.npz", "--metric", "best"], 2, "there is no metric 'best'"),
        (["--quantize", "int8", "--calibration", "nan.npz", "--evaluation", "good.npz"], 3, ""),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong(
    edgec: Run, here: Path, digits: Path, options: list[str], code: int, what: str
) -> None:
    good = np.zeros((4, 1, 8, 8), np.float32)
    write_arrays(here / "x.npz", {"pictures": good})
    write_arrays(here / "good.npz", {"images": good})
    write_arrays(here / "nan.npz", {"images": np.insert(good[1:], 2, np.nan, axis=0)})
    before = tree(here)
    result = edgec("compile", digits, *options)
    assert result.code == code
    assert result.err.startswith(f"error: {what}")
    assert tree(here) == before


# --- evaluate -------------------------------------------------------------------------------------------------------


def test_an_artifact_is_scored(edgec: Run, quantized: Path, labelled: Path) -> None:
    result = edgec("evaluate", quantized, "--data", labelled, "--json")
    assert result.code == 0
    facts = result.json
    stored = json.loads((quantized / "report.json").read_text())["quantization"]["accuracy"]
    assert (facts["score"], facts["float"]) == (stored["quantized"], stored["float"])
    assert (facts["metric"], facts["samples"]) == ("top1", 360)


def test_a_model_is_scored_with_what_quantization_costs(
    edgec: Run, here: Path, examples: Path, labelled: Path, calibration: Path
) -> None:
    (here / "mine.py").write_text(METRIC)
    options = ["--data", labelled, "--metric", "mine.py:share", "--quantize", "int8", "--calibration", calibration]
    result = edgec("evaluate", examples / "digits.onnx", *options)
    assert result.code == 0
    assert "mine.py:share" in result.out
    assert "% in float, " in result.out


def test_samples_without_labels_are_3(edgec: Run, built: Path, here: Path) -> None:
    write_arrays(here / "x.npz", {"images": np.zeros((4, 1, 8, 8), np.float32)})
    result = edgec("evaluate", built, "--data", "x.npz")
    assert result.code == 3
    assert "holds no 'labels'" in result.err


def test_an_artifact_cannot_be_quantized(edgec: Run, built: Path, labelled: Path) -> None:
    assert edgec("evaluate", built, "--data", labelled, "--quantize", "int8").code == 2


# --- quantize -------------------------------------------------------------------------------------------------------


def test_the_report(edgec: Run, here: Path, examples: Path, calibration: Path, labelled: Path) -> None:
    options = ["--calibration", calibration, "--evaluation", labelled, "--html", "page.html", "-o", "c.toml", "--json"]
    result = edgec("quantize", examples / "digits.onnx", *options)
    assert result.code == 0
    rows = result.json["sensitivity"]
    assert [row["name"] for row in rows] == [layer["name"] for layer in result.json["layers"]]
    assert all(row["alone"]["sqnr"] > result.json["sqnr"] for row in rows)
    assert all(row["without"]["metric"] > 0.9 for row in rows)
    page = (here / "page.html").read_text()
    assert page.count("<rect") == 2 * len(rows)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert (here / "c.toml").read_text() == result.json["config"]


def test_without_a_report_layers_are_listed(edgec: Run, examples: Path, calibration: Path) -> None:
    result = edgec("quantize", examples / "digits.onnx", "--calibration", calibration, "--scheme", "w4")
    assert result.code == 0
    assert " w4 " in result.out
    assert len(result.out.splitlines()) == 2 + 2 + 5


def test_nothing_is_done_where_nothing_can_be_written(edgec: Run, examples: Path, calibration: Path) -> None:
    options = ["--calibration", calibration, "-o", "no/such/folder/c.toml"]
    assert edgec("quantize", examples / "digits.onnx", *options).code == 2


# --- others ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["host", "c"])
def test_verify_compares_with_the_quantized_graph(edgec: Run, examples: Path, calibration: Path, target: str) -> None:
    options = ["--quantize", "int8", "--calibration", calibration, "--tolerance", "1e-5", "--target", target]
    assert edgec("verify", examples / "digits.onnx", *options).code == 0
    assert edgec("verify", examples / "digits.onnx", *options, "--against", "onnxruntime").code == 2


def test_run_and_inspect(edgec: Run, here: Path, examples: Path, calibration: Path) -> None:
    options = ["--quantize", "int8", "--calibration", calibration]
    reference = examples / "digits_reference.npz"
    assert edgec("run", examples / "digits.onnx", "-i", reference, "-o", "y.npz", *options).code == 0
    wanted = read_arrays(reference)["out:probabilities"]
    np.testing.assert_allclose(read_arrays(here / "y.npz")["probabilities"], wanted, atol=0.05)
    facts = edgec("inspect", examples / "digits.onnx", *options, "--json").json
    assert facts["op_counts"]["conv-integer"] == 4
    assert len(facts["quantization"]["layers"]) == 5


# --- veto -----------------------------------------------------------------------------------------------------------


def test_what_is_faster_in_float_is_said(edgec: Run, here: Path, examples: Path, calibration: Path) -> None:
    options = ["--target", "c", "--quantize", "int8", "--calibration", calibration, "--no-build", "-o", "slow"]
    result = edgec("compile", examples / "digits.onnx", *options)
    assert result.code == 0
    assert "layers: 5 float; the outputs are those of float" in result.out
    assert "no layer is faster in integers on c; --no-veto quantizes for size" in result.out
    result = edgec("compile", examples / "digits.onnx", *options, "--no-veto")
    assert "layers: 5 int8" in result.out
    assert "--no-veto" not in result.out
    assert "veto = false" in (here / "slow" / "quantization.toml").read_text()
