"""The commands that look at things: inspect, opt, explain, targets, passes, knobs, bench, --help."""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgec import __version__
from edgec.artifact.machine import Level, Machine
from edgec.cli import bench, bench_process
from edgec.ir import Graph

from ..control_models import control_model
from .conftest import Run


def test_inspect(edgec: Run, digits: Path, here: Path) -> None:
    facts = edgec("inspect", digits, "--html", "page.html", "--json").json
    assert facts["op_counts"]["conv"] == 4
    assert facts["macs"] == sum(row["macs"] for row in facts["ops"]) > 200_000
    assert facts["unsupported"] == []
    assert facts["memory"]["bytes"] >= facts["memory"]["lower_bound"] > 0
    page = (here / "page.html").read_text()
    assert page.count("<rect ") == len(facts["memory"]["buffers"])
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    HTMLParser().feed(page)
    text = edgec("inspect", digits, "--ops").out
    assert "<- peak" in text
    assert "Conv_0" in text


def test_inspect_lists_what_cannot_be_compiled(edgec: Run, here: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    nodes = [helper.make_node("Nonsense", ["x"], ["a"], "one<b>"), helper.make_node("Folly", ["x"], ["b"], "two")]
    nodes.append(helper.make_node("Add", ["a", "b"], ["y"], "three"))
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), here / "odd.onnx")
    result = edgec("inspect", "odd.onnx", "--json")
    assert result.code == 0
    assert [node["op"] for node in result.json["unsupported"]] == ["Nonsense", "Folly"]
    assert "two" in edgec("inspect", "odd.onnx").out
    assert edgec("compile", "odd.onnx").code == 4


def test_what_runs_inside_of_loops_is_shown(edgec: Run, here: Path) -> None:
    model = control_model("convolution")
    for node in model.graph.node[-1].attribute[0].g.node:
        node.name = f"inner_{node.op_type}"
    onnx.save(model, here / "loop.onnx")
    facts = edgec("inspect", "loop.onnx", "--json").json
    assert (facts["op_counts"]["loop"], facts["op_counts"]["conv"]) == (1, 2)
    assert facts["macs"] == 30 * sum(row["macs"] for row in facts["ops"] if row["op"] != "loop")
    found = edgec("explain", "loop.onnx", "--node", "inner_Relu", "--json").json
    assert ["conv", "relu"] in [region["ops"] for region in found["regions"]]
    shown = edgec("opt", "loop.onnx", "--passes", "simplify", "--print-after", "simplify").out
    assert shown.count("# after simplify") == 1


def test_opt_prints_and_writes(edgec: Run, digits: Path, here: Path) -> None:
    result = edgec("opt", digits, "--passes", "fold-constants,simplify", "--print-after", "simplify")
    assert result.code == 0
    assert result.out.startswith("# after simplify\ngraph ")
    assert edgec("opt", digits, "--passes", "fold-constants", "-o", "a.ir").code == 0
    assert len(Graph.load(here / "a.ir")) > 0
    again = edgec("opt", "a.ir", "--passes", "dead-code", "--full")
    assert len(Graph.parse(again.out)) == len(Graph.load(here / "a.ir"))
    assert edgec("opt", digits, "--print-after", "nonsense").code == 2


def test_explain(edgec: Run, digits: Path) -> None:
    result = edgec("explain", digits, "--node", "conv_3", "--json")
    assert result.code == 0
    assert all("Conv_3" in note["node"] + note["other"] for note in result.json["notes"])
    assert any("conv" in region["ops"] for region in result.json["regions"])
    assert "Conv_0" in edgec("explain", digits, "--node", "0").out
    wrong = edgec("explain", digits, "--node", "Conf_3")
    assert wrong.code == 2
    assert wrong.err.startswith("error: no node matches 'Conf_3'\n  hint: nodes: Conv_3")


def test_targets_passes_and_knobs(edgec: Run) -> None:
    targets = edgec("targets", "--json").json["targets"]
    assert {"host", "c", "x86-64", "x86-64-v3", "x86-64-v4", "arm-neon", "arm-neon-dot", "armv7-neon"} <= {
        target["name"] for target in targets
    }
    assert "arm-neon" in edgec("targets").out
    passes = edgec("passes", "--json").json
    assert {"name": "fuse", "strategy": "greedy"}.items() <= {
        "name": "fuse", **next(row["options"] for row in passes["passes"] if row["name"] == "fuse")
    }.items()  # fmt: skip
    assert passes["pipeline"][-1] == "plan"
    assert all(row["summary"] for row in passes["passes"])
    assert "default pipeline:" in edgec("passes").out
    assert "EDGEC_DEBUG" in edgec("knobs").out


def test_bench_beside_the_roof(edgec: Run, digits: Path) -> None:
    found = edgec("bench", digits, "--roofline", "--seconds", "0.1", "--json").json
    machine, layers = found["machine"], found["layers"]
    assert machine["float_gops"] > 1
    assert [level["name"] for level in machine["levels"]] == ["L1", "L2", "L3", "memory"]
    assert all(min(level["rates"].values()) > 0.1 for level in machine["levels"])
    assert [row["index"] for row in layers] == list(range(len(layers)))
    assert all(row["us"] > 0 and row["bound_us"] > 0 for row in layers)
    assert "of bound" in edgec("bench", digits, "--roofline", "--seconds", "0.1").out


def test_a_bound_is_the_larger_of_products_and_bytes() -> None:
    near, far = Level("L1", 1000, {"copy": 100.0}), Level("memory", 10**9, {"copy": 10.0, "add": 20.0})
    machine = Machine(100.0, 400.0, (near, far))
    assert machine.seconds(50_000, 1000, integers=False) == pytest.approx((1e-6, 1e-8))
    assert machine.seconds(50_000, 2000, integers=True) == pytest.approx((0.25e-6, 1e-7))


def test_an_engine_may_print_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """import sys; sys.stderr.write("x" * 1_000_000 + "\\nlast words"); print('{"version": "1"}')"""
    monkeypatch.setattr(bench_process, "_start_code", lambda: code)
    engine = bench_process.Engine.start("loud", tmp_path, tmp_path, 1, {})
    engine.wait()
    assert engine.version == "1"
    engine.wait()
    assert engine.error == "its process died: last words"
    assert engine.process.wait() == 0


@dataclass
class Fake:
    """An engine that has run."""

    name: str
    result: np.ndarray
    error: str = ""

    def outputs(self) -> dict[str, np.ndarray]:
        return {"y": self.result}

    def disqualify(self, error: str) -> None:
        self.error = error


def test_an_engine_with_results_of_another_shape_is_no_reference() -> None:
    right, ours, wrong = np.ones(3, np.float32), np.ones(3, np.float32), np.zeros(3, np.float32)
    engines = [Fake("edgec", ours), Fake("empty", np.zeros(0)), Fake("good", right), Fake("bad", wrong)]
    bench._check_outputs(engines, 1e-3)  # type: ignore[arg-type]
    assert [engine.name for engine in engines if not engine.error] == ["edgec", "good"]
    assert "has shape [0], the model gives [3]" in engines[1].error
    assert engines[3].error == "output 'y' is off good's by 1"


def test_the_reference_is_what_most_engines_agree_with() -> None:
    right, rough = np.ones(3, np.float32), np.full(3, 1.1, np.float32)
    engines = [Fake("edgec", right), Fake("rough", rough), Fake("good", right), Fake("better", right)]
    bench._check_outputs(engines, 1e-3)  # type: ignore[arg-type]
    assert [engine.error for engine in engines] == ["", "output 'y' is off good's by 0.1", "", ""]


def test_bench(edgec: Run, digits: Path) -> None:
    pytest.importorskip("onnxruntime")
    result = edgec("bench", digits, "--against", "onnxruntime", "--seconds", "0.2", "--json")
    assert result.code == 0
    assert list(result.json) == ["edgec", "onnxruntime"]
    for row in result.json.values():
        assert 0 < row["min_ms"] <= row["median_ms"] <= row["p95_ms"]
    assert "median ms" in edgec("bench", digits, "--seconds", "0.1", "--threads", "2", "--plot", "times.svg").out
    assert Path("times.svg").read_text(encoding="utf-8").count("<rect") == 1


def test_a_missing_engine_is_a_row(edgec: Run, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        import openvino  # noqa: F401
    except ImportError:
        row = edgec("bench", digits, "--against", "openvino", "--seconds", "0.1", "--json").json["openvino"]
        assert row == {"error": "openvino is not installed"}


def test_help_and_version_are_quick(edgec: Run) -> None:
    assert edgec("--version").out == f"{__version__}\n"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "edgec", "--help"], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "compile" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_looking_at_help_loads_nothing_heavy() -> None:
    code = "import sys, edgec.cli; print([m for m in ('numpy', 'onnx', 'networkx', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
