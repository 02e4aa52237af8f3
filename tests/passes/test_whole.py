"""The passes together: linear time, the same result twice, the same text under any hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgec.ir import Graph, TensorType, f32, verify
from edgec.ir.ops import Add, BatchNorm, Conv, Mul, Relu, Reshape, Sigmoid, Softmax, Transpose, constant
from edgec.passes import PassManager, default_pipeline
from edgec.passes.pipeline import CLEAN

LATE = (" stage lowered {", " stage fused {", " stage planned {")  # behind the clean-up, which does not take them
CASES = sorted(Path(__file__).parent.glob("*/*.ir"))
CASES = [path for path in CASES if not any(stage in path.read_text(encoding="utf-8").split("---")[0] for stage in LATE)]


def until_decomposed() -> list:  # type: ignore[type-arg]
    passes = default_pipeline()
    return passes[: [p.name for p in passes].index("lower-pads")]


def chain(length: int) -> Graph:
    graph = Graph("chain")
    value = graph.input(TensorType(f32, (4, 4)), "x")
    shared = constant(0.5, f32)
    kinds = (
        lambda v: Add(v, shared),
        lambda v: Relu(v),
        lambda v: Mul(v, constant(1.0, f32)),
        lambda v: Transpose(v, (1, 0)),
        lambda v: Reshape(v, (4, 4)),
        lambda v: Mul(v, Sigmoid(v).result),
        lambda v: Add(v, constant(0.0, f32)),
    )
    while len(graph) < length:
        value = graph.add(kinds[len(graph) % len(kinds)](value))
    graph.set_outputs([value], ["y"])
    return graph


def test_ten_thousand_ops_take_seconds() -> None:
    manager = PassManager(until_decomposed())
    start = time.perf_counter()
    graph = manager.run(chain(10_000))
    seconds = time.perf_counter() - start
    verify(graph)
    assert seconds < 10, [(r.name, round(r.ms)) for r in manager.records]


def network() -> Graph:
    graph = Graph("network")
    x = graph.input(TensorType(f32, (1, 2, 6, 6)), "x")
    weight = constant([[[[0.5, -1.0], [2.0, 0.25]]] * 2] * 3, f32)
    y = Conv(Mul(x, constant(2.0, f32)).result, weight, pads=(1, 1, 0, 0)).result
    y = BatchNorm(y, *(constant(v, f32) for v in ([1, 2, 3], [0, 1, 2], [1, 1, 1], [4, 4, 4]))).result
    y = Mul(y, Sigmoid(y).result).result
    y = Transpose(Relu(Transpose(y, (0, 2, 3, 1)).result).result, (0, 3, 1, 2)).result
    graph.set_outputs([graph.add(Softmax(Reshape(y, (1, 108)).result))], ["y"])
    return graph


def test_a_second_run_changes_nothing() -> None:
    graph = PassManager(until_decomposed(), verify=True, numeric=True, check_modified=True).run(network())
    assert graph.stage == "canonical"
    text = str(graph)
    assert str(PassManager(until_decomposed(), check_modified=True).run(graph)) == text


@pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_cases_survive_all_of_the_clean_up(path: Path) -> None:
    graph = Graph.parse(path.read_text(encoding="utf-8").partition("---\n")[0])
    passes = default_pipeline()[: len(CLEAN)]
    graph = PassManager(passes, verify=True, numeric=True, check_modified=True).run(graph)
    again = PassManager(passes)
    again.run(graph)
    assert not any(record.changed for record in again.records)


def test_hash_seeds_do_not_matter() -> None:
    texts = {_text_under(seed) for seed in ("1", "2")}
    assert len(texts) == 1


def _text_under(seed: str) -> str:
    here = str(Path(__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {here!r}); import test_whole as t;"
        "g = t.PassManager(t.until_decomposed()).run(t.network());"
        "print(g, *g.journal, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
