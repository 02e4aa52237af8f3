"""Malformed and hostile models: each gives one clear error of the right kind, never a traceback."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.errors import EdgecError, ModelError, Unsupported, UsageError
from edgec.ir.onnx_import import load
from edgec.ir.onnx_read import MAX_NAME, MAX_NESTING

EXTERNAL = 9 * 4


def floats(name: str, *shape: int | str | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def model(
    nodes: list[onnx.NodeProto],
    initializers: list[onnx.TensorProto] | None = None,
    shape: tuple[int | str | None, ...] = (1, 3),
    outputs: tuple[str, ...] = ("y",),
    version: int = 17,
    functions: list[onnx.FunctionProto] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", [floats("x", *shape)], [floats(n) for n in outputs], initializers or [])
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    opsets = [helper.make_opsetid("", version), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions or [])


def sound() -> bytes:
    weight = numpy_helper.from_array(np.ones((1, 3), np.float32), "w")
    return model([helper.make_node("Add", ["x", "w"], ["y"])], [weight]).SerializeToString()


def refused(kind: type[EdgecError], found: onnx.ModelProto | bytes | Path, *said: str, **options: object) -> str:
    """The error text of a model that must be refused: lines of printable ASCII, no longer than a screen takes."""
    source = found.SerializeToString() if isinstance(found, onnx.ModelProto) else found
    with pytest.raises(kind) as caught:
        load(source, **options)  # type: ignore[arg-type]
    text = str(caught.value)
    assert text.startswith("error: ")
    assert all(" " <= c <= "~" for c in text.replace("\n", ""))
    assert all(len(line) < 1000 for line in text.splitlines())
    assert all(part in text for part in said), text
    assert caught.value.exit_code == {ModelError: 3, Unsupported: 4, UsageError: 2}[kind]
    return text


# --- files --------------------------------------------------------------------------------------------------------


def test_an_empty_file() -> None:
    refused(ModelError, b"", "empty")


def test_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("this is not a model\n" * 9)
    refused(ModelError, path, "model.onnx", "text file")


def test_a_missing_file(tmp_path: Path) -> None:
    refused(UsageError, tmp_path / "none.onnx", "there is no file")


def test_a_folder(tmp_path: Path) -> None:
    refused(UsageError, tmp_path, "cannot read")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file(part: float) -> None:
    data = sound()
    refused(ModelError, data[: int(len(data) * part)])


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes(seed: int) -> None:
    refused(ModelError, random.Random(seed).randbytes(400))


@pytest.mark.parametrize("seed", range(300))
def test_damaged_bytes(seed: int) -> None:
    draw = random.Random(seed)
    data = bytearray(sound())
    for _ in range(draw.choice([1, 2, 8])):
        data[draw.randrange(len(data))] = draw.randrange(256)
    with contextlib.suppress(EdgecError):
        load(bytes(data))


# --- tensors ------------------------------------------------------------------------------------------------------


def with_weight(change: Callable[[onnx.TensorProto], None]) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.ones((1, 3), np.float32), "w")
    change(weight)
    return model([helper.make_node("Add", ["x", "w"], ["y"])], [weight])


def test_bytes_that_do_not_fill_the_shape() -> None:
    text = refused(ModelError, with_weight(lambda w: setattr(w, "raw_data", b"\0" * 8)), "tensor 'w'", "8 bytes")
    assert "needs 12" in text


def test_values_given_twice() -> None:
    refused(ModelError, with_weight(lambda w: w.float_data.extend([1, 2, 3])), "twice", "float_data", "raw_data")


def test_values_in_the_wrong_field() -> None:
    def change(w: onnx.TensorProto) -> None:
        w.ClearField("raw_data")
        w.int64_data.extend([1, 2, 3])

    refused(ModelError, with_weight(change), "int64_data", "float_data")


def test_a_negative_dimension() -> None:
    refused(ModelError, with_weight(lambda w: w.dims.__setitem__(0, -1)), "negative")


def test_dimensions_beyond_any_memory() -> None:
    refused(ModelError, with_weight(lambda w: w.dims.extend([1 << 40, 1 << 40])), "too large")


def test_an_unknown_element_type() -> None:
    refused(ModelError, with_weight(lambda w: setattr(w, "data_type", 999)), "999")


def test_a_sparse_tensor_that_points_outside() -> None:
    values = numpy_helper.from_array(np.ones(2, np.float32), "w")
    indices = numpy_helper.from_array(np.array([0, 7], np.int64), "i")
    found = model([helper.make_node("Add", ["x", "w"], ["y"])])
    found.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [1, 3]))
    refused(ModelError, found, "outside shape")


# --- external data ------------------------------------------------------------------------------------------------


def external(location: str, where: str = "initializer", **entries: str) -> onnx.ModelProto:
    """A model whose one tensor lies in another file."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[9], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=value)
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    if where == "initializer":
        return model(nodes, [weight], (1, 9))
    if where == "sparse":
        found = model(nodes, [], (1, 9))
        indices = numpy_helper.from_array(np.arange(9), "i")
        found.graph.sparse_initializer.append(helper.make_sparse_tensor(weight, indices, [9]))
        return found
    inner = helper.make_node("Constant", [], ["w"], value=weight)
    if where == "constant":
        return model([inner, *nodes], [], (1, 9))
    if where == "function":
        opset = [helper.make_opsetid("", 17)]
        body = helper.make_function("local", "F", ["x"], ["y"], [inner, *nodes], opset)
        return model([helper.make_node("F", ["x"], ["y"], domain="local")], [], (1, 9), functions=[body])
    flag = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True)))
    nodes = [inner, helper.make_node("Add", ["x", "w"], ["z"])]
    branch = helper.make_graph(nodes, "b", [], [floats("z", 1, 9)])
    return model([flag, helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)], [], (1, 9))


EVERYWHERE = pytest.mark.parametrize("where", ["initializer", "sparse", "constant", "function", "branch"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with sound data, and a secret beside it."""
    (tmp_path / "secret").write_bytes(b"\0" * EXTERNAL)
    inside = tmp_path / "model"
    inside.mkdir()
    (inside / "w.bin").write_bytes(np.arange(9, dtype=np.float32).tobytes())
    (inside / "sub").mkdir()
    (inside / "sub" / "w.bin").write_bytes(np.arange(9, dtype=np.float32).tobytes())
    (inside / "link").symlink_to("w.bin")
    (inside / "up").symlink_to("..")
    os.link(tmp_path / "secret", inside / "hard")
    os.mkfifo(inside / "pipe")
    return inside


@EVERYWHERE
@pytest.mark.parametrize("location", ["w.bin", "./w.bin", "sub/w.bin"])
def test_sound_external_data(folder: Path, where: str, location: str) -> None:
    graph = load(external(location, where).SerializeToString(), base=folder)
    (found,) = graph.evaluate([np.zeros((1, 9), np.float32)])
    assert found.tolist() == [list(range(9))]


@EVERYWHERE
@pytest.mark.parametrize(
    "location",
    ["../secret", "/etc/hostname", "sub/../../secret", "sub/../w.bin", "link", "up/secret", "hard", "pipe", "sub",
     "none", "", ".", "..", "w.bin/", "w.bin\0", "sub\\w.bin", "a\nb"],
)  # fmt: skip
def test_external_data_that_is_refused(folder: Path, where: str, location: str) -> None:
    refused(ModelError, external(location, where), "tensor 'w'", base=folder)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"offset": "-4"}, "not an offset"), ({"offset": "1"}, "ends at byte"), ({"offset": "9" * 30}, "not an offset"),
        ({"length": "40"}, "40 bytes"), ({"length": "x"}, "not an offset"), ({"__class__": "x"}, "unexpected"),
    ],
)  # fmt: skip
def test_external_data_with_wrong_entries(folder: Path, entries: dict[str, str], said: str) -> None:
    refused(ModelError, external("w.bin", **entries), said, base=folder)


def test_external_data_without_a_folder() -> None:
    refused(ModelError, external("w.bin"), "no folder")


# --- structure ----------------------------------------------------------------------------------------------------


def test_a_cycle_names_its_nodes() -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"], name="one"), helper.make_node("Relu", ["a"], ["b"], name="two")]
    refused(ModelError, model([*nodes, helper.make_node("Relu", ["b"], ["y"])]), "cycle", "'one'", "'two'")


def test_a_long_cycle() -> None:
    count = 20_000
    nodes = [helper.make_node("Relu", [f"v{i}"], [f"v{(i + 1) % count}"]) for i in range(count)]
    refused(ModelError, model([*nodes, helper.make_node("Relu", ["v0"], ["y"])]), "cycle", f"({count} nodes)")


def test_a_name_defined_twice() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["y"])]
    refused(ModelError, model(nodes), "'y' is defined twice")


def test_an_input_overwritten() -> None:
    refused(ModelError, model([helper.make_node("Relu", ["x"], ["x"])], outputs=("x",)), "'x' is defined twice")


def test_initializers_of_one_name() -> None:
    weight = numpy_helper.from_array(np.ones(3, np.float32), "w")
    refused(ModelError, model([helper.make_node("Add", ["x", "w"], ["y"])], [weight, weight]), "'w' is defined twice")


def test_empty_names() -> None:
    refused(ModelError, model([helper.make_node("Relu", ["x"], [""])], outputs=("",)), "no name")
    found = model([helper.make_node("Relu", ["x"], ["y"])])
    found.graph.input[0].name = ""
    refused(ModelError, found, "no name")


def test_a_value_that_nothing_produces() -> None:
    refused(ModelError, model([helper.make_node("Add", ["x", "ghost"], ["y"], name="sum")]), "'ghost'", "'sum'")


def test_an_output_that_nothing_produces() -> None:
    refused(ModelError, model([helper.make_node("Relu", ["x"], ["y"])], outputs=("y", "ghost")), "'ghost'")


def test_deep_nesting() -> None:
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["z"])], "b", [], [floats("z", 1, 3)])
    for _ in range(MAX_NESTING + 2):
        node = helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=onnx.GraphProto())
        branch = helper.make_graph([node], "b", [], [floats("z", 1, 3)])
    refused(ModelError, model([helper.make_node("If", ["x"], ["y"], then_branch=branch)]))


def call(name: str, *inner: str) -> onnx.FunctionProto:
    nodes = [helper.make_node(n, ["x"], [f"v{i}"], domain="local") for i, n in enumerate(inner)]
    nodes.append(helper.make_node("Sum", [f"v{i}" for i in range(len(inner))] or ["x"], ["y"]))
    return helper.make_function("local", name, ["x"], ["y"], nodes, [helper.make_opsetid("", 17)])


def test_functions_that_call_one_another() -> None:
    found = model([helper.make_node("A", ["x"], ["y"], domain="local")], functions=[call("A", "B"), call("B", "A")])
    refused(ModelError, found, "calls itself")


def test_functions_that_grow_without_end() -> None:
    functions = [call(f"F{i}", f"F{i + 1}", f"F{i + 1}", f"F{i + 1}", f"F{i + 1}") for i in range(40)] + [call("F40")]
    refused(ModelError, model([helper.make_node("F0", ["x"], ["y"], domain="local")], functions=functions), "more than")


def test_functions_nested_deeply() -> None:
    functions = [call(f"F{i}", f"F{i + 1}") for i in range(5000)] + [call("F5000")]
    refused(ModelError, model([helper.make_node("F0", ["x"], ["y"], domain="local")], functions=functions), "deep")


# --- names --------------------------------------------------------------------------------------------------------

HOSTILE = ["*/ #error", "a\nb", "\"';#", "nul\0nul", "</script>", "%s%n", "\u2028", "\\", "??/", "$(id)"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_kept_but_never_printed_raw(name: str) -> None:
    graph = load(model([helper.make_node("Relu", ["x"], ["y"], name=name)]).SerializeToString())
    assert graph.ops[0].origin is not None
    assert graph.ops[0].origin.name == name
    assert str(type(graph).parse(str(graph))) == str(graph)
    refused(ModelError, model([helper.make_node("Add", ["x", name], ["y"], name=name)]))
    refused(Unsupported, model([helper.make_node(name, ["x"], ["y"], name=name)]))
    refused(ModelError, model([helper.make_node(name, ["ghost"], ["y"], name=name)]))


def test_a_megabyte_of_name() -> None:
    refused(ModelError, model([helper.make_node("Relu", ["x"], ["y"], name="n" * (1 << 20))]), "too long")
    assert load(model([helper.make_node("Relu", ["x"], ["y"], name="n" * MAX_NAME)]).SerializeToString())


# --- what is not supported ----------------------------------------------------------------------------------------


def test_all_unsupported_nodes_are_listed() -> None:
    nodes = [
        helper.make_node("Mystery", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("ImageDecoder", ["x"], ["c"], name="second"),
        helper.make_node("Det", ["m"], ["e"], name="third"),
        helper.make_node("Strange", ["x"], ["f"], name="fourth", domain="far.away"),
        helper.make_node("Sum", ["b", "c", "f"], ["y"]),
    ]
    k = numpy_helper.from_array(np.array([2], np.int64), "k")
    text = refused(Unsupported, model(nodes, [k]), "3 nodes", "'first'", "'second'", "[1x3]", "far.away::Strange")
    assert "third" not in text
    assert "Relu" not in text


def test_going_on_behind_an_unsupported_node() -> None:
    nodes = [helper.make_node("Det", ["x"], ["c"], name="first"), helper.make_node("Det", ["c"], ["y"], name="second")]
    refused(Unsupported, model(nodes, [], (5, 5, 5, 5)), "2 nodes", "'first'", "'second'", "[5x5]")


@pytest.mark.parametrize("version", [0, 99])
def test_operator_sets_out_of_range(version: int) -> None:
    refused(Unsupported, model([helper.make_node("Relu", ["x"], ["y"])], version=version), "7 to 28")


def test_a_malformed_node() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="stem/conv1")
    weight = numpy_helper.from_array(np.ones((4, 32, 3, 3), np.float32), "w")
    text = refused(ModelError, model([node], [weight], (1, 3, 8, 8)), "expects 32 channels, input has 3")
    assert text.splitlines()[1] == "  at ONNX node 0 Conv 'stem/conv1'"
    assert text.splitlines()[2].startswith("  hint: ")


def test_an_unknown_attribute() -> None:
    refused(ModelError, model([helper.make_node("Relu", ["x"], ["y"], slope=1.0)]), "unknown attribute 'slope'")


def test_an_attribute_of_the_wrong_type() -> None:
    refused(ModelError, model([helper.make_node("LeakyRelu", ["x"], ["y"], alpha="steep")]), "'alpha'", "float")


def test_a_huge_constant_is_not_made() -> None:
    size = numpy_helper.from_array(np.array([1 << 30, 1 << 30], np.int64), "s")
    refused(ModelError, model([helper.make_node("ConstantOfShape", ["s"], ["y"])], [size]), "too large")


# --- open dimensions ----------------------------------------------------------------------------------------------

RELU = [helper.make_node("Relu", ["x"], ["y"])]


def test_open_dimensions_are_listed_with_their_remedy() -> None:
    text = refused(UsageError, model(RELU, shape=("batch", "seq", None)), "[batch, seq, ?]", "--dim seq=N")
    assert "--shape x=" in text
    assert "--dim batch" not in text


def test_unknown_names_are_met_with_the_nearest() -> None:
    found = model(RELU, shape=("batch", "seq"))
    refused(UsageError, found, "'seqq'", "--dim seq=", dims={"seqq": 3})
    refused(UsageError, found, "'X'", "--shape x=", shapes={"X": (1, 3)})


def test_shapes_that_contradict() -> None:
    found = model(RELU, shape=("batch", 3))
    refused(UsageError, found, "3", shapes={"x": (1, 4)})
    refused(UsageError, found, "dimensions", shapes={"x": (1, 3, 3)})
    refused(UsageError, found, "1 or more", dims={"batch": 0})
    refused(UsageError, found, "0 or more", shapes={"x": (-1, 3)})
