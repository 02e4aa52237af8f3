"""Winograd's convolution from the option to the artifact."""

from __future__ import annotations

import numpy as np
import pytest

import edgec
from edgec.backends.c import emit
from edgec.choosing import read_form
from edgec.driver import lower
from edgec.errors import EdgecError, UsageError
from edgec.ir import Graph, TensorType, f32
from edgec.ir.ops import Conv, Relu, WinogradConv, constant
from edgec.passes.pipeline import PIPELINES

from .sharing import everything_shared


def network(channels: int = 32) -> Graph:
    """Two layers with a border and random weights."""
    random = np.random.default_rng(0)
    graph = Graph("two")
    value = graph.input(TensorType(f32, (1, channels, 22, 27)), "image")
    for _ in range(2):
        weights = random.standard_normal((channels, channels, 3, 3)).astype(np.float32) / channels
        value = graph.add(Relu(Conv(value, constant(weights), pads=(1, 1, 1, 1)).result))
    graph.set_outputs([value], ["features"])
    return graph


def forms(graph: Graph, winograd: str) -> list[int]:
    """The edges of the tiles of all convolutions; 0 for direct ones."""
    lowered = lower(graph, "x86-64-v3", winograd=winograd).graph
    ops = [op for fused in lowered for op in (fused.body if fused.name == "fused" else [fused])]
    return [op.edge if isinstance(op, WinogradConv) else 0 for op in ops if isinstance(op, Conv)]


@pytest.mark.parametrize(
    ("text", "expected"), [("off", [0, 0]), ("2", [2, 2]), ("6", [6, 6]), ("growth=1,megabytes=0", [0, 0])]
)
def test_the_option_decides(text: str, expected: list[int]) -> None:
    assert forms(network(), text) == expected


def test_wide_layers_are_transformed_unless_that_is_forbidden() -> None:
    assert all(forms(network(), "auto"))
    assert not any(forms(network(), "error=1e-9"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sometimes", "no Winograd form 'sometimes'"),
        ("growth=0.5", "option 'growth' of pass 'winograd' is 0.5"),
        ("error=nan", "option 'error' of pass 'winograd' is nan"),
        ("growth=much", "option 'growth' of pass 'winograd' must be of type float"),
        ("size=3", "pass 'winograd' has no option 'size'"),
    ],
)
def test_nonsense_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        lower(network(4), "x86-64-v3", winograd=text)


def test_a_form_and_limits_are_read() -> None:
    assert read_form("4, growth=1.5", "form") == {"form": "4", "growth": "1.5"}


def test_backends_without_tiles_keep_their_convolutions() -> None:
    assert [name for name, steps in PIPELINES.items() if "winograd" in dict(steps)] == ["c", "tvm"]


def test_scratch_of_another_target_is_refused() -> None:
    lowered = lower(network(), "x86-64-v3", winograd="4")
    for op in lowered.graph:
        for inner in op.body if op.name == "fused" else ():
            if isinstance(inner, WinogradConv):
                inner.scratch //= 2
    with pytest.raises(EdgecError, match=r"scratch is \d+ bytes, the kernel needs \d+"):
        emit(lowered.graph, lowered.target)


def test_threads_give_the_same_bits_and_the_numbers_of_the_graph() -> None:
    graph = network()
    image = np.random.default_rng(1).standard_normal((1, 32, 22, 27)).astype(np.float32)
    (expected,) = graph.evaluate([image])
    with everything_shared():
        artifact = edgec.compile(graph, "host", winograd="4", selftest=False)
    products = [r for r in artifact.report["regions"] if r["macs"]]
    assert [r["kernel"] for r in products] == ["winograd", "winograd"]
    assert all(r["shares"] > 1 for r in products)
    if artifact.cannot_run:
        pytest.skip(artifact.cannot_run)
    alone, shared = (edgec.load(artifact.folder, threads=threads)(image) for threads in (1, 3))
    np.testing.assert_allclose(alone, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(alone, shared)
