"""What came of one case: passed, or why not, and how far its results were from what ONNX expects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
PASSED, REFUSED, DISPUTED, WRONG, CRASHED = "passed", "refused", "disputed", "wrong", "crashed"
BFLOAT_TOLERANCE = 2.0**-6
RANDOM = frozenset(
    ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
)
"""Operators whose numbers ONNX leaves open: shape and element type count."""


@dataclass(frozen=True)
class Verdict:
    """What came of one case; `ulp` is the largest error in units in the last place of the expected number."""

    name: str
    kind: str
    status: str
    reason: str = ""
    operators: tuple[tuple[str, int], ...] = ()
    types: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    ulp: float | None = None


def compare(got: Array, wanted: Any, rtol: float, atol: float, numbers: bool = True) -> str:
    """Why an output is not what is expected; empty if it is. `numbers` says whether its elements count."""
    if not isinstance(wanted, np.ndarray | np.generic):
        return f"a {type(wanted).__name__} is expected"
    wanted = np.asarray(wanted)
    if wanted.dtype.kind in "OU" and got.dtype.kind == "S":
        wanted = np.array([str(one).encode() for one in wanted.reshape(-1)], got.dtype).reshape(wanted.shape)
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return f"{wanted.dtype}{list(wanted.shape)} is expected, got {got.dtype}{list(got.shape)}"
    if not numbers:
        return ""
    tolerance = max(rtol, BFLOAT_TOLERANCE) if wanted.dtype.name == "bfloat16" else rtol
    with np.errstate(all="ignore"):
        if got.dtype.kind == "S":
            right = np.asarray(got == wanted)
        else:
            right = np.isclose(_wide(got), _wide(wanted), rtol=tolerance, atol=atol, equal_nan=True)
    if right.all():
        return ""
    place = tuple(int(i) for i in np.argwhere(~right)[0])
    return f"{int((~right).sum())} of {right.size} elements differ, at {list(place)} {got[place]} for {wanted[place]}"


def error_in_ulp(got: Array, wanted: Array, atol: float) -> float | None:
    """The largest error of a float output where it exceeds `atol`; None for other element types."""
    if not _is_float(wanted.dtype):
        return None
    with np.errstate(all="ignore"):
        difference = np.abs(_wide(got) - _wide(wanted))
        unit = _unit(wanted)
        errors = np.where(np.isfinite(difference) & (difference > atol), difference / unit, 0.0)
    return float(errors.max(initial=0.0))


def _unit(wanted: Array) -> Array:
    """The distance of each number to the next of its type."""
    if wanted.dtype.isbuiltin:
        return np.asarray(np.spacing(np.abs(wanted)), np.float64)
    from ml_dtypes import finfo

    about: Any = finfo(wanted.dtype)  # type: ignore[no-untyped-call]
    exponent = np.frexp(np.maximum(np.abs(_wide(wanted)), float(about.smallest_normal)))[1]
    return np.asarray(np.ldexp(1.0, exponent - 1 - about.nmant))


def _is_float(kind: np.dtype) -> bool:
    return kind.kind == "f" or "float" in kind.name


def _wide(array: Array) -> Array:
    if array.dtype == np.bool_ or array.dtype.kind in "iuf":
        return array
    return np.asarray(array.astype(np.float64))


def judge(
    results: Sequence[Sequence[Array]], wanted: Sequence[Sequence[Any]], rtol: float, atol: float, numbers: bool
) -> tuple[str, float | None]:
    """Why the results of all samples are not what is expected (empty if they are), and the largest error."""
    errors: list[float] = []
    for got, expected in zip(results, wanted, strict=True):
        if len(got) != len(expected):
            return f"{len(expected)} outputs are expected, got {len(got)}", None
        for place, (one, other) in enumerate(zip(got, expected, strict=True)):
            reason = compare(one, other, rtol, atol, numbers)
            if reason:
                return f"output {place}: {reason}", None
            error = error_in_ulp(one, np.asarray(other), atol) if numbers else None
            errors += [] if error is None else [error]
    return "", max(errors, default=None)
