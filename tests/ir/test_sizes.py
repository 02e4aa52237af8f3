"""Graphs with open sizes: text form, meaning, import."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.errors import ModelError, Unsupported, UsageError
from edgec.ir import Graph, Symbol, TensorType, f32, verify
from edgec.ir.dims import Size, symbol
from edgec.ir.onnx_import import load
from edgec.ir.ops import Relu, Reshape
from edgec.ir.sizes import fixed

TEXT = """\
graph "g" sizes batch=1..8, seq=0..512 (%0: f32[batch,seq,4] "x") {
  %1 = reshape(%0, shape=[size batch;, size seq*4;]) : f32[batch,seq*4]
  %2 = pad(%1, pads=[0, 1, 0, 0]) : f32[batch,seq*4+1]
  %3 = sizes(values=[size batch;, 3], shape=[2]) : i64[2]
  return %2 "y", %3 "n"
}
"""


def test_text_and_meaning() -> None:
    graph = Graph.parse(TEXT)
    assert str(graph) == TEXT
    verify(graph)
    assert graph.symbols == {"batch": Symbol("batch", 1, 8), "seq": Symbol("seq", 0, 512)}
    for batch, seq in ((2, 3), (8, 0), (1, 512)):
        y, n = graph.evaluate([np.ones((batch, seq, 4), np.float32)])
        assert y.shape == (batch, seq * 4 + 1)
        assert y.sum() == batch * seq * 4
        assert n.tolist() == [batch, 3]


def test_numbers_put_in_leave_nothing_open() -> None:
    found = fixed(Graph.parse(TEXT), {"batch": 2, "seq": 5})
    verify(found)
    assert not found.symbols
    assert found.outputs[0].type == TensorType(f32, (2, 21))


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((9, 3, 4), "size 'batch' is 9, compiled for 1 to 8"),
        ((1, 3, 5), r"input 'x' expects f32\[batch,seq,4\] with batch=1, seq=3, got shape \[1, 3, 5\]"),
        ((1, 3), r"input 'x' expects f32\[batch,seq,4\], got float32\[1, 3\]"),
    ],
)
def test_arrays_that_do_not_fit(shape: tuple[int, ...], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Graph.parse(TEXT).evaluate([np.ones(shape, np.float32)])


@pytest.mark.parametrize(
    ("head", "text"),
    [
        ("sizes n=2..1 (", "'n=2..1' are no bounds of a new size"),
        ("sizes n=1..2, n=1..3 (", "'n=1..3' are no bounds of a new size"),
        ("sizes 1=1..2 (", "'1=1..2' are no bounds"),
        ("(", r"'f32\[n\]' is not a tensor type"),
    ],
)
def test_declarations_that_are_none(head: str, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        Graph.parse(f'graph "g" {head}%0: f32[n] "x") {{\n  return %0\n}}\n')


def test_two_sizes_do_not_broadcast() -> None:
    a, b = (symbol(Symbol(name, 1, 4)) for name in "ab")
    graph = Graph()
    x = graph.input(TensorType(f32, (a, b)), "x")
    with pytest.raises(ModelError, match=r"reshape: a\*b elements do not fill shape \[a\*2\]"):
        Reshape(Relu(x).result, (a * 2,))


# --- import -------------------------------------------------------------------------------------------------------


def model(nodes: list[onnx.NodeProto], outputs: int = 1, **constants: object) -> bytes:
    """A model of an input x [batch, seq, 4] and constants."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "seq", 4])
    results = [helper.make_tensor_value_info(f"y{i}", TensorProto.UNDEFINED, None) for i in range(outputs)]
    initializers = [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], results, initializers)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())


DIMS: dict[str, Size] = {"batch": (1, 8), "seq": (2, 64)}


def imported(nodes: list[onnx.NodeProto], **constants: object) -> Graph:
    return load(model(nodes, **constants), DIMS)


def node(kind: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def test_shapes_are_computed_with() -> None:
    graph = imported(
        [
            node("Shape", "x", "shape"),
            node("Gather", "shape zero", "batch"),
            node("Gather", "shape one", "seq"),
            node("Mul", "seq two", "twice"),
            node("Unsqueeze", "batch axes", "a"),
            node("Unsqueeze", "twice axes", "b"),
            node("Concat", "a b rest", "wanted", axis=0),
            node("Reshape", "x wanted", "y0"),
        ],
        zero=np.array(0),
        one=np.array(1),
        two=np.array(2),
        axes=np.array([0]),
        rest=np.array([-1]),
    )
    assert [op.name for op in graph] == ["reshape"]
    assert str(graph.outputs[0].type) == "f32[batch,seq*2,2]"


def test_slices_are_clamped() -> None:
    nodes = [node("Slice", "x starts ends axes", "y0")]
    graph = imported(nodes, starts=np.array([-3]), ends=np.array([2**62]), axes=np.array([1]))
    assert str(graph.outputs[0].type) == "f32[batch,-max(0, seq-3)+seq,4]"
    for seq in (2, 3, 9):
        x = np.random.default_rng(0).standard_normal((1, seq, 4)).astype(np.float32)
        np.testing.assert_array_equal(graph.evaluate([x])[0], x[:, -3:])


def test_a_range_is_the_start_of_the_longest_one() -> None:
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape one", "seq"),
        node("Range", "first seq step", "y0"),
    ]
    graph = imported(nodes, one=np.array(1), first=np.array(1), step=np.array(2))
    for seq in (2, 3, 64):
        assert graph.evaluate([np.ones((1, seq, 4), np.float32)])[0].tolist() == list(range(1, seq, 2))


def test_sizes_that_are_read_as_numbers() -> None:
    nodes = [node("Size", "x", "n"), node("Cast", "n", "f", to=TensorProto.FLOAT), node("Div", "x f", "y0")]
    graph = imported(nodes)
    x = np.ones((2, 3, 4), np.float32)
    np.testing.assert_allclose(graph.evaluate([x])[0], x / 24)


@pytest.mark.parametrize("mode", ["reflect", "edge"])
@pytest.mark.parametrize("pads", [(1, 1), (0, 2), (1, 0)])
def test_borders_of_an_open_dimension_longer_than_they_are(mode: str, pads: tuple[int, int]) -> None:
    begin, end = pads
    made = model([node("Pad", "x pads", "y0", mode=mode)], pads=np.array([0, begin, 0, 0, end, 0]))
    graph = load(made, {"batch": 1, "seq": (3, 9)})
    for seq in (3, 4, 9):
        x = np.random.default_rng(0).standard_normal((1, seq, 4)).astype(np.float32)
        wanted = np.pad(x, ((0, 0), pads, (0, 0)), mode=mode)  # type: ignore[call-overload]
        np.testing.assert_array_equal(graph.evaluate([x])[0], wanted)
    if mode == "reflect" and end == 2:
        with pytest.raises(Unsupported, match=r"a border of 2 for .*seq.* elements, mode reflect"):
            load(made, {"batch": 1, "seq": (2, 9)})


def test_a_whole_scale_repeats_the_elements_of_an_open_dimension() -> None:
    def resized(scale: float, mode: str) -> Graph:
        nodes = [node("Resize", "x none scales", "y0", mode=mode, coordinate_transformation_mode="half_pixel")]
        return imported(nodes, none=np.zeros(0, np.float32), scales=np.array([1, scale, 2], np.float32))

    graph = resized(3.0, "nearest")
    assert str(graph.outputs[0].type) == "f32[batch,seq*3,8]"
    for seq in (2, 5):
        x = np.random.default_rng(0).standard_normal((2, seq, 4)).astype(np.float32)
        np.testing.assert_array_equal(graph.evaluate([x])[0], x.repeat(3, 1).repeat(2, 2))
    for scale, mode in ((1.5, "nearest"), (2.0, "linear")):
        with pytest.raises(Unsupported, match="is known only at run time"):
            resized(scale, mode)


def test_sizes_are_made_of_names_that_the_model_lacks() -> None:
    graph = load(model([node("Relu", "x", "y0")]), {"batch": 1, "seq": "blocks*8", "blocks": (1, 4)})
    assert str(graph.outputs[0].type) == "f32[1,blocks*8,4]"
    assert graph.symbols == {"blocks": Symbol("blocks", 1, 4)}


def test_what_depends_on_the_run_is_refused_by_name() -> None:
    nodes = [node("Shape", "x", "shape"), node("Reshape", "x wanted", "y0")]
    with pytest.raises(Unsupported, match=r"Reshape.*\[batchxseqx4, 2\]: whether .* depends on the run"):
        imported(nodes, wanted=np.array([-1, 3]))


@pytest.mark.parametrize(
    ("dims", "text"),
    [
        ({"batch": (5, 4), "seq": 1}, "bounds of 'batch' must be 0 or more and in order, got 5..4"),
        ({"batch": (1, 2), "seq": "bath*2"}, "dimension 'seq': the size 'bath' is not declared"),
        ({"batch": (1, 2), "seq": "batch-2"}, "dimension 'seq' can be negative: batch-2"),
        ({"batch": (1, 2), "length": (1, 2)}, "the model has no dimension 'length'"),
    ],
)
def test_bounds_that_make_no_sense(dims: dict[str, Size], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        load(model([node("Relu", "x", "y0")]), dims)


def shaped(kind: str, inputs: dict[str, list[int]], output: list[int], **attributes: object) -> Graph:
    """A model of one node whose operands are all inputs: floats, then integers."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.INT64 if i else TensorProto.FLOAT, shape)
        for i, (name, shape) in enumerate(inputs.items())
    ]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, output)
    graph = helper.make_graph([node(kind, " ".join(inputs), "y", **attributes)], "g", values, [result])
    return load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())


X = np.arange(12, dtype=np.float32).reshape(3, 2, 2)


@pytest.mark.parametrize(("axis", "same"), [(1, 1), (2, -1)])
def test_axes_of_the_run_choose_among_those_that_are_possible(axis: int, same: int) -> None:
    graph = shaped("ReduceSum", {"x": [3, 2, 2], "axes": [1]}, [3, 2], keepdims=0)
    verify(graph)
    for given in (axis, same):
        np.testing.assert_array_equal(graph.evaluate([X, np.array([given])])[0], X.sum(axis))
    with pytest.raises(UsageError, match="a size is 0, compiled for 1"):
        graph.evaluate([X, np.array([0])])


def test_a_declared_shape_is_believed_and_checked() -> None:
    graph = shaped("Reshape", {"x": [3, 2, 2], "shape": [2]}, [3, 4])
    for shape in ([3, 4], [0, -1], [-1, 4]):
        np.testing.assert_array_equal(graph.evaluate([X, np.array(shape)])[0], X.reshape(3, 4))
    with pytest.raises(UsageError, match="a size is 0, compiled for 1"):
        graph.evaluate([X, np.array([4, 3])])


def test_a_slice_with_bounds_of_the_run() -> None:
    graph = shaped("Slice", {"x": [3, 2, 2], "starts": [2], "ends": [2]}, [])
    verify(graph)
    assert str(graph.outputs[0].type) == "f32[y_size0,y_size1,2]"
    assert graph.found_sizes["y_size0"] == Symbol("y_size0", 0, 3)
    assert str(Graph.parse(str(graph))) == str(graph)
    for starts, ends in (([1, 0], [3, 2]), ([-2, -1], [99, 2]), ([2, 1], [1, 0])):
        found = graph.evaluate([X, np.array(starts), np.array(ends)])[0]
        np.testing.assert_array_equal(found, X[starts[0] : ends[0], starts[1] : ends[1]])


def test_a_size_is_found_once_and_before_it_is_used() -> None:
    head = 'graph "g" sizes n=0..4 (%0: i64[] "k", %1: f32[4] "x") {\n'
    find, use = (
        "  %2 = find-size(%0, size=size n;) : i64[]\n",
        "  %3 = slice(%1, starts=[0], sizes=[size n;]) : f32[n]\n",
    )
    verify(Graph.parse(f"{head}{find}{use}  return %3\n}}\n"))
    with pytest.raises(ModelError, match="slice has size 'n' in its shape before it is found"):
        verify(Graph.parse(f"{head}{use}{find}  return %3\n}}\n"))
    with pytest.raises(ModelError, match="size 'n' is found twice"):
        verify(Graph.parse(f"{head}{find}{find.replace('%2', '%4')}{use}  return %3\n}}\n"))


def test_a_size_made_of_another() -> None:
    graph = load(model([node("Relu", "x", "y0")]), {"batch": (1, 3), "seq": "batch*2+1"})
    assert str(graph.outputs[0].type) == "f32[batch,batch*2+1,4]"
