"""`export` and `opt -o model.onnx`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgec.cli.main import main
from edgec.ir import Graph, arg, f32
from edgec.ir.ops import Add, MatMul, Relu, constant
from edgec.ir.text import print_graph

onnx = pytest.importorskip("onnx")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    graph = Graph("small")
    x = graph.input(arg(f32, 1, 8).type, "x")
    weights = constant(np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32))
    product = MatMul(x, weights).result
    graph.set_outputs([graph.add(Relu(Add(product, constant(np.float32(0))).result))], ["y"])
    (tmp_path / "model.ir").write_text(print_graph(graph, elide=False))
    return tmp_path / "model.ir"


def _operators(path: Path) -> list[str]:
    loaded = onnx.load(path)
    onnx.checker.check_model(loaded, full_check=True)
    return [node.op_type for node in loaded.graph.node]


def test_the_clean_model_is_written(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(model), "-o", str(tmp_path / "out.onnx")]) == 0
    assert _operators(tmp_path / "out.onnx") == ["MatMul", "Relu"]
    assert "2 ops" in capsys.readouterr().out


def test_a_quantized_model_holds_q_and_dq(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "calib.npz", x=np.random.default_rng(1).standard_normal((16, 8)).astype(np.float32))
    arguments = ["--quantize", "int8", "--calibration", str(tmp_path / "calib.npz")]
    assert main(["export", str(model), "-o", str(tmp_path / "out.onnx"), *arguments]) == 0
    assert {"QuantizeLinear", "DequantizeLinear", "MatMul"} <= set(_operators(tmp_path / "out.onnx"))


def test_opt_writes_onnx_by_the_name_of_the_file(model: Path, tmp_path: Path) -> None:
    assert main(["opt", str(model), "--passes", "dead-code", "-o", str(tmp_path / "out.onnx")]) == 0
    assert _operators(tmp_path / "out.onnx") == ["MatMul", "Add", "Relu"]


def test_what_onnx_has_no_words_for_is_refused_and_nothing_is_written(model: Path, tmp_path: Path) -> None:
    assert main(["opt", str(model), "-o", str(tmp_path / "out.onnx")]) == 4
    assert not (tmp_path / "out.onnx").exists()


def test_a_folder_that_is_not_there_is_told(model: Path, tmp_path: Path) -> None:
    assert main(["export", str(model), "-o", str(tmp_path / "no" / "out.onnx")]) == 2
