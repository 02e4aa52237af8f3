"""How far two sets of outputs are apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..escaping import escape
from ..ir.strings import as_numbers

Array = np.ndarray


@dataclass(frozen=True)
class Difference:
    """The worst element of one output: its distance as a part of the largest reference value, and its index.

    `worst` is infinite where one side is NaN or infinite and the other is not.
    """

    name: str
    worst: float
    at: tuple[int, ...]
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the output is within its tolerance."""
        return self.worst <= self.tolerance


def compare(got: Mapping[str, Array], wanted: Mapping[str, Array], tolerance: float) -> list[Difference]:
    """Return one Difference for each wanted output; UsageError if one is missing or has another shape."""
    for name, array in wanted.items():
        if name not in got:
            raise UsageError(f"there is no output '{escape(name)}'", hint=f"outputs: {[escape(n) for n in got]}")
        if got[name].shape != array.shape:
            shapes = f"{list(array.shape)}, the model gives {list(got[name].shape)}"
            raise UsageError(f"the reference of output '{escape(name)}' has shape {shapes}")
    return [_difference(name, got[name], array, tolerance) for name, array in wanted.items()]


def _difference(name: str, got: Array, wanted: Array, tolerance: float) -> Difference:
    if not wanted.size:
        return Difference(name, 0.0, (), tolerance)
    got, wanted = as_numbers(got), as_numbers(wanted)
    apart = _distances(got.astype(np.float64), wanted.astype(np.float64)).reshape(wanted.shape)
    place = np.unravel_index(int(apart.argmax()), wanted.shape)
    worst = float(apart.max()) / (_largest(wanted) or 1.0)
    return Difference(name, worst, tuple(int(index) for index in place), tolerance)


def _distances(got: Array, wanted: Array) -> Array:
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(got - wanted)
    return np.where(same, 0.0, np.where(np.isfinite(apart), apart, np.inf))


def _largest(wanted: Array) -> float:
    sizes = np.abs(wanted.astype(np.float64))
    return float(np.max(sizes, where=np.isfinite(sizes), initial=0.0))
