"""ONNX's own backend tests, as the installed `onnx` package brings them."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from ..errors import UsageError
from ..escaping import escape
from .onnx_read import subgraphs

KINDS = ("node", "simple", "pytorch-operator", "pytorch-converted")

Sample = tuple[list[Any], list[Any]]
"""Inputs and expected outputs: arrays, and lists or None where the model takes sequences or optionals."""


@dataclass(frozen=True)
class Case:
    """One test: a model, samples, and how far outputs may stand from the expected ones."""

    name: str
    kind: str
    model: bytes
    samples: tuple[Sample, ...]
    rtol: float
    atol: float
    operators: tuple[tuple[str, int], ...]
    """The operators of the model, those of subgraphs too, each with the version that applies."""


def suite_version() -> str:
    """The version of the package whose tests these are."""
    return onnx.__version__


@functools.cache
def load_cases(kind: str) -> tuple[Case, ...]:
    """All tests of one kind, by name; UsageError for a kind that there is not."""
    if kind not in KINDS:
        raise UsageError(f"there is no kind '{escape(kind)}' of tests", hint=f"known: {', '.join(KINDS)}")
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tests overflow and divide by zero on purpose
        found = load_model_tests(kind=kind)
    return tuple(sorted((_case(one, kind) for one in found), key=lambda case: case.name))


def _case(found: Any, kind: str) -> Case:
    if found.model is not None:
        model, samples = found.model, [(_plain(given), _plain(wanted)) for given, wanted in found.data_sets]
    else:
        folder = Path(found.model_dir)
        model = onnx.load(folder / "model.onnx")
        samples = [_sample(each, model) for each in sorted(folder.glob("test_data_set_*"))]
    found_operators = tuple(sorted(set(operators(model))))
    return Case(found.name, kind, model.SerializeToString(), tuple(samples), found.rtol, found.atol, found_operators)


def _plain(tensors: Any) -> list[Any]:
    """Arrays where the tests have protos."""
    return [numpy_helper.to_array(one) if isinstance(one, onnx.TensorProto) else one for one in tensors]


def _sample(folder: Path, model: onnx.ModelProto) -> Sample:
    return _tensors(folder, "input", len(model.graph.input)), _tensors(folder, "output", len(model.graph.output))


def _tensors(folder: Path, word: str, most: int) -> list[Any]:
    paths = [folder / f"{word}_{place}.pb" for place in range(most)]
    return [_read(path) for path in paths if path.is_file()]


def _read(path: Path) -> np.ndarray:
    array: np.ndarray = numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))
    return array


def operators(model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    """The operators of a model, those of subgraphs and functions too, each with the version that applies."""
    opsets = {one.domain: one.version for one in model.opset_import}
    stack: list[Any] = [model.graph, *model.functions]
    while stack:
        for node in stack.pop().node:
            stack += subgraphs(node)
            yield _spelled(node), _since(node, opsets.get(node.domain, 1))


def _spelled(node: onnx.NodeProto) -> str:
    return f"{node.domain}::{node.op_type}" if node.domain else node.op_type


def _since(node: onnx.NodeProto, opset: int) -> int:
    try:
        return int(onnx.defs.get_schema(node.op_type, opset, node.domain).since_version)
    except onnx.defs.SchemaError:
        return opset


def given_shapes(case: Case) -> dict[str, tuple[int, ...]]:
    """The shapes that a user gives: those that a model leaves open, as of the tensors in sequences and optionals."""
    arrays = case.samples[0][0] if case.samples else []
    shapes: dict[str, tuple[int, ...]] = {}
    for value, array in zip(onnx.ModelProto.FromString(case.model).graph.input, arrays, strict=False):
        if isinstance(array, list):
            shapes |= {f"{value.name}[{place}]": np.shape(item) for place, item in enumerate(array)}
        elif array is not None and _is_open(value.type):
            shapes[value.name] = np.shape(array)
    return shapes


def _is_open(kind: onnx.TypeProto) -> bool:
    return not kind.HasField("tensor_type") or any(dim.dim_param for dim in kind.tensor_type.shape.dim)


def matching(cases: tuple[Case, ...], pattern: str) -> tuple[Case, ...]:
    """The cases whose name holds a regular expression."""
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"'{escape(pattern)}' is no regular expression: {error}") from None
    return tuple(case for case in cases if wanted.search(case.name))
