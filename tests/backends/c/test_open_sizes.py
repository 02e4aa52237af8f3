"""Open sizes: one artifact runs every size between the bounds, and says so where a size is outside them."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir import Graph

from ...open_graphs import open_graph
from ...random_graphs import joined
from .harness import compiled, outputs

SEEDS = range(300, 324)


def drawn(graph: Graph, sizes: dict[str, int]) -> list[np.ndarray]:
    random = np.random.default_rng(7)
    return [random.standard_normal(v.type.at(sizes).shape).astype(v.dtype.numpy) for v in graph.inputs]


def check(graph: Graph, target: str, tries: list[dict[str, int]]) -> None:
    with compiled(graph, target) as artifact:
        for sizes in tries:
            inputs = drawn(graph, sizes)
            with np.errstate(all="ignore"):
                wanted = graph.evaluate(inputs)
            for name, got, want in zip(graph.output_names, outputs(artifact, inputs), wanted, strict=True):
                assert got.shape == want.shape, name
                np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4, err_msg=f"{name} of {sizes}")


@pytest.mark.parametrize("target", ["c", "x86-64-v3"])
def test_random_graphs_run_every_size(target: str) -> None:
    check(joined([open_graph(seed) for seed in SEEDS]), target, [{"n": n} for n in (1, 2, 5, 8, 9)])
