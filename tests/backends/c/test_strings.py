"""Strings in C: against `evaluate` on any bytes, under sanitizers, moved by ops of all kinds, and what ends a run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from edgec import driver
from edgec.artifact.building import LINK
from edgec.backends import find_goal
from edgec.errors import Unsupported, UsageError
from edgec.ir import REGISTRY, Graph, TensorType, ops
from edgec.ir.automaton import automaton
from edgec.ir.onnx_import import load
from edgec.ir.ops import constant
from edgec.ir.strings import case_table
from edgec.ir.types import text

from ...samples import graph_of, reference, samples_of
from .harness import compiled, compiler_for, outputs

BYTES, COUNT = 7, 400
KIND = text(BYTES)

MOVES = """graph "moves" (%x: text8[2,3] "x", %c: bool[3] "c", %i: i64[4] "i") {
  %k = constant(value=values("\\u00e9\\u00e9n", "", "12345678")) : text8[3]
  %w = where(%c, %x, %k) : text8[2,3]
  %t = transpose(%w, perm=[1, 0]) : text8[3,2]
  %s = slice(%t, starts=[2, 0], sizes=[2, 2], steps=[-1, 1]) : text8[2,2]
  %g = gather(%x, %i, axis=1) : text8[2,4]
  %j = concat([%s, %g], axis=1) : text8[2,6]
  %e = expand(%k, shape=[2, 3]) : text8[2,3]
  %r = reshape(%j, shape=[3, 4]) : text8[3,4]
  return %w "w", %s "s", %r "r", %e "e", %x "same", %k "k"
}"""


def any_strings(seed: int) -> np.ndarray:
    """Words, broken UTF-8, strings that fill all their bytes, and zeros with something behind them."""
    random = np.random.default_rng(seed)
    letters = np.frombuffer("aAbB ..\t\xe9\xc9\xff\0".encode("latin-1") + b"\xc3\xa9\xce\x91\xd0\xb6", np.uint8)
    return random.choice(letters, (COUNT, BYTES)).astype(np.uint8)


def up_to_zero(raw: np.ndarray) -> np.ndarray:
    return np.array([bytes(row).split(b"\0")[0] for row in raw], KIND.numpy)


def all_routines() -> Graph:
    """Every routine on two inputs of strings."""
    graph = Graph("strings")
    x, y = (graph.input(TensorType(KIND, (COUNT,)), name) for name in "xy")
    words = constant([b"a", b"b", "\xe9".encode(), b"a a"], KIND)
    small, large = constant(case_table(False)), constant(case_table(True))
    keys = constant(np.unique(up_to_zero(any_strings(1))[:50]))
    found = automaton(r"(?i)[a\xe9]+.*\b\s?|(?s:\W.+)")
    made = [
        ops.TextEqual(x, y), ops.TextConcat(x, y), ops.TextSplit(x, None, 4), ops.TextSplit(x, None, 3, 1),
        ops.TextSplit(x, constant(b".", KIND), 8), ops.TextSplit(y, constant(b"..", KIND), 2, 2),
        ops.TextNormalize(x, words, large, small), ops.TextNormalize(y, words, small), ops.TextFind(x, keys),
        ops.TextMatch(x, constant(found.classes), constant(found.steps), constant(found.accepts)),
    ]  # fmt: skip
    for op in made:
        graph.add(op)
    results = [result for op in made for result in op.results]
    names = [f"{place} {value.producer.name}" for place, value in enumerate(results) if value.producer]
    graph.set_outputs(results, names)
    return graph


def test_routines_on_any_bytes() -> None:
    graph, raw = all_routines(), [any_strings(seed) for seed in (1, 2)]
    raw[1][: COUNT // 4] = raw[0][: COUNT // 4]
    wanted = reference(graph, [up_to_zero(one) for one in raw])
    with compiled(graph, "host") as artifact:
        assert wanted.faults(outputs(artifact, [one.view(KIND.numpy).reshape(COUNT) for one in raw])) == []


@pytest.mark.slow
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    compiler = compiler_for("c")
    driver.compile(all_routines(), "c", output=tmp_path / "out", build=False)
    folder = tmp_path / "out"
    sources = [folder / n for n in ("model.c", "weights.S", "model_pool.c", "selftest.c")]
    program = compiler.compile(sources, tmp_path / "selftest", "executable", link=LINK, sanitize=True)
    assert subprocess.run([program], capture_output=True).returncode == 0
    given = tmp_path / "in"
    given.write_bytes(b"".join(any_strings(seed).tobytes() for seed in range(20)))
    done = subprocess.run([program, "run", given, tmp_path / "got", "10"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("target", ["host", "c"])
def test_strings_are_moved(target: str) -> None:
    x = np.array([["a", "bb", "\xe9t\xe9"], ["", "12345678", "z"]], object)
    wanted = reference(Graph.parse(MOVES), [x, np.array([1, 0, 1], bool), np.array([2, -1, 0, 1])])
    strings = np.array([[s.encode() for s in row] for row in x], "S8")
    with compiled(wanted.graph, target) as artifact:
        assert wanted.faults(outputs(artifact, [strings, *wanted.inputs[1:]])) == []


def test_strings_become_strings_by_no_cast() -> None:
    for cast in ("y = Cast <to = 8> (x)", "y = CastLike (x, x)"):
        graph = load(model(f"(string[2] x) => (string[2] y) {{ {cast} }}"))
        assert graph.outputs == graph.inputs


@pytest.mark.parametrize("target", ["arm-neon", "c"])
def test_samples_of_every_routine(target: str) -> None:
    names = [name for name in REGISTRY if name.startswith("text-")]
    wanted = reference(graph_of((name, op) for name in names for op in samples_of(name)))
    with compiled(wanted.graph, target) as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []


# --- models ---------------------------------------------------------------------------------------------------------


def model(inside: str) -> bytes:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> g {inside}').SerializeToString()


NORMALIZED = model("""(string[5] x) => (string[N] y) {
    y = StringNormalizer <case_change_action = "UPPER", stopwords = ["and", "the"]> (x)
}""")


def test_an_artifact_takes_text_and_finds_how_much_is_left() -> None:
    artifact = driver.compile(NORMALIZED, "host", text_bytes=12)
    assert str(artifact.inputs["x"]) == "text12[5]"
    assert artifact(["The", "caf\xe9", "AND", "tea", "and"]).tolist() == ["CAF\xc9".encode(), b"TEA"]
    assert artifact(np.array(["the"] * 5)).tolist() == [b""]
    for wrong, said in (("a" * 13, "13 bytes, there is room for 12"), ("a\0b", "a zero byte"), ("\ud800", "UTF-8")):
        with pytest.raises(UsageError, match=said):
            artifact(np.array([wrong] * 5, object))
    with pytest.raises(UsageError, match="a int is no string"):
        artifact(np.array([1] * 5, object))


def test_a_string_that_has_no_room_ends_the_run() -> None:
    joined = model("(string[2] x, string[1] y) => (string[2] z) { z = StringConcat (x, y) }")
    artifact = driver.compile(joined, "host", text_bytes=4)
    assert artifact(["ab", ""], ["cd"]).tolist() == [b"abcd", b"cd"]
    with pytest.raises(UsageError, match="outside the bounds") as caught:
        artifact(["ab", "abc"], ["cd"])
    assert "--text-bytes" in caught.value.hint
    with pytest.raises(UsageError, match="1 strings have no room in 4 bytes"):
        load(joined, text_bytes=4).evaluate({"x": np.array(["ab", "abc"]), "y": np.array(["cd"])})


def test_declared_sizes_are_checked() -> None:
    inside = "y = NonZero (x) z = Compress <axis = 0> (x, c) u = Unique (v)"
    types = "(float[4] x, bool[4] c, float[5] v) => (int64[1,2] y, float[3] z, float[3] u)"
    artifact = driver.compile(model(f"{types} {{ {inside} }}"), "host")
    given = {
        "x": np.array([0, 2, 0, 3], np.float32), "c": np.array([1, 1, 0, 1], bool),
        "v": np.array([3, 1, 3, 2, 1], np.float32),
    }  # fmt: skip
    found = artifact.run(given)
    assert [a.tolist() for a in found.values()] == [[[1, 3]], [0, 2, 3], [1, 2, 3]]
    for name, array in (("x", [1, 2, 0, 3]), ("c", [1, 0, 0, 1]), ("v", [1, 1, 1, 1, 1])):
        changed = {**given, name: np.array(array, given[name].dtype)}
        with pytest.raises(UsageError, match="outside the bounds"):
            artifact.run(changed)


@pytest.mark.parametrize("target", ["tvm", "tensorrt-sm86"])
def test_other_backends_refuse_strings_by_name(target: str) -> None:
    goal = find_goal(target)
    refused = goal.backend.supports(load(NORMALIZED), goal)
    assert [(node.name, node.reason) for node in refused[:1]] == [("x", "strings are for the C backend")]


TURKISH = 'StringNormalizer <case_change_action = "LOWER", locale = "tr_TR">'


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("(string[2] x) => (string[2] y) { y = Add (x, x) }", "add does not take strings"),
        ("(string[2] x) => (float[2] y) { y = Cast <to = 1> (x) }", "cast does not take strings"),
        ("(float[2] x) => (string[2] y) { y = Cast <to = 8> (x) }", "cast does not make strings (text64); works"),
        ("(bool[2] x, string[1] s) => (string[2] y) { y = CastLike (x, s) }", "cast does not make strings"),
        ('(string[2] x) => (bool[2] y) { y = RegexFullMatch <pattern = "\\\\pL"> (x) }', "its pattern has"),
        (f'(string[2] x) => (string[2] y) {{ y = {TURKISH} (x) }}', "letters of its locale"),
    ],
)  # fmt: skip
def test_what_is_not_served_is_refused_by_name(inside: str, words: str) -> None:
    with pytest.raises(Unsupported) as caught:
        load(model(inside))
    assert words in str(caught.value.nodes[0])
