"""Inputs that hold a shape: what the declared shapes of the outputs say that they are, the run checks.

A window of `size` elements, an image cropped to `shape`: where a model cannot be translated because it computes with
such an input, but declares the shapes of its outputs, the input is supposed to hold dimensions of these, and the
supposition stands if all outputs get their declared shapes. A run with other numbers fails.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EdgecError
from ..escaping import escape
from .dim_text import identifier
from .dims import Symbol, is_open, symbol
from .graph import Graph
from .ops import FindSize, Gather, Reshape, constant, sizes
from .types import TensorType
from .value import Value

MAX_ELEMENTS = 8
MAX_TRIES = 24
ANY = (1 << 31) - 1
"""The largest number of an element that no shape depends on."""


@dataclass(frozen=True)
class Supposed:
    """Numbers of an input; None for one that may be any from 0 on."""

    name: str
    numbers: tuple[int | None, ...]

    def put_in(self, value: Value) -> tuple[Value, list[Value]]:
        """What the input is supposed to be, and what the run has to check."""
        flat = Reshape(value, (value.type.size,)).result
        dims = [self._size(i) for i in range(len(self.numbers))]
        checks = [FindSize(Gather(flat, constant(np.array(i)), 0).result, dim).result for i, dim in enumerate(dims)]
        return sizes(np.array(dims, object).reshape(value.shape), value.dtype), checks

    def _size(self, place: int) -> int:
        number = self.numbers[place]
        return symbol(Symbol(identifier(f"{self.name}_{place}"), 0, ANY)) if number is None else number

    def example(self, kind: TensorType) -> np.ndarray:
        """An array that a run may have."""
        return np.array([number or 0 for number in self.numbers], kind.dtype.numpy).reshape(kind.shape)

    def __str__(self) -> str:
        listed = ", ".join("any" if number is None else str(number) for number in self.numbers)
        return f"input '{escape(self.name)}' is supposed to be [{listed}], as the shapes of the outputs say"


def suppositions(inputs: Mapping[str, TensorType], shapes: Sequence[tuple[int, ...]]) -> Iterator[Supposed]:
    """What inputs may hold if outputs have certain shapes: their dimensions in order, all or all but one."""
    for name, kind in inputs.items():
        if not kind.dtype.is_integer or kind.rank > 1 or any(map(is_open, kind.shape)):
            continue
        if not 1 <= kind.size <= MAX_ELEMENTS:
            continue
        tries = dict.fromkeys(itertools.chain(_chosen(shapes, kind.size), _with_gap(shapes, kind.size)))
        yield from (Supposed(name, numbers) for numbers in itertools.islice(tries, MAX_TRIES))


def _chosen(shapes: Sequence[tuple[int, ...]], count: int) -> Iterator[tuple[int | None, ...]]:
    for shape in shapes:
        yield from itertools.combinations(shape, count)


def _with_gap(shapes: Sequence[tuple[int, ...]], count: int) -> Iterator[tuple[int | None, ...]]:
    for numbers in _chosen(shapes, count - 1) if count > 2 else ():
        yield from ((*numbers[:gap], None, *numbers[gap:]) for gap in range(count))


def first_that_fits(
    tries: Iterator[Supposed], build: Callable[[Supposed], Graph], declared: Mapping[str, TensorType]
) -> Graph | None:
    """The first graph whose outputs have the declared shapes."""
    for supposed in tries:
        try:
            graph = build(supposed)
        except EdgecError:
            continue
        made = zip(graph.output_names, graph.outputs, strict=True)
        if all(name in declared and value.shape == declared[name].shape for name, value in made):
            graph.note("import", str(supposed), None)
            return graph
    return None
