"""What a compilation for TVM leaves: an executor that needs no TVM, and modules that TVM reads."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest

import edgec
from edgec import driver
from edgec.backends import find_goal
from edgec.errors import ToolchainError, Unsupported, UsageError
from edgec.ir import Graph, TensorType
from edgec.ir.ops import GroupedMatMulInteger, constant
from edgec.ir.types import f32, u8
from edgec.toolchain import cannot_run, find_compiler

from ..c.harness import outputs, run_guarded
from .networks import ATTENTION, CLASSIFIER, EDGES, LARGE, network

ARM = "tvm-arm-neon"
TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
LOOP = ctypes.CFUNCTYPE(None, ctypes.c_void_p, TASK, ctypes.c_void_p, ctypes.c_size_t)


def compiled(text: str, folder: Path, target: str = "tvm", **options: Any) -> tuple[edgec.Artifact, Any, Any]:
    graph, inputs = network(text)
    wanted = graph.evaluate(inputs)
    return driver.compile(graph, target, output=folder / "artifact", **options), inputs, wanted


def near(got: Any, wanted: Any) -> None:
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max(), rtol=0)


def needs(target: str) -> None:
    row = find_goal(target).target
    assert row is not None
    reason = cannot_run(row)
    if reason:
        pytest.skip(reason)
    try:
        find_compiler(row)
    except ToolchainError as error:
        pytest.skip(error.what)


@pytest.mark.parametrize("text", [CLASSIFIER, ATTENTION, EDGES], ids=["classifier", "attention", "edges"])
def test_the_executor_computes_the_same(text: str, tmp_path: Path) -> None:
    artifact, inputs, wanted = compiled(text, tmp_path, options={"vm": "off"})
    assert artifact.report["selftest"]["status"] == "passed"
    near(outputs(artifact, inputs), wanted)
    near(edgec.load(artifact.folder)._run(inputs), wanted)


def test_the_executor_takes_tensors_at_any_address(tmp_path: Path) -> None:
    artifact, inputs, wanted = compiled(CLASSIFIER, tmp_path, options={"vm": "off"}, selftest=False)
    room = np.zeros(inputs[0].size + 1, np.float32)
    room[1:] = inputs[0].ravel()
    sinks = [np.zeros(w.size + 1, np.float32)[1:] for w in wanted]
    assert artifact.native.bind([room[1:]], sinks, artifact.native.new_arena())() == 0
    near([s.reshape(w.shape) for s, w in zip(sinks, wanted, strict=True)], wanted)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[edgec.Artifact, Any, Any]:
    return compiled(LARGE, tmp_path_factory.mktemp("large"), options={"vm": "off"}, selftest=False)


def test_threads_share_the_work_and_the_bits_stay(large: tuple[edgec.Artifact, Any, Any]) -> None:
    artifact, inputs, wanted = large
    alone = run_guarded(artifact, inputs)
    near(alone, wanted)
    for threads in (2, 3, 7):
        for got, one in zip(run_guarded(artifact, inputs, threads), alone, strict=True):
            np.testing.assert_array_equal(got, one)


def test_a_pool_of_the_caller_is_used(large: tuple[edgec.Artifact, Any, Any]) -> None:
    artifact, inputs, wanted = large
    counts: list[int] = []

    def backwards(_: Any, task: Any, argument: Any, count: int) -> None:
        counts.append(count)
        for i in reversed(range(count)):
            task(argument, i, i + 1)

    class Pool(ctypes.Structure):
        _fields_: ClassVar = [("run", LOOP), ("self", ctypes.c_void_p), ("threads", ctypes.c_size_t)]

    pool = Pool(LOOP(backwards), None, 2)
    sinks = [np.zeros(w.shape, np.float32) for w in wanted]
    bound = artifact.native.bind(inputs, sinks, artifact.native.new_arena())
    assert artifact.native._library.model_run_parallel(*bound._arguments, ctypes.byref(pool)) == 0
    near(sinks, wanted)
    assert len(counts) > 3
    assert set(counts) == {16}


def test_what_needs_much_memory_runs_on_one_thread() -> None:
    import tvm

    from edgec.backends.tvm import objects, program, targets

    lowered = driver.lower(network(LARGE)[0], "tvm")
    made = program.program_of(lowered.graph, targets.machine_of(lowered.target))
    found = objects.lowered(made.kernels, tvm.target.Target(dict(lowered.goal.settings["tvm"])))
    assert 0 < found.task_workspace <= objects.MOST_STACK < found.workspace
    assert len(found.shared) < len(found.requests)


def test_an_arm_artifact_runs_without_tvm(tmp_path: Path) -> None:
    needs(ARM)
    artifact, inputs, wanted = compiled(CLASSIFIER, tmp_path, ARM)
    assert artifact.report["selftest"]["status"] == "passed"
    near(artifact._run(inputs), wanted)
    needed = subprocess.run(["readelf", "-d", artifact.folder / "libmodel.so"], capture_output=True, text=True).stdout
    assert "NEEDED" in needed
    assert "tvm" not in needed


def test_the_modules_are_what_tvm_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tvm
    from tvm import relax

    artifact, inputs, wanted = compiled(CLASSIFIER, tmp_path, selftest=False)
    blob = (artifact.folder / "weights.bin").read_bytes()
    places = artifact.report["constants"]
    weights = [
        np.frombuffer(blob, c["dtype"], int(np.prod(c["shape"])), c["offset"]).reshape(c["shape"]) for c in places
    ]
    arguments = [tvm.runtime.tensor(np.ascontiguousarray(a)) for a in [*inputs, *weights]]
    library = tvm.runtime.load_module(str(artifact.folder / "model_vm.so"))
    near([t.numpy() for t in relax.VirtualMachine(library, tvm.cpu())["main"](*arguments)], wanted)

    spec = importlib.util.spec_from_file_location("model_relax", artifact.folder / "model_relax.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where TVM's parser looks for the source
    spec.loader.exec_module(module)
    assert relax.analysis.check_well_formed(module.Module)
    assert len(module.Module["main"].params) == len(arguments)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        artifact, _, _ = compiled(CLASSIFIER, tmp_path / name, ARM, build=False, selftest=False)
        files = sorted(p for p in artifact.folder.rglob("*") if p.is_file())
        texts.append({p.relative_to(artifact.folder).as_posix(): p.read_bytes() for p in files})
    assert texts[0] == texts[1]
    assert not [name for name, content in texts[0].items() if str(tmp_path).encode() in content]


def test_equal_regions_share_a_function(tmp_path: Path) -> None:
    text = ATTENTION.replace("return %y", "%again = matmul(%y, %wq) : f32[1,13,24]\n  return %again")
    report = compiled(text, tmp_path, ARM, build=False, selftest=False)[0].report
    products = [r["kernel"] for r in report["regions"] if r["label"] == "matmul"]
    assert len(set(products)) < len(products)


def test_integers_are_exact(tmp_path: Path, examples: Path) -> None:
    for target in ("tvm", ARM):
        needs(target)
        lowered = driver.lower(
            examples / "digits.onnx", target, dims={"batch": 1},
            quantization=driver.request("int8", examples / "digits_calibration.npz", None, "top1", None),
        )  # fmt: skip
        artifact = driver.assemble(lowered, output=tmp_path / target, options={"vm": "off"}, selftest=False)
        with np.load(examples / "digits.npz") as data:
            images = data["images"][:4]
        got = artifact.run_many({"images": images})["probabilities"]
        wanted = np.concatenate([lowered.reference.evaluate([image[None]])[0] for image in images])
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("tvm:{", "no JSON object"),
        ('tvm:{"kind": "cuda"}', "no object of kind llvm"),
        ("tvm-z80", "unknown target 'tvm-z80'; known: .*tvm-arm-neon.*tvm:{json}"),
    ],
)
def test_wrong_targets(target: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        find_goal(target)


def test_a_description_of_tvm_is_a_target(tmp_path: Path) -> None:
    name = 'tvm:{"mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a76", "mattr": ["+neon"]}'
    artifact, _, _ = compiled(CLASSIFIER, tmp_path, name, build=False, selftest=False)
    assert json.loads(artifact.report["target"].removeprefix("tvm:"))["mcpu"] == "cortex-a76"
    assert artifact.target.arch == "aarch64"
    header = (artifact.folder / "objects/kernels.o").read_bytes()[:20]
    assert header[18] == 183, "not an object for AArch64"


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="backend 'tvm' has no option colour"):
        compiled(CLASSIFIER, tmp_path, options={"colour": "red"})
    with pytest.raises(UsageError, match="vm is on or off"):
        compiled(CLASSIFIER, tmp_path, options={"vm": "maybe"})
    assert not (tmp_path / "artifact").exists()


def test_control_flow_is_refused_by_name(tmp_path: Path) -> None:
    from ...samples import graph_of, samples_of

    graph = graph_of([(name, samples_of(name)[0]) for name in ("if", "loop")])
    with pytest.raises(Unsupported) as raised:
        driver.compile(graph, "tvm", output=tmp_path / "artifact")
    assert [node.op for node in raised.value.nodes] == ["if", "loop"]
    assert "if has no translation to TVM's tensor IR" in str(raised.value)


def test_all_refusals_come_at_once_and_leave_nothing(tmp_path: Path) -> None:
    graph = Graph("scales")
    for name in ("a", "b"):
        x, scale = graph.input(TensorType(u8, (1, 8)), name), graph.input(TensorType(f32, (4, 2)), f"scale_{name}")
        graph.add(GroupedMatMulInteger(x, constant(np.ones((8, 4), np.int8)), None, 0, scale, 4))
    graph.set_outputs([op.results[0] for op in graph if op.name == "grouped-matmul-integer"], ["y", "z"])
    with pytest.raises(Unsupported) as raised:
        driver.compile(graph, "tvm", output=tmp_path / "artifact")
    assert [node.reason for node in raised.value.nodes] == ["its scale is computed at run time"] * 2
    assert not (tmp_path / "artifact").exists()


def test_refusals_of_import_passes_and_backend_come_together(tmp_path: Path) -> None:
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("ImageDecoder", ["b"], ["i"], "picture"),
        node("Cast", ["x"], ["s"], "words", to=onnx.TensorProto.STRING),
        node("StringNormalizer", ["w"], ["t"], "names"),
        node("RegexFullMatch", ["w"], ["u"], "kinds", pattern="a"),
        node("Not", ["u"], ["v"], "others"),
        node("Softmax", ["x"], ["p"], "chances"),
        node("TopK", ["p", "k"], ["best", "places"], "choice"),
        node("Cast", ["x"], ["half"], "narrow", to=onnx.TensorProto.FLOAT16),
    ]
    texts, numbers = {"s": "STRING", "t": "STRING"}, {"best": "FLOAT", "places": "INT64", "half": "FLOAT16"}
    kinds = {"i": "UINT8", **texts, "v": "BOOL", **numbers}
    results = [value(name, getattr(onnx.TensorProto, kind), None) for name, kind in kinds.items()]
    k = onnx.helper.make_tensor("k", onnx.TensorProto.INT64, [1], [2])
    given = {"x": "FLOAT", "b": "UINT8", "w": "STRING"}
    inputs = [value(name, getattr(onnx.TensorProto, kind), [3]) for name, kind in given.items()]
    graph = onnx.helper.make_graph(nodes, "refused", inputs, results, [k])
    path = tmp_path / "refused.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]), path)
    with pytest.raises(Unsupported) as raised:
        driver.compile(path, "tvm", output=tmp_path / "artifact")
    by_import, by_passes, by_backend = ["picture", "words"], ["narrow"], ["w", "names", "kinds", "choice"]
    assert [node.name for node in raised.value.nodes] == [*by_import, *by_passes, *by_backend]
    assert not (tmp_path / "artifact").exists()
