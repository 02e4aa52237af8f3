"""The TensorRT backend on a machine without a GPU: models, engines, refusals, verification."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgec
from edgec.backends import Goal, find_backend, find_goal
from edgec.backends.tensorrt import goals, support
from edgec.cli.main import main
from edgec.driver import assemble, load_artifact, lower
from edgec.errors import ToolchainError, Unsupported, UsageError
from edgec.ir import Graph, arg, f32
from edgec.ir.ops import Add, Clip, Conv, Pool, Relu, Sub, constant
from edgec.ir.types import u8

from ...samples import graph_of, samples_of
from .networks import NO_GPU, RTX, SHAPE, WRITER, calibrated, calibration, network

onnx = pytest.importorskip("onnx")


def test_targets_are_listed_with_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["backends"]}
    names = [one["name"] for one in rows["tensorrt"]["targets"]]
    assert {"tensorrt", "tensorrt-sm86", "tensorrt-sm89", "tensorrt-sm120", "tensorrt-jetson-orin"} <= set(names)
    lacks = rows["tensorrt"]["missing"]
    assert lacks is None or lacks["command"] == 'pip install "edgec[tensorrt]"'


def test_a_missing_package_is_told_before_anything_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(goals, "_installed", lambda package: package != "tensorrt_rtx")
    with pytest.raises(ToolchainError, match="tensorrt-rtx") as caught:
        edgec.compile(network(), "tensorrt-sm89", output=tmp_path / "out")
    assert caught.value.hint == 'pip install "edgec[tensorrt]"'
    assert not any(tmp_path.iterdir())


@NO_GPU
def test_the_gpu_at_hand_must_be_there() -> None:
    with pytest.raises(ToolchainError, match="an NVIDIA GPU here"):
        lower(network(), "tensorrt")


def test_an_unknown_architecture_is_no_target() -> None:
    with pytest.raises(UsageError, match="tensorrt-sm12"):
        find_goal("tensorrt-sm12")


@RTX
@pytest.mark.parametrize("target", ["tensorrt-sm86", "tensorrt-sm89", "tensorrt-sm120"])
def test_engines_are_the_same_bytes_twice(target: str, tmp_path: Path) -> None:
    lowered = lower(network(), target)
    first, second = (assemble(lowered, output=tmp_path / name) for name in ("a", "b"))
    for name in ("model.onnx", "model.engine", "build.log", "build_engine.py", "report.json"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name
    assert first.report["toolchain"]["built"]
    assert first.report["tensorrt"]["model.engine"]["bytes"] == (tmp_path / "a" / "model.engine").stat().st_size
    assert first.report["selftest"]["status"] == "not run"


@RTX
@NO_GPU
@pytest.mark.parametrize(("precision", "worst"), [("fp32", 1e-5), ("fp16", 5e-3)])
def test_the_onnx_model_computes_what_the_graph_does(precision: str, worst: float) -> None:
    artifact = edgec.compile(network(), "tensorrt-sm89", options={"precision": precision})
    runs, note = find_backend("tensorrt").verify(artifact)
    assert "the engine was not run: there is no NVIDIA GPU" in note
    x = np.random.default_rng(2).standard_normal(SHAPE).astype(np.float32)
    wanted = network().evaluate([x])
    got = runs.run({"x": x})
    assert list(got) == ["y", "features"]
    for one, other in zip(got.values(), wanted, strict=True):
        assert one.dtype == np.float32
        assert np.abs(one - other).max() <= worst * np.abs(other).max()
    types = {one.data_type for one in onnx.load(artifact.folder / "model.onnx").graph.initializer}
    assert (onnx.TensorProto.FLOAT16 in types) == (precision == "fp16")


def cancelling() -> Graph:
    """A large number that comes and goes between harmless ops."""
    graph = Graph("cancelling")
    x = graph.input(arg(f32, *SHAPE).type, "x")
    shifted = Relu(Add(x, constant(np.float32(3000.0))).result).result
    back = Sub(shifted, constant(np.float32(3000.0))).result
    weight = constant(np.random.default_rng(4).standard_normal((5, 3, 1, 1)).astype(np.float32))
    first = Conv(Relu(back).result, weight).result
    graph.set_outputs([graph.add(Relu(first))], ["y"])
    return graph


@RTX
@NO_GPU
def test_what_half_precision_spoils_stays_in_fp32() -> None:
    artifact = edgec.compile(cancelling(), "tensorrt-sm89", options={"precision": "fp16"})
    found = artifact.report["tensorrt"]["rounding"]
    assert found["fp32"] == ["add", "relu", "add"]
    assert found["worst"] <= found["tolerance"] == 0.01
    x = np.random.default_rng(2).standard_normal(SHAPE).astype(np.float32)
    (got,), (wanted,) = find_backend("tensorrt").verify(artifact)[0].run({"x": x}).values(), cancelling().evaluate([x])
    assert np.abs(got - wanted).max() <= 0.01 * np.abs(wanted).max()
    model = onnx.load(artifact.folder / "model.onnx")
    kinds = {one.name: one.data_type for one in model.graph.initializer}
    assert sorted(kind == onnx.TensorProto.FLOAT for kind in kinds.values()) == [False, True, True]


@RTX
def test_a_harmless_network_is_in_half_precision_throughout() -> None:
    artifact = edgec.compile(network(), "tensorrt-sm89", options={"precision": "fp16"})
    found = artifact.report["tensorrt"]["rounding"]
    assert (found["fp32"], found["unknown"]) == ([], "")
    assert 0 < found["worst"] < 5e-3
    quantized = edgec.compile(
        network(), "tensorrt-sm89", quantize="int8", calibration=calibration(), options={"precision": "fp16"}
    )
    assert "quantized" in quantized.report["tensorrt"]["rounding"]["unknown"]
    with pytest.raises(UsageError, match="'much' is no tolerance"):
        edgec.compile(network(), "tensorrt-sm89", options={"precision": "fp16", "tolerance": "much"})


@RTX
def test_bf16_is_in_the_types() -> None:
    artifact = edgec.compile(network(), "tensorrt-sm89", options={"precision": "bf16"})
    model = onnx.load(artifact.folder / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {one.data_type for one in model.graph.initializer if one.data_type < 20} >= {onnx.TensorProto.BFLOAT16}
    assert {one.type.tensor_type.elem_type for one in model.graph.output} == {onnx.TensorProto.FLOAT}


def refused() -> Graph:
    """Two ops that the parser refuses, and one that it takes."""
    graph = Graph("refused")
    x = graph.input(arg(f32, *SHAPE).type, "x")
    dilated = Pool(x, "max", (2, 2), (1, 1), (0,) * 4, (2, 2)).result
    small = graph.input(arg(u8, *SHAPE).type, "small")
    whole = Pool(small, "max", (2, 2), (1, 1), (0,) * 4, (1, 1))
    graph.set_outputs([graph.add(Clip(dilated, 0.0, 6.0)), graph.add(whole)], ["y", "z"])
    return graph


@RTX
def test_all_refusals_come_by_name_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as caught:
        edgec.compile(refused(), "tensorrt-sm89", output=tmp_path / "out")
    assert caught.value.exit_code == 4
    assert [node.op for node in caught.value.nodes] == ["pool", "pool"]
    assert "dilations" in str(caught.value)
    assert [node.nearest for node in caught.value.nodes] == ["1 subgraph: clip"] * 2
    assert not any(tmp_path.iterdir())


@RTX
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_inputs_that_are_outputs_are_no_part_of_what_the_parser_takes(precision: str) -> None:
    graph = refused()
    graph.set_outputs([*graph.outputs, graph.inputs[0]], [*graph.output_names, "same"])
    nodes = support.fit(graph, precision).refused
    assert [(node.op, node.nearest) for node in nodes] == [("pool", "1 subgraph: clip")] * 2


def test_control_flow_is_refused_by_name() -> None:
    graph = graph_of([(name, samples_of(name)[0]) for name in ("if", "loop")])
    refused = find_backend("tensorrt").supports(graph, Goal(find_backend("tensorrt"), "tensorrt-sm89", ""))
    assert [node.op for node in refused] == ["if", "loop"]
    assert "if at run time is not translated for TensorRT" in str(refused[0])


@RTX
def test_strings_do_not_hide_what_the_parser_refuses() -> None:
    graph = refused()
    (equal,) = samples_of("text-equal")[:1]
    for value in equal.operands:
        graph.inputs.append(value)
    graph.set_outputs([graph.outputs[1], graph.add(equal)])  # a result that nobody reads is examined too
    plain, both = (find_backend("tensorrt").supports(one, find_goal("tensorrt-sm89")) for one in (refused(), graph))
    assert len(plain) == 2
    assert [node.op for node in both if node not in plain][-1:] == ["text-equal"]
    assert [(node.op, node.reason) for node in both[-2:]] == [(node.op, node.reason) for node in plain]


def test_strings_and_loops_that_depend_on_data_are_refused_before_anything_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lacks = goals.missing(goals.CLASSIC)
    for content, names in _beyond():
        (tmp_path / "model.onnx").write_bytes(content)
        arguments = [str(tmp_path / "model.onnx"), "-t", "tensorrt-jetson-orin", "-o", str(tmp_path / "o")]
        assert main(["compile", *arguments]) == (4 if lacks is None else 6)
        said = capsys.readouterr().err
        assert [name for name in names if f"  {name} '" not in said] == ([] if lacks is None else names), said
        assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def _beyond() -> list[tuple[bytes, list[str]]]:
    """Models that the import, this backend or both refuse, and the nodes that must be named."""
    helper, kinds = onnx.helper, onnx.TensorProto
    text = helper.make_node("StringNormalizer", ["s"], ["t"], "lowercase")
    info = [helper.make_tensor_value_info(name, kinds.STRING, [1]) for name in "st"]
    strings = helper.make_model(helper.make_graph([text], "strings", info[:1], info[1:]))
    loop = _loop()
    both = helper.make_model(
        helper.make_graph(
            [text, *loop.graph.node], "both", [info[0], *loop.graph.input], [info[1], *loop.graph.output],
            loop.graph.initializer,
        )
    )  # fmt: skip
    named = (strings, ["StringNormalizer"]), (loop, ["Loop"]), (both, ["StringNormalizer", "Loop"])
    return [(model.SerializeToString(), names) for model, names in named]


def _loop() -> Any:
    """A loop that ends when a sum exceeds a bound."""
    helper, kinds = onnx.helper, onnx.TensorProto
    value, flag = (lambda n: helper.make_tensor_value_info(n, kinds.FLOAT, [1])), kinds.BOOL
    body = helper.make_graph(
        [helper.make_node("Add", ["a", "a"], ["b"]), helper.make_node("Less", ["b", "most"], ["l"]),
         helper.make_node("Squeeze", ["l"], ["go"])],
        "body", [helper.make_tensor_value_info("i", kinds.INT64, []), helper.make_tensor_value_info("c", flag, []),
                 value("a")], [helper.make_tensor_value_info("go", flag, []), value("b")],
        [helper.make_tensor("most", kinds.FLOAT, [1], [9.0])],
    )  # fmt: skip
    loop = helper.make_node("Loop", ["", "yes", "x"], ["y"], "until", body=body)
    yes = helper.make_tensor("yes", flag, [], [True])
    return helper.make_model(helper.make_graph([loop], "loop", [value("x")], [value("y")], [yes]))


@RTX
def test_a_builder_that_gives_up_says_why(tmp_path: Path) -> None:
    graph = Graph("gemm")
    x = graph.input(arg(f32, 4, 8).type, "x")
    from edgec.ir.ops import MatMul

    graph.set_outputs([graph.add(MatMul(x, constant(np.ones((8, 8), np.float32))))], ["y"])
    with pytest.raises(ToolchainError, match="builds no engine") as caught:
        edgec.compile(graph, "tensorrt-sm75", output=tmp_path / "out")
    assert "FP32 GEMM is not supported" in str(caught.value)
    assert not any(tmp_path.iterdir())
    assert edgec.compile(graph, "tensorrt-sm75", options={"precision": "fp16"}).report["toolchain"]["built"]


@WRITER
@NO_GPU
def test_a_jetson_gets_a_model_a_script_and_a_command_line(tmp_path: Path) -> None:
    lowered = lower(network(), "tensorrt-jetson-orin", quantization=calibrated())
    artifact = assemble(lowered, output=tmp_path / "out")
    files = {path.name for path in artifact.folder.iterdir()}
    assert {"model.onnx", "build_engine.py", "build_engine.sh", "ranges.csv", "model.ir"} <= files
    assert "model.engine" not in files
    assert artifact.report["toolchain"]["reason"].startswith("tensorrt with a GPU of compute capability 8.7")
    assert (
        "trtexec --onnx=model.onnx --saveEngine=model.engine --stronglyTyped"
        in (tmp_path / "out" / "build_engine.sh").read_text()
    )
    compile((tmp_path / "out" / "build_engine.py").read_text(), "build_engine.py", "exec")
    with pytest.raises(ToolchainError, match="cannot run here"):
        load_artifact(tmp_path / "out")(np.zeros(SHAPE, np.float32))


@WRITER
def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="precision 'int3'"):
        edgec.compile(network(), "tensorrt-jetson-orin", options={"precision": "int3"})
    with pytest.raises(UsageError, match="no option speed"):
        edgec.compile(network(), "tensorrt-jetson-orin", options={"speed": "9"})


@RTX
@NO_GPU
def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from edgec.ir.text import print_graph

    (tmp_path / "model.ir").write_text(print_graph(network(), elide=False))
    arguments = [str(tmp_path / "model.ir"), "-t", "tensorrt-sm86"]
    assert main(["compile", *arguments, "--option", "precision=fp16", "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    size = (tmp_path / "out" / "model.engine").stat().st_size
    assert re.search(rf"engine +{size / 1024:.1f} KiB, tensorrt-rtx \d", said), said
    assert re.search(r"time +[\d.]+ s, engine [\d.]+ s\n", said)
    assert "weights" not in said
    assert main(["verify", *arguments]) == 0
    assert "the engine was not run" in capsys.readouterr().out
    np.savez(tmp_path / "in.npz", x=np.zeros(SHAPE, np.float32))
    assert main(["run", str(tmp_path / "out"), "--input", str(tmp_path / "in.npz")]) == 6


# --- real networks ----------------------------------------------------------------------------------------------------

NETWORKS = ("resnet20_cifar10", "ultraface_rfb320", "yolox_nano_coco")


@RTX
@pytest.mark.models
@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("EDGEC_MODELS"), reason="EDGEC_MODELS names no folder")
@pytest.mark.parametrize("name", NETWORKS)
def test_real_networks_build_and_compute_the_same(name: str) -> None:
    folder = Path(os.environ["EDGEC_MODELS"]) / "real"
    data = np.load(folder / f"{name}.npz")
    given = {key[3:]: data[key] for key in data.files if key.startswith("in:")}
    artifact = edgec.compile(folder / f"{name}.onnx", "tensorrt-sm89")
    got = find_backend("tensorrt").verify(artifact)[0].run(given)
    for key in got:
        wanted = data[f"out:{key}"]
        assert np.abs(got[key] - wanted).max() <= 1e-3 * np.abs(wanted).max()


def test_a_goal_says_what_it_is_for() -> None:
    goal = find_goal("tensorrt-sm89")
    assert isinstance(goal, Goal)
    assert (goal.backend.name, goal.target, goal.settings["capability"]) == ("tensorrt", None, 89)
