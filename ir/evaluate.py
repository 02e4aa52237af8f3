"""Run a graph with numpy: the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from ..errors import ModelError, UsageError
from ..escaping import escape
from .dims import is_open
from .graph import Graph
from .ops import FindSize, TextConcat
from .sizes import check_bounds, find_sizes, fixed, op_at
from .strings import stored
from .types import dtype_of
from .value import Value


def bind_inputs(
    graph: Graph, inputs: dict[str, np.ndarray] | Sequence[np.ndarray], order: Literal["C", "K"] = "C"
) -> list[np.ndarray]:
    """The arrays in the order of the graph's inputs, each checked for name, element type and shape.

    They are dense and row-major; with `order` K as they came.
    """
    names = [v.name for v in graph.inputs]
    if not isinstance(inputs, dict) and len(inputs) == len(names):
        return [_checked(value, array, order) for value, array in zip(graph.inputs, inputs, strict=True)]
    inputs = inputs if isinstance(inputs, dict) else {}
    missing = [escape(n) for n in names if n not in inputs]
    unknown = [escape(n) for n in inputs if n not in names]
    if missing or unknown:
        said = "; ".join(p for p in (missing and f"missing: {missing}", unknown and f"unknown: {unknown}") if p)
        raise UsageError(f"the arrays do not match the inputs ({said})", hint=f"inputs: {[escape(n) for n in names]}")
    return [_checked(value, inputs[value.name], order) for value in graph.inputs]


def _checked(value: Value, array: np.ndarray, order: Literal["C", "K"]) -> np.ndarray:
    if value.dtype.is_text:
        array = _as_strings(value, array)
    fits = len(array.shape) == value.rank if value.type.is_open else tuple(array.shape) == value.shape
    if fits and array.dtype == value.dtype.numpy:
        return np.asarray(array, order=order)
    got = f"{array.dtype}{list(array.shape)}"
    raise UsageError(f"input '{escape(value.name)}' expects {value.type}, got {got}")


def _as_strings(value: Value, array: np.ndarray) -> np.ndarray:
    """Text, in whatever form it comes, as the elements of an input; numbers stay as they are."""
    if array.dtype.kind not in "OUS" or array.dtype == value.dtype.numpy:
        return array
    try:
        return stored(array, value.dtype)
    except ModelError as error:
        raise UsageError(f"input '{escape(value.name)}': {error.what}", hint=error.hint) from None


def evaluate(graph: Graph, inputs: dict[str, np.ndarray] | Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a graph for named arrays, or arrays in input order. Values are dropped after their last reader.

    A graph with open sizes means what it means with the numbers put in that the arrays' shapes give.
    """
    arrays = bind_inputs(graph, inputs)
    if graph.checks_run:
        return evaluate_and_find(graph, arrays)[0]
    if graph.symbols:
        return _evaluate(fixed(graph, sizes_of(graph, arrays)), arrays)
    return _evaluate(graph, arrays)


def evaluate_and_find(graph: Graph, arrays: Sequence[np.ndarray]) -> tuple[list[np.ndarray], dict[str, int]]:
    """The outputs for arrays in input order, and all open sizes of the run, in the order of `graph.symbols`."""
    sizes, symbols = sizes_of(graph, arrays), graph.symbols
    table = {v: Value(v.type.at(sizes), name=v.name) for v in graph.inputs}
    known = dict(zip(table.values(), arrays, strict=True))
    for op in graph:
        now = op_at(op, sizes, table)
        known.update(zip(now.results, map(np.asarray, now.compute(known.__getitem__)), strict=True))
        if isinstance(op, FindSize):
            _find(op, int(known[now.result]), sizes)
        table.update(zip(op.results, now.results, strict=True))
    return [known[table[v]] for v in graph.outputs], {name: sizes[name] for name in symbols}


def _find(op: FindSize, number: int, sizes: dict[str, int]) -> None:
    if not is_open(op.size) and op.size != number:
        if isinstance(op.x.producer, TextConcat):
            room = f"{op.x.producer.x.dtype.bytes} bytes"
            raise UsageError(f"{number} strings have no room in {room}", where=op.where, hint="--text-bytes")
        raise UsageError(f"a size is {number}, compiled for {op.size}", where=op.where)
    for found in op.found_sizes():
        sizes[found.name] = number
        check_bounds({found.name: found}, sizes)


def sizes_of(graph: Graph, arrays: Sequence[np.ndarray]) -> dict[str, int]:
    """The open sizes of a graph for arrays in input order; `UsageError` where they are outside their bounds."""
    names = [f"{i}" if not v.name else v.name for i, v in enumerate(graph.inputs)]
    kinds = {name: value.type for name, value in zip(names, graph.inputs, strict=True)}
    return find_sizes(kinds, {name: array.shape for name, array in zip(names, arrays, strict=True)})


def _evaluate(graph: Graph, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    table: dict[Value, np.ndarray] = dict(zip(graph.inputs, inputs, strict=True))
    left = {v: len(v.users) for v in graph.values}
    for op in graph:
        arrays = op.compute(table.__getitem__)
        for result, array in zip(op.results, arrays, strict=True):
            if tuple(array.shape) != result.shape or dtype_of(np.asarray(array)) != result.dtype:
                got = f"{array.dtype}{list(array.shape)}"
                raise ModelError(f"{op.name} evaluated to {got}, its type is {result.type}", where=op.where)
            table[result] = np.asarray(array)
        for value in set(op.operands):
            left[value] -= 1
            if not left[value] and not graph.is_output(value):
                table.pop(value, None)
    return [table[v] for v in graph.outputs]
