"""Every operator's samples through TVM, in one artifact per target, against `evaluate`, within each one's tolerance."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgec import driver
from edgec.artifact import Artifact
from edgec.backends import find_goal
from edgec.errors import Unsupported
from edgec.ir import Graph, Op
from edgec.toolchain import cannot_run

from ...samples import graph_of, reference
from ..c.harness import outputs
from ..c.test_ops import all_samples, first_samples

REFUSED = {
    "compress", "deform-columns", "grid-sample", "half-conv", "half-matmul", "if", "look-up", "loop", "max-places",
    "max-roi-pool", "n-grams", "non-max-suppression", "non-zero", "resize-axis", "roi-align", "top-k", "tree-ensemble",
    "unique",
}  # fmt: skip
"""Operators without a translation: those that choose or sample by data, control flow, what only the C backend makes."""

STRINGS = {"text-concat", "text-equal", "text-find", "text-match", "text-normalize", "text-split"}
"""Operators on strings, which the C backend alone has."""


def is_narrow(op: Any) -> bool:
    """Whether element types occur that this backend refuses."""
    return any(value.dtype.is_narrow for value in (*op.operands, *op.results))


@contextmanager
def compiled(graph: Graph, target: str, **options: str) -> Iterator[Artifact]:
    """The built artifact of a graph, in a folder that vanishes."""
    reason = cannot_run(find_goal(target).target)  # type: ignore[arg-type]
    if reason:
        pytest.skip(f"{target}: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "artifact"
        yield driver.compile(graph, target, output=output, selftest=False, options={"vm": "off", **options})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "samples"),
    [
        pytest.param("tvm-x86-64", all_samples, id="tvm-x86-64"),
        pytest.param("tvm-arm-neon", first_samples, id="tvm-arm-neon"),
        pytest.param("tvm-arm-neon", all_samples, id="tvm-arm-neon-all", marks=pytest.mark.long),
    ],
)
def test_every_operator(target: str, samples: Callable[[], list[tuple[str, Op]]]) -> None:
    served = [(name, op) for name, op in samples() if name not in REFUSED | STRINGS and not is_narrow(op)]
    wanted = reference(graph_of(served))
    with compiled(wanted.graph, target) as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []


def test_the_other_operators_are_refused_by_name_at_once() -> None:
    samples = [(name, op) for name, op in all_samples() if not is_narrow(op)]
    with pytest.raises(Unsupported) as raised:
        driver.lower(graph_of(samples), "tvm")
    reasons = {node.op: node.reason for node in raised.value.nodes if not node.op.startswith("input of type text")}
    assert set(reasons) == REFUSED | STRINGS | {"constant"}  # of strings, which the passes folded
    assert [name for name in sorted(REFUSED) if "no translation to TVM's tensor IR" not in reasons[name]] == []
    assert {reasons[name] for name in STRINGS} == {"strings are for the C backend"}
