"""If, Loop, Scan, sequences and optionals on their way into the graph."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from edgec.errors import ModelError, Unsupported
from edgec.ir import Graph, onnx_control, onnx_loops, verify
from edgec.ir.onnx_export import export_bytes
from edgec.ir.onnx_import import load
from edgec.ir.onnx_read import MAX_NESTING

from ..control_models import CANNOT_RUN, HEAD, MODELS, control_inputs, control_model


def imported(text: str) -> Graph:
    graph = load(onnx.parser.parse_model(HEAD + text).SerializeToString())
    verify(graph)
    return graph


def names(graph: Graph) -> list[str]:
    return [op.name for op in graph if op.name != "constant"]


def by_onnxruntime(content: bytes, arrays: list[np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip([v.name for v in session.get_inputs()], arrays, strict=True)))


# --- branches and loops ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_they_mean_what_they_mean_to_onnxruntime(name: str) -> None:
    content = control_model(name).SerializeToString()
    graph = load(content)
    verify(graph)
    text = str(graph)
    assert str(Graph.parse(text)) == text
    assert str(graph.copy()) == text
    again = export_bytes(graph)
    onnx.checker.check_model(onnx.load_from_string(again), full_check=True)
    for seed in range(4):
        arrays = control_inputs(name, seed)
        wanted = by_onnxruntime(content, arrays)
        for found in (graph.evaluate(arrays), by_onnxruntime(again, arrays)):
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("version", [7, 9, 11, 13, 16, 19, 21, 24, 28])
def test_all_versions_mean_the_same(version: int) -> None:
    arrays = control_inputs("swapped")
    wanted = load(control_model("swapped").SerializeToString()).evaluate(arrays)
    model = control_model("swapped")
    model.opset_import[0].version = version
    graph = load(model.SerializeToString())
    assert names(graph).count("loop") == names(graph).count("if") == 1
    for a, b in zip(graph.evaluate(arrays), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_branch_that_does_not_fit_ends_the_run_where_it_is_taken() -> None:
    graph = load(control_model("", CANNOT_RUN).SerializeToString())
    assert "else_branch does not fit these shapes: MatMul" in str(graph.journal[0])
    again = load(export_bytes(graph))
    assert [op.name for op in again.every_op if op.name == "impossible"] == ["impossible"]
    x = np.ones((2, 3), np.float32)
    for one in (graph, again):
        np.testing.assert_array_equal(one.evaluate([x, np.array(True)])[0], x + x)
        with pytest.raises(ModelError, match="this cannot run: "):
            one.evaluate([x, np.array(False)])


def test_a_copy_has_bodies_of_its_own() -> None:
    graph = load(control_model("nested").SerializeToString())
    text, copied = str(graph), graph.copy()
    for op in copied.every_op:
        for name in op.bodies:
            getattr(op, name).name = "other"
    assert str(graph) == text
    assert str(copied) != text


DECIDED = """
g (float[3] x) => (float[3] y) {
  rate = Constant <value_int = 16000> ()
  wanted = Constant <value_int = 16000> ()
  same = Equal (rate, wanted)
  y = If (same) <
    then_branch = a () => (float[3] p) { p = Add (x, x) }, else_branch = b () => (float[3] q) { q = Neg (x) }>
}
"""


def test_a_known_condition_leaves_no_branch() -> None:
    assert names(imported(DECIDED)) == ["add"]


def looping(times: int, nodes: str, state: str = "float[2]", rows: str = "") -> str:
    """A loop from a value x of some type, `n` being the next one."""
    shown = f", {rows} r" if rows else ""
    return f"""
g (float[2] x) => ({state} y{shown.replace(" r", " z")}) {{
  times = Constant <value_int = {times}> ()
  y{", z" if rows else ""} = Loop (times, "", x) <body =
  b (int64 i, bool go, {state} v) => (bool on, {state} n{shown}) {{
    on = Identity (go)
    {nodes}
  }}>
}}
"""


@pytest.mark.parametrize(("times", "wanted"), [(3, ["add"] * 3), (50, ["loop"])])
def test_few_nodes_are_written_out_and_many_stay_a_loop(times: int, wanted: list[str]) -> None:
    graph = imported(looping(times, "n = Add (v, x)"))
    assert names(graph) == wanted
    (found,) = graph.evaluate([np.ones(2, np.float32)])
    np.testing.assert_array_equal(found, [times + 1.0] * 2)


def test_what_grows_is_written_out() -> None:
    graph = imported(looping(40, "n = Concat <axis = 0> (v, x)", "float[N]"))
    assert graph.outputs[0].shape == (82,)


def test_what_needs_the_number_of_the_run_is_written_out() -> None:
    graph = imported(looping(40, "f = Unsqueeze (i, i0)\n i0 = Constant <value_ints = [0]> ()\n e = Gather (x, zero)\n"
                             "zero = Constant <value_int = 0> ()\n shape = ConstantOfShape (f)\n"
                             "s = ReduceSum <keepdims = 0> (shape)\n n = Add (v, s)"))  # fmt: skip
    assert "loop" not in names(graph)


ENDING = """
g (float[2] x) => (float[2] y, float[N,2] z) {
  times = Constant <value_int = 9> ()
  y, z = Loop (times, "", x) <body = b (int64 i, bool go, float[2] v) => (bool on, float[2] n, float[2] r) {
    two = Constant <value_int = 2> ()
    on = Less (i, two)
    n = Add (v, x)
    r = Identity (n)
  }>
}
"""


def test_a_condition_that_is_known_to_fail_ends_the_loop() -> None:
    graph = imported(ENDING)
    assert names(graph).count("add") == 3
    assert [v.shape for v in graph.outputs] == [(2,), (3, 2)]


REFUSED = {
    "its branches give f32[3] and f32[1]": """
g (float[3] x, bool c) => (float[3] y) {
  y = If (c) <then_branch = a () => (float[3] p) { p = Neg (x) },
              else_branch = b () => (float[1] q) { q = Constant <value_floats = [1.0]> () }>
}
""",
    "as many rows as it runs, which is not known": """
g (float[3] x, int64 count) => (float[3] y, float[N,3] z) {
  y, z = Loop (count, "", x) <body = b (int64 i, bool go, float[3] v) => (bool on, float[3] n, float[3] r) {
    on = Identity (go)
    n = Neg (v)
    r = Identity (v)
  }>
}
""",
    "it carries f32[3], its body gives f32[6]": """
g (float[3] x, int64 count) => (float[N] y) {
  y = Loop (count, "", x) <body = b (int64 i, bool go, float[3] v) => (bool on, float[N] n) {
    on = Identity (go)
    n = Concat <axis = 0> (v, v)
  }>
}
""",
    "output of type sequence": "g (float[4] x, int64[2] n) => (seq(float[N]) y) { y = SplitToSequence (x, n) }",
    "its branches give sequences of different lengths": """
g (float[4] x, bool c) => (float[4] y) {
  s = If (c) <then_branch = a () => (seq(float[4]) p) { p = SequenceConstruct (x) },
              else_branch = b () => (seq(float[4]) q) { q = SequenceConstruct (x, x) }>
  y = ConcatFromSequence <axis = 0> (s)
}
""",
    "the shapes of its tensors are not known": """
g (float[4] x, int64[2] sizes) => (float[4] y) {
  s = SplitToSequence (x, sizes)
  y = ConcatFromSequence <axis = 0> (s)
}
""",
    "operand 0 is a sequence": "g (float[4] x) => (float[4] y) { s = SequenceConstruct (x) y = Neg (s) }",
    "input of type sequence_type": "g (seq(float[4]) x) => (float[4] y) { y = ConcatFromSequence <axis = 0> (x) }",
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_not_known_at_compile_time_is_refused_by_name(reason: str) -> None:
    text = REFUSED[reason]
    with pytest.raises(Unsupported) as caught:
        imported(text)
    assert reason in str(caught.value)


def test_branches_give_sequences_of_one_length() -> None:
    graph = imported("""
g (float[2] x, float[2] y, bool c) => (float[4] z) {
  s, t = If (c) <then_branch = a () => (seq(float[2]) p, float[2] u) { p = SequenceConstruct (x, y) u = Neg (x) },
                 else_branch = b () => (seq(float[2]) q, float[2] v) { q = SequenceConstruct (y, y) v = Neg (y) }>
  r = SequenceInsert (s, t)
  i = Constant <value_int = 1> ()
  k = SequenceErase (r, i)
  z = ConcatFromSequence <axis = 0> (k)
}
""")
    x, y = np.array([1, 2], np.float32), np.array([3, 4], np.float32)
    assert graph.evaluate([x, y, np.array(True)])[0].tolist() == [1, 2, -1, -2]
    assert graph.evaluate([x, y, np.array(False)])[0].tolist() == [3, 4, -3, -4]


def test_an_optional_whose_shape_nobody_gives_has_no_content() -> None:
    model = onnx.parser.parse_model(
        HEAD + "g (optional(float[2]) x, bool[1] b) => (bool y, bool[1] z) { y = OptionalHasElement (x) z = Not (b) }"
    ).SerializeToString()
    graph = load(model)
    assert [v.name for v in graph.inputs] == ["b"]
    assert not graph.evaluate([np.array([True])])[0]
    assert any(note.reason == "optional 'x' taken as one without content" for note in graph.journal)
    assert load(model, shapes={"x": (2,)}).evaluate([np.ones(2, np.float32), np.array([True])])[0]


# --- malformed ones -------------------------------------------------------------------------------------------------

BAD = {
    "its body has 1 outputs, 2 are needed": looping(50, "n = Neg (v)").replace(", float[2] n)", ")"),
    "its body takes 2 values, is given 3": looping(50, "n = Neg (x)").replace(", float[2] v)", ")"),
    "value 'nowhere' is read but nothing produces it": looping(50, "n = Add (v, nowhere)"),
    "it carries f32[2], its body gives i64[2]": looping(50, "n = Cast <to = 7> (v)", "float[2]"),
    "nothing ends it": looping(50, "n = Neg (v)").replace("Loop (times,", 'Loop ("",'),
    "its then_branch has 0 outputs, 1 are read": DECIDED.replace("(float[3] p) { p =", "() { p ="),
    "attribute 'else_branch' is missing": """
g (float[3] x, bool c) => (float[3] y) { y = If (c) <then_branch = a () => (float[3] p) { p = Neg (x) }> }
""",
    "its branches give f32[3] and i64[3]": """
g (float[3] x, bool c) => (float[3] y) {
  y = If (c) <then_branch = a () => (float[3] p) { p = Neg (x) },
              else_branch = b () => (int64[3] q) { q = Cast <to = 7> (x) }>
}
""",
    "is f32[3], must be one bool": """
g (float[3] x) => (float[3] y) {
  y = If (x) <then_branch = a () => (float[3] p) { p = Neg (x) }, else_branch = b () => (float[3] q) { q = Abs (x) }>
}
""",
    "its scanned operands have 4, 5 rows": """
g (float[4] a, float[5] b) => (float[4] y) {
  y = Scan <num_scan_inputs = 2, body = once (float p, float q) => (float r) { r = Add (p, q) }> (a, b)
}
""",
    "position 2 is outside a sequence of 2": """
g (float[4] x) => (float[4] y) {
  s = SequenceConstruct (x, x)
  two = Constant <value_int = 2> ()
  y = SequenceAt (s, two)
}
""",
    "its first operand is no sequence": "g (float[4] x) => (float[4] y) { y = ConcatFromSequence <axis = 0> (x) }",
}


@pytest.mark.parametrize("reason", BAD)
def test_malformed_models_are_named(reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        imported(BAD[reason])
    assert reason in str(caught.value)
    assert "ONNX node" in str(caught.value)


def test_runs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_control, "MAX_RUNS", 1_010_099)
    with pytest.raises(Unsupported, match="the bodies of loops run 1010100 times"):
        imported(nested_loops(4))


def nested_loops(depth: int) -> str:
    inner = "p0 = Neg (x)"
    for level in range(1, depth):
        once = (
            f"b{level} (int64 i{level}, bool go{level}, float[2] v{level}) => (bool on{level}, float[2] p{level - 1})"
        )
        inner = f"""
        t{level} = Constant <value_int = 100> ()
        p{level} = Loop (t{level}, "", x) <body = {once} {{ on{level} = Identity (go{level}) {inner} }}>"""
    return f"g (float[2] x) => (float[2] p{depth - 1}) {{ {inner} }}"


def test_nesting_is_bounded() -> None:
    with pytest.raises(ModelError, match=f"nested more than {MAX_NESTING} deep"):
        imported(nested_loops(MAX_NESTING + 1))
    assert names(imported(nested_loops(4))) == ["loop"]


def test_loops_written_out_inside_of_loops_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_loops, "UNROLLED_IN_ALL", 1000)
    text = nested_loops(8)
    for level in range(1, 8):
        text = text.replace(f"p{level} = Loop", f"q{level} = Loop", 1)
        text = text.replace(f"t{level} =", f"p{level} = Concat <axis = 0> (q{level}, q{level}) t{level} =", 1)
    with pytest.raises(Unsupported, match="its body gives"):
        imported(text)


# --- sequences and optionals ----------------------------------------------------------------------------------------

SEQUENCES = {
    "parts of a size": """
g (float[7,2] x) => (float[2,3] y, int64 n) {
  three = Constant <value_int = 3> ()
  parts = SplitToSequence <axis = 0> (x, three)
  n = SequenceLength (parts)
  one = Constant <value_int = 1> ()
  second = SequenceAt (parts, one)
  y = Transpose (second)
}
""",
    "one by one": """
g (float[3,2] x) => (float[2,3] y) {
  rows = SplitToSequence <axis = 0, keepdims = 0> (x)
  y = ConcatFromSequence <axis = 1, new_axis = 1> (rows)
}
""",
    "put in and taken out": """
g (float[2] x, float[2] w) => (float[6] y) {
  none = SequenceEmpty ()
  a = SequenceInsert (none, x)
  zero = Constant <value_int = 0> ()
  b = SequenceInsert (a, w, zero)
  c = SequenceInsert (b, x)
  last = Constant <value_int = -1> ()
  d = SequenceErase (c, last)
  e = SequenceInsert (d, w)
  y = ConcatFromSequence <axis = 0> (e)
}
""",
    "mapped": """
g (float[2] x, float[2] w) => (float[4] y) {
  s = SequenceConstruct (x, w)
  t = SequenceMap (s, w) <body = once (float[2] a, float[2] b) => (float[2] c) { c = Mul (a, b) }>
  y = ConcatFromSequence <axis = 0> (t)
}
""",
    "gathered by a loop": """
g (float[2] x) => (float[8] y) {
  none = SequenceEmpty ()
  times = Constant <value_int = 4> ()
  s, last = Loop (times, "", none, x) <body = once (int64 i, bool go, seq(float[2]) t, float[2] v) =>
    (bool on, seq(float[2]) u, float[2] n) {
      on = Identity (go)
      n = Add (v, x)
      u = SequenceInsert (t, n)
  }>
  y = ConcatFromSequence <axis = 0> (s)
}
""",
    "optional": """
g (float[2] x) => (float[2] y, bool has) {
  o = Optional (x)
  has = OptionalHasElement (o)
  y = If (has) <
    then_branch = a () => (float[2] p) { p = OptionalGetElement (o) },
    else_branch = b () => (float[2] q) { q = Neg (x) }>
}
""",
}


def test_the_length_of_a_sequence_is_known_before_its_tensors_are() -> None:
    text = "g (float[4] x, int64[2] sizes) => (int64 y) { s = SplitToSequence (x, sizes) y = SequenceLength (s) }"
    (found,) = imported(text).evaluate([np.zeros(4, np.float32), np.array([1, 3])])
    assert found == 2


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences_of_known_length_are_tensors(name: str) -> None:
    model = onnx.parser.parse_model(HEAD + SEQUENCES[name])
    graph = load(model.SerializeToString())
    verify(graph)
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(v.shape).astype(np.float32) for v in graph.inputs]
    wanted = by_onnxruntime(model.SerializeToString(), arrays)
    for a, b in zip(graph.evaluate(arrays), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
