"""The worked examples of docs/: each is loaded by --plugin and by entry point, does its work, and the numbers stay."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PASS, OPERATORS, STRATEGY = (EXAMPLES / f"{name}.py" for name in ("relu_past_pool", "activations", "epilogues"))


def edgec(*words: object, folder: Path | None = None, status: int = 0) -> str:
    """Run a command in a process of its own, for plugins stay; `folder` is one more place for packages."""
    places = [str(folder)] if folder else []
    places += [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    command = [sys.executable, "-m", "edgec", *map(str, words)]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=variables)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def saved(path: Path, nodes: list[onnx.NodeProto], outputs: tuple[str, ...] = ("y",)) -> Path:
    """Write a model of one input x: f32[1,4,8,8]."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x], made), opset_imports=opsets, ir_version=8), path)
    return path


@pytest.fixture
def pooled(tmp_path: Path) -> Path:
    """relu, then max-pool."""
    pool = helper.make_node("MaxPool", ["r"], ["y"], "pool", kernel_shape=[2, 2], strides=[2, 2])
    return saved(tmp_path / "pooled.onnx", [helper.make_node("Relu", ["x"], ["r"], "act"), pool])


@pytest.fixture
def custom(tmp_path: Path) -> Path:
    """Both operators of com.example."""
    snake = helper.make_node("Snake", ["x"], ["s"], "wave", domain="com.example", alpha=0.5)
    gated = helper.make_node("Gated", ["s"], ["y"], "gate", domain="com.example")
    return saved(tmp_path / "custom.onnx", [snake, gated])


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder that holds the examples as an installed package with entry points."""
    folder = tmp_path / "site"
    about = folder / "edgec_example-1.0.dist-info"
    about.mkdir(parents=True)
    modules = {name: f"edgec_example_{name}" for name in ("relu_past_pool", "activations", "epilogues")}
    for name, module in modules.items():
        shutil.copy(EXAMPLES / f"{name}.py", folder / f"{module}.py")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: edgec-example\nVersion: 1.0\n")
    points = "".join(f"{name} = {module}\n" for name, module in modules.items())
    (about / "entry_points.txt").write_text(f"[edgec.passes]\n{points}")
    return folder


# --- a pass -------------------------------------------------------------------------------------------------------


def test_the_pass_fires_in_the_default_pipeline(pooled: Path, tmp_path: Path) -> None:
    out = tmp_path / "artifact"
    edgec("compile", pooled, "--plugin", PASS, "-o", out, "--verify", "--no-build")
    passes = json.loads((out / "report.json").read_text())["passes"]
    names = [one["name"] for one in passes]
    assert passes[names.index("relu-past-pool")]["fired"] == {"relu_past_max_pool": 1}
    assert names[names.index("relu-past-pool") - 1] == "recognise"
    edgec("verify", pooled, "--plugin", PASS, "--tolerance", "0")


def test_the_pass_runs_alone(pooled: Path) -> None:
    text = edgec("opt", pooled, "--plugin", PASS, "--passes", "relu-past-pool", "--verify")
    assert text.index("pool(") < text.index("relu(")


def test_the_pass_says_why_it_refuses(tmp_path: Path) -> None:
    pool = helper.make_node("MaxPool", ["r"], ["y"], "pool", kernel_shape=[2, 2])
    nodes = [helper.make_node("Relu", ["x"], ["r"], "act"), pool, helper.make_node("Neg", ["r"], ["z"], "other")]
    model = saved(tmp_path / "two.onnx", nodes, ("y", "z"))
    said = edgec("explain", model, "--node", "pool", "--plugin", PASS)
    assert "relu_past_max_pool\n  ONNX node 1 MaxPool 'pool': the relu has another reader" in said


# --- operators ----------------------------------------------------------------------------------------------------


def test_the_operators_import_evaluate_and_compile(custom: Path) -> None:
    assert "snake(%0, alpha=0.5)" in edgec("opt", custom, "--plugin", OPERATORS, "--passes", "dead-code")
    for target in ("host", "c"):
        said = json.loads(edgec("verify", custom, "--plugin", OPERATORS, "--target", target, "--json"))
        assert said["ok"]
        assert said["outputs"][0]["worst"] < 1e-6


def test_the_operators_compute_what_their_formulas_say(custom: Path) -> None:
    code = f"""
import edgec, numpy as np
model = edgec.compile({str(custom)!r}, plugins=[{str(OPERATORS)!r}])
x = np.random.default_rng(1).standard_normal((1, 4, 8, 8), dtype=np.float32)
np.save({str(custom.with_suffix(".x.npy"))!r}, x), np.save({str(custom.with_suffix(".y.npy"))!r}, model(x))
"""
    python(code)
    x, y = (np.load(custom.with_suffix(f".{name}.npy")).astype(np.float64) for name in "xy")
    snake = x + np.sin(0.5 * x) ** 2 / 0.5
    np.testing.assert_allclose(y, snake[:, :2] / (1 + np.exp(-snake[:, 2:])), rtol=1e-5, atol=1e-6)


def test_a_plugin_may_come_after_the_first_import(custom: Path) -> None:
    code = f"""
import edgec
try:
    edgec.compile({str(custom)!r}, build=False)
except edgec.Unsupported as error:
    print(error.nodes[0].op)
print(edgec.compile({str(custom)!r}, plugins=[{str(OPERATORS)!r}], build=False).report["regions"][0]["label"])
"""
    assert python(code).splitlines()[0] == "Snake"


def test_operators_without_the_plugin_are_listed(custom: Path) -> None:
    assert "com.example::Snake 'wave'" in edgec("compile", custom, "-o", custom.with_suffix(""), status=4)


def test_the_operators_keep_their_declaration() -> None:
    """What the project's own tests derive from `samples()`, for a plugin's operators."""
    code = f"""
import numpy as np
from edgec.ir import Graph
from edgec.passes import load_plugin
module = load_plugin({str(OPERATORS)!r})
for op in [*module.Snake.samples(), *module.Gated.samples()]:
    graph, x = Graph("sample"), op.x
    x.name = "x"
    graph.inputs.append(x)
    graph.set_outputs([graph.add(op)], ["y"])
    assert str(Graph.parse(str(graph))) == str(graph)
    array = np.random.default_rng(0).standard_normal(x.shape, dtype=np.float32)
    (wanted,) = graph.evaluate([array])
    simpler = op.expand()
    if simpler is not None:
        graph.replace_op(op, [simpler])
        np.testing.assert_allclose(graph.evaluate([array])[0], wanted, rtol=1e-6, atol=1e-6)
"""
    python(code)


# --- a fusion strategy --------------------------------------------------------------------------------------------


def test_the_strategy_fuses_and_gives_the_same_numbers(examples: Path, tmp_path: Path) -> None:
    out = tmp_path / "artifact"
    edgec("compile", examples / "digits.onnx", "--plugin", STRATEGY, "--fusion", "epilogues", "-o", out, "--no-build")
    labels = [region["label"] for region in json.loads((out / "report.json").read_text())["regions"]]
    assert any(label.startswith("conv+relu") for label in labels)
    edgec("verify", examples / "digits.onnx", "--plugin", STRATEGY, "--fusion", "epilogues", "--tolerance", "1e-5")


def test_the_strategy_is_an_option_of_the_pass(examples: Path) -> None:
    passes = "lower-pads,assign-layout,fuse{strategy=epilogues}"
    text = edgec("opt", examples / "digits.onnx", "--plugin", STRATEGY, "--passes", passes)
    assert "= fused(" in text


def test_an_unknown_strategy_is_named(examples: Path, tmp_path: Path) -> None:
    said = edgec("compile", examples / "digits.onnx", "--fusion", "epilogue", "-o", tmp_path / "a", status=2)
    assert "there is no fusion strategy 'epilogue'" in said


# --- entry points -------------------------------------------------------------------------------------------------


def test_an_installed_package_is_found(installed: Path, pooled: Path, custom: Path, examples: Path) -> None:
    assert "relu-past-pool" in edgec("passes", folder=installed)
    edgec("verify", custom, folder=installed)
    text = edgec("opt", examples / "digits.onnx", "--passes", "+relu-past-pool", folder=installed)
    assert "stage planned" in text
    passes = "lower-pads,assign-layout,fuse{strategy=epilogues}"
    assert "= fused(" in edgec("opt", examples / "digits.onnx", "--passes", passes, folder=installed)
    text = edgec("opt", pooled, "--passes", "relu-past-pool", folder=installed)
    assert text.index("pool(") < text.index("relu(")


def test_an_installed_package_that_does_not_load_is_named(installed: Path) -> None:
    (installed / "edgec_example_epilogues.py").write_text("import no_such_module\n")
    said = edgec("passes", folder=installed, status=2)
    assert "the installed plugin 'epilogues' (edgec_example_epilogues) does not load" in said
