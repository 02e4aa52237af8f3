"""Sizes that stay open: ONNX with named dimensions, optimization profiles, and what does not follow a size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgec
from edgec.backends import Goal, find_backend
from edgec.backends.tensorrt import goals
from edgec.cli.main import main
from edgec.cli.options import read_dims
from edgec.driver import import_model
from edgec.errors import Unsupported, UsageError
from edgec.open_sizes import bounds_of, check_open, largest, other_values

onnx = pytest.importorskip("onnx")
RTX = pytest.mark.skipif(goals.missing(goals.RTX) is not None, reason="needs the packages of the extra 'tensorrt'")
WRITER = pytest.mark.skipif(goals.missing(goals.CLASSIC) is not None, reason="needs onnx-graphsurgeon")
NO_GPU = pytest.mark.skipif(goals.present_capability() is not None, reason="there is a GPU")
FLOAT, INT64 = 1, 7


def written(nodes: list[Any], weights: dict[str, Any], outputs: list[str], shape: list[Any]) -> bytes:
    helper = onnx.helper
    inputs = [helper.make_tensor_value_info("x", FLOAT, shape)]
    results = [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs]
    constants = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "open", inputs, results, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def tokens() -> bytes:
    """Patches of an image as rows behind one learnt row for each image: shapes, and a constant that repeats."""
    node, random = onnx.helper.make_node, np.random.default_rng(0)
    weights = {
        "w": random.standard_normal((4, 3, 2, 2)).astype(np.float32),
        "row": random.standard_normal((1, 1, 4)).astype(np.float32),
        "flat": np.asarray([0, 4, -1]), "first": np.asarray([0]), "tail": np.asarray([1, 4]), "zero": np.asarray(0),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "w"], ["c"], strides=[2, 2]), node("Reshape", ["c", "flat"], ["f"]),
        node("Transpose", ["f"], ["rows"], perm=[0, 2, 1]), node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "first"], ["n"]), node("Concat", ["n", "tail"], ["one"], axis=0),
        node("Expand", ["row", "one"], ["learnt"]), node("Concat", ["learnt", "rows"], ["y"], axis=1),
    ]  # fmt: skip
    return written(nodes, weights, ["y"], ["batch", 3, "height", 8])


def counted() -> bytes:
    """Adds 0, 1, 2, ... along an axis: numbers that depend on its size."""
    node = onnx.helper.make_node
    weights = {"start": np.float32(0), "step": np.float32(1), "axis": np.asarray(1)}
    nodes = [
        node("Shape", ["x"], ["s"]), node("Gather", ["s", "axis"], ["n"]), node("Cast", ["n"], ["end"], to=FLOAT),
        node("Range", ["start", "end", "step"], ["r"]), node("Add", ["x", "r"], ["y"], "positions"),
    ]  # fmt: skip
    return written(nodes, weights, ["y"], [2, "length"])


def check(artifact: edgec.Artifact, model: bytes, **dims: int) -> None:
    graph = import_model(model, None, dims)
    x = np.random.default_rng(1).standard_normal(graph.inputs[0].shape).astype(np.float32)
    got, wanted = find_backend("tensorrt").verify(artifact)[0].run({"x": x})["y"], graph.evaluate([x])[0]
    assert got.shape == wanted.shape
    assert np.allclose(got, wanted, atol=1e-5)


@RTX
@NO_GPU
def test_one_engine_for_all_sizes_between_bounds(tmp_path: Path) -> None:
    dims = {"batch": (1, 6), "height": (4, 16)}
    artifact = edgec.compile(tokens(), "tensorrt-sm89", dims=dims, output=tmp_path / "out")
    shapes = {"x": [[1, 3, 4, 8], [6, 3, 16, 8], [6, 3, 16, 8]]}
    assert artifact.report["tensorrt"]["profile"] == shapes
    assert artifact.report["toolchain"]["built"]
    for batch, height in ((1, 4), (1, 16), (3, 8), (6, 16)):
        check(artifact, tokens(), batch=batch, height=height)
    model = onnx.load(tmp_path / "out" / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    named = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert named == ["batch", 3, "height", 8]
    with pytest.raises(UsageError, match="expects"):
        check(artifact, tokens(), batch=7, height=8)


@RTX
@NO_GPU
def test_verify_compares_both_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.onnx").write_bytes(tokens())
    given = [str(tmp_path / "m.onnx"), "--dim", "batch=1..3", "--dim", "height=8"]
    assert main(["verify", *given, "-t", "tensorrt-sm86"]) == 0
    assert "y (batch=1)" in capsys.readouterr().out


@WRITER
def test_a_command_line_with_shapes(tmp_path: Path) -> None:
    edgec.compile(tokens(), "tensorrt-jetson-orin", dims={"batch": (2, 6), "height": 8}, output=tmp_path / "out")
    shell = (tmp_path / "out" / "build_engine.sh").read_text()
    assert " --minShapes=x:2x3x8x8 --optShapes=x:6x3x8x8 --maxShapes=x:6x3x8x8\n" in shell


@WRITER
def test_what_depends_on_a_size_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"Add 'positions'.*depends on the size length") as caught:
        edgec.compile(counted(), "tensorrt-jetson-orin", dims={"length": (2, 6)}, output=tmp_path / "out")
    assert caught.value.nodes[0].nearest == "one artifact for each size: --dim length=N"
    assert not any(tmp_path.iterdir())


@WRITER
def test_open_sizes_are_refused_where_nothing_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="target 'tvm' takes no open sizes"):
        check_open(["length"], Goal(find_backend("tvm"), "tvm", ""), False)
    with pytest.raises(UsageError, match="neither quantized nor pruned"):
        edgec.compile(
            counted(), "tensorrt-jetson-orin", dims={"length": (2, 6)}, quantize="int8",
            calibration={"x": np.zeros((4, 6), np.float32)},
        )  # fmt: skip
    (tmp_path / "m.onnx").write_bytes(counted())
    assert main(["inspect", str(tmp_path / "m.onnx"), "--dim", "length=5..2"]) == 2
    assert "must be 0 or more and in order, got 5..2" in capsys.readouterr().err


def test_bounds_are_read() -> None:
    dims = read_dims(["batch=1..8", "w=3", "h=4..4"])
    assert dims == {"batch": (1, 8), "w": 3, "h": (4, 4)}
    assert bounds_of(dims) == {"batch": (1, 8)}
    assert largest(dims) == {"batch": 8, "w": 3, "h": 4}
    assert [other_values(1, 8), other_values(1, 2), other_values(3, 4)] == [[2, 5], [3, 4], [3, 5]]
    with pytest.raises(UsageError, match="is not a size"):
        read_dims(["batch=1.."])
