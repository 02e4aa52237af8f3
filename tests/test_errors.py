"""The text and exit status of errors."""

from __future__ import annotations

import pickle

import pytest

from edgec import errors
from edgec.errors import EdgecError, ModelError, ToolchainError, Unsupported, UnsupportedNode


def test_three_lines() -> None:
    error = ModelError(
        "conv2d 'stem/conv1': weight expects 32 channels, input has 3",
        "%7 = conv2d(%5, %w1) (ONNX node 12 'stem/conv1')",
        "check group=1, or export with group=32",
    )
    assert str(error).splitlines() == [
        "error: conv2d 'stem/conv1': weight expects 32 channels, input has 3",
        "  at %7 = conv2d(%5, %w1) (ONNX node 12 'stem/conv1')",
        "  hint: check group=1, or export with group=32",
    ]


def test_only_what_is_known_is_printed() -> None:
    assert str(ModelError("bad")) == "error: bad"
    assert str(ToolchainError("bad", details=["one", "two"])) == "error: bad\n    one\n    two"


@pytest.mark.parametrize(
    ("name", "code"),
    [("Mismatch", 1), ("UsageError", 2), ("ModelError", 3), ("BudgetError", 5), ("ToolchainError", 6)],
)
def test_exit_codes(name: str, code: int) -> None:
    error = getattr(errors, name)("what")
    assert error.exit_code == code
    assert isinstance(error, EdgecError)


def test_unsupported_lists_all_nodes_at_once() -> None:
    nodes = [
        UnsupportedNode("a\n*/", "Loop", "the trip count depends on data", opset=13, nearest="a constant trip count"),
        UnsupportedNode("b", "Foo", "unknown operator", domain="my.ops", shapes=("1x3", "?")),
    ]
    error = Unsupported(nodes, "model.onnx", "see the list of operators")
    assert error.exit_code == 4
    assert error.nodes == tuple(nodes)
    assert str(error).splitlines() == [
        "error: 2 nodes cannot be compiled",
        "  at model.onnx",
        "    Loop 'a\\n*\\x2f' (opset 13): the trip count depends on data; works: a constant trip count",
        "    my.ops::Foo 'b' [1x3, ?]: unknown operator",
        "  hint: see the list of operators",
    ]


@pytest.mark.parametrize("error", [ModelError("a", "b", "c"), Unsupported([UnsupportedNode("n", "Op", "why")], "x")])
def test_errors_survive_a_process_boundary(error: EdgecError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
