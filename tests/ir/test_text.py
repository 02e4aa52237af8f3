"""The text form: what is printed parses back, and what does not parse is told with line and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgec.errors import ModelError
from edgec.ir import Graph, Origin, TensorType, f32, verify
from edgec.ir.ops import Add, Concat, Relu, constant
from edgec.ir.text import print_graph

from ..random_graphs import random_graph

TESTS = Path(__file__).parents[1]
LINE = "---\n"


def graphs_in(path: Path) -> list[str]:
    """The graphs of a case, before and after its line, without the notes below them."""
    parts = path.read_text(encoding="utf-8").split(LINE)
    return [p for p in parts if any(line.startswith("graph") for line in p.splitlines())]


@pytest.mark.parametrize("folder", sorted({p.parent for p in TESTS.rglob("*.ir")}), ids=lambda p: p.name)
def test_every_graph_of_the_tests_parses_back(folder: Path) -> None:
    for path in sorted(folder.glob("*.ir")):
        for text in graphs_in(path):
            graph = Graph.parse(text)
            again = str(graph)
            assert str(Graph.parse(again)) == again, path.name


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs_parse_back(seed: int) -> None:
    graph = random_graph(seed, 20)
    again = Graph.parse(str(graph))
    verify(again)
    assert str(again) == str(graph)


def test_printed_form() -> None:
    graph = Graph("main")
    x = graph.input(TensorType(f32, (2, 3)), 'a "quoted" name\n')
    scaled = Add(x, constant(np.full(3, 0.5, np.float32)))
    scaled.origin = Origin(4, "stem/*/add", "Add")
    graph.add(scaled)
    both = graph.add(Concat((scaled.result, x), axis=-1))
    graph.set_outputs([both, x], ["y", ""])
    assert str(graph) == (
        'graph "main"(%0: f32[2,3] "a \\"quoted\\" name\\n") {\n'
        "  %1 = constant(value=fill(0.5)) : f32[3]\n"
        '  %2 = add(%0, %1) : f32[2,3] @ 4 "stem/*/add" "Add"\n'
        "  %3 = concat([%2, %0], axis=1) : f32[2,6]\n"
        '  return %3 "y", %0\n'
        "}\n"
    )
    again = Graph.parse(str(graph))
    assert str(again) == str(graph)
    assert again.inputs[0].name == 'a "quoted" name\n'
    assert [str(op.origin) for op in again if op.origin] == ["ONNX node 4 Add 'stem/\\x2a\\x2fadd'"]


def test_special_numbers_and_large_constants_keep_their_bits() -> None:
    generator = np.random.default_rng(0)
    arrays = [
        np.float32([np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4028235e38, 0.1]),
        generator.standard_normal((9, 11)).astype(np.float32),
        np.int64([-(2**63), 2**63 - 1]),
        np.array([True, False]),
        np.zeros((0, 3), np.float32),
        np.float16(0.1),
        np.arange(100, dtype=np.uint8),
    ]
    graph = Graph()
    graph.set_outputs([graph.add(constant(a).producer) for a in arrays], [f"y{i}" for i in range(len(arrays))])
    for before, after in zip(arrays, Graph.parse(str(graph)).evaluate([]), strict=True):
        assert (before.dtype, before.shape, before.tobytes()) == (after.dtype, after.shape, after.tobytes())


def test_elided_constants_are_not_printed() -> None:
    graph = Graph()
    graph.set_outputs([graph.add(constant(np.arange(1000.0)).producer)], ["y"])  # type: ignore[arg-type]
    text = print_graph(graph, elide=True)
    assert len(text) < 200
    with pytest.raises(ModelError, match="are not in this file"):
        Graph.parse(text)


def test_comments_and_space_do_not_matter() -> None:
    text = 'graph  # a graph\n"g"(%x : f32[ 2, 3 ]) {\n# nothing\n%y=relu( %x ):f32[2,3] return %y}'
    assert str(Graph.parse(text)) == 'graph "g"(%0: f32[2,3]) {\n  %1 = relu(%0) : f32[2,3]\n  return %1\n}\n'


def body(line: str) -> str:
    return f'graph "g"(%0: f32[2,3] "x", %1: i64[2]) {{\n  {line}\n  return %0 "y"\n}}\n'


ERRORS = {
    "": ("expected 'graph'", "line 1, column 1"),
    "digraph {}": ("expected 'graph'", "line 1, column 1"),
    'graph "g"(%0: f32[2,3) {': ("'f32[2,3)' is not a tensor type", None),
    'graph "g"(%0: f33[2]) {': ("'f33[2]' is not a tensor type", "line 1, column 15"),
    body("%2 = reluu(%0) : f32[2,3]"): ("there is no operator 'reluu'", "line 2, column 7"),
    body("%2 = relu(%7) : f32[2,3]"): ("%7 is not defined here", "line 2, column 15"),
    body("%2 = relu(%0, %0) : f32[2,3]"): ("relu takes 1 operands, got 2", "line 2, column 20"),
    body("%2 = relu() : f32[2,3]"): ("relu needs an operand 'x'", "line 2, column 14"),
    body("%2 = relu(%0) : f32[3,2]"): ("relu gives f32[2,3], the text says f32[3,2]", None),
    body("%2 = relu(%0, slope=1) : f32[2,3]"): ("relu has no attribute 'slope'", None),
    body("%2 = clip(%0, low=0.0) : f32[2,3]"): (
        "clip: Clip.__init__() missing 1 required positional argument: 'high'",
        None,
    ),
    body("%2 = clip(%0, low=zero, high=1) : f32[2,3]"): ("'zero' is not an attribute value", None),
    body("%2 = relu(%0 : f32[2,3]"): ("expected ','", "line 2, column 16"),
    body("%2 relu(%0)"): ("expected '='", "line 2, column 6"),
    body("%2 = relu(%0)"): ("expected ':'", "line 3, column 3"),
    body("%2 = constant() : f32[1]"): ("constant needs value=fill(..), values(..) or data(..)", "line 2, column 18"),
    body("%2 = constant(value=5) : f32[1]"): ("constant needs value=fill(..), values(..) or data(..)", None),
    body("%2 = constant(value=values(1, 2)) : f32[3]"): (
        "the constant is no f32[3]: cannot reshape array of size 2 into shape (3,)",
        None,
    ),
    body("%2 = constant(value=values(1, x)) : f32[2]"): ("expected a number, a string, true or false", None),
    body("%2 = constant(value=values(300)) : u8[1]"): (None, None),
    body("%2 = constant(value=fill()) : u8[1]"): (None, None),
    body('%2 = constant(value=data("00")) : f32[3]'): ('the bytes of data("00") are not in this file', None),
    body("%2, %3 = relu(%0) : f32[2,3]"): ("relu has 1 results, the text names 2 of 1 types", None),
    body("%2 = relu(%0) : f32[2,3], f32[2,3]"): ("relu has 1 results, the text names 1 of 2 types", None),
    body("%2 = relu(_) : f32[2,3]"): ("relu needs an operand 'x'", None),
    body("%2 = add(%0, %1) : f32[2,3]"): (None, None),
    body("%2 = cast(%0, to=text8) : text8[2,3]"): ("cast does not make strings (text8)", "line 2, column 26"),
    body("%2 = relu([%0]) : f32[2,3]"): ("operand 'x' of relu is no list", None),
    body("%2 = concat(%0, axis=0) : f32[2,3]"): ("operand 'xs' of concat is a list", None),
    body('%2 = concat([%0], axis="0") : f32[2,3]'): (None, None),
    body("%2 = transpose(%0, perm=1) : f32[3,2]"): (None, None),
    body('%2 = relu(%0) : f32[2,3] @ x "n" "T"'): ("expected a number, a string, true or false", None),
    body("%2 = relu(%0) : f32[2,3]")[:-2]: ("expected '}'", "line 4, column 1"),
}


@pytest.mark.parametrize("text", ERRORS, ids=range(len(ERRORS)))
def test_errors(text: str) -> None:
    what, where = ERRORS[text]
    with pytest.raises(ModelError) as error:
        Graph.parse(text)
    assert what is None or error.value.what in (what, f"text form: {what}")
    assert where is None or error.value.where == where


def test_nesting_is_bounded() -> None:
    text = 'graph "g"() { %0 = fused([], body=' * 2000
    with pytest.raises(ModelError, match="nested too deeply"):
        Graph.parse(text)


def test_every_prefix_of_a_text_is_refused() -> None:
    text = str(random_graph(3))
    for end in range(0, text.index("\n}"), 7):
        with pytest.raises(ModelError):
            Graph.parse(text[:end])


def test_relu_keeps_its_origin_through_a_copy() -> None:
    graph = Graph.parse(body('%2 = relu(%0) : f32[2,3] @ 7 "act" "Relu"'))
    (op,) = graph.copy().ops
    assert isinstance(op, Relu)
    assert op.origin == Origin(7, "act", "Relu")
