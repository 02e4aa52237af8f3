"""Passes on real models: every pass keeps what the model computes, and the time that all of them take."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edgec.errors import ModelError
from edgec.ir import Graph
from edgec.ir.verify import COMPOSITE
from edgec.passes import PassManager, default_pipeline

SMALL = ("mlperftiny_resnet8_fp32", "resnet20_cifar10", "ultraface_rfb320", "alibaba_kws", "micro_kws_fp32")
LARGE = ("mobilenet_v2_1.0_224", "resnet50_224")


def found(models: Path, name: str) -> Path:
    paths = sorted(models.rglob(f"{name}.onnx"))
    if not paths:
        pytest.skip(f"the folder of models has no {name}.onnx")
    return paths[0]


def until_decomposed() -> list:  # type: ignore[type-arg]
    passes = default_pipeline()
    return passes[: [p.name for p in passes].index("lower-pads")]


@pytest.mark.models
@pytest.mark.parametrize("name", SMALL)
def test_every_pass_keeps_the_numbers(models: Path, name: str) -> None:
    graph = Graph.load(found(models, name))
    graph = PassManager(until_decomposed(), verify=True, numeric=True, check_modified=True).run(graph)
    assert not {op.name for op in graph} & COMPOSITE


@pytest.mark.models
@pytest.mark.parametrize("name", LARGE)
def test_passes_are_quick(models: Path, name: str) -> None:
    path = found(models, name)
    try:
        graph = Graph.load(path)
    except ModelError:
        pytest.skip(f"{name}.onnx is there without its weights")
    start = time.perf_counter()
    PassManager(until_decomposed()).run(graph)
    assert time.perf_counter() - start < 1.5
