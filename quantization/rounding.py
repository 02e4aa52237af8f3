"""Rounding of weights against the output of their layer on calibration data, instead of to the nearest.

The squared error of a layer's output is a quadratic form of the errors of its weights, given by the second moments of
its inputs. Errors are passed on from weight to weight as they are rounded; then single weights move by one step as long
as that makes the output better, in turns with scales fitted to the integers. Nothing is random, and the work is bounded
by the number of sweeps.
"""

from __future__ import annotations

import numpy as np

from .moments import Moments
from .weights import TINY, Code, grouped

Array = np.ndarray
TURNS = 3
SWEEPS = 8
BLOCK = 64
"""How many weights are rounded before their errors are passed on to all others at once."""

WORK = 4096
"""Sweeps times the length of a row: long rows get fewer sweeps."""


def optimized(rows: Array, code: Code, limits: tuple[int, int], moments: Moments, fit: bool = True) -> Code:
    """The code with its integers, and with `fit` its scales, chosen for the layer's output."""
    parts = np.split(np.arange(len(rows)), moments.layer.groups)
    pieces = [
        _optimized(moments.target(g, rows[part]), _rows_of(code, part), limits, moments.form(g), fit)
        for g, part in enumerate(parts)
    ]
    integers, scale = (np.concatenate([getattr(p, name) for p in pieces]) for name in ("integers", "scale"))
    return Code(integers, scale, code.group)


def _rows_of(code: Code, part: Array) -> Code:
    return Code(code.integers[part], code.scale[part], code.group)


def _optimized(rows: Array, code: Code, limits: tuple[int, int], form: Array, fit: bool) -> Code:
    """One group of a layer: `rows` [R, K] are the weights wanted, `form` [K, K] judges."""
    best = _passed_on(rows, code, limits, form)
    best = _better(rows, form, best, code)
    for _ in range(TURNS if fit else 1):
        moved = _descended(rows, best, limits, form)
        best = _better(rows, form, _fitted(rows, moved, form) if fit else moved, moved)
    return best


def _better(rows: Array, form: Array, first: Code, second: Code) -> Code:
    """Row by row the better of two codes."""
    chosen = (_error(rows, first, form) <= _error(rows, second, form))[:, None]
    integers = np.where(chosen, first.integers, second.integers)
    return Code(integers, np.where(chosen, first.scale, second.scale), first.group)


def _error(rows: Array, code: Code, form: Array) -> Array:
    difference = rows - code.floats
    return np.asarray(((difference @ form) * difference).sum(axis=1))


def _passed_on(rows: Array, code: Code, limits: tuple[int, int], form: Array) -> Code:
    """Round one weight after the other, each error made up for by those that follow; weights that count most first.

    The error is the squared length of `factor @ difference`: of a weight and those rounded before it, what they add to
    one component, which rounding that weight right makes small.
    """
    order = np.argsort(np.diagonal(form), kind="stable")
    factor = np.linalg.cholesky(form[np.ix_(order, order)]).T
    factor /= np.diagonal(factor)[:, None].copy()
    wanted, scales = rows[:, order].astype(np.float64), code.scales[:, order].astype(np.float64)
    found, error = np.zeros_like(wanted), np.zeros_like(wanted)
    for end in range(rows.shape[1], 0, -BLOCK):
        start = max(0, end - BLOCK)
        carried = error[:, end:] @ factor[start:end, end:].T
        for i in range(end - 1, start - 1, -1):
            left = carried[:, i - start] + error[:, i + 1 : end] @ factor[i, i + 1 : end]
            found[:, i] = np.clip(np.round((wanted[:, i] + left) / scales[:, i]), *limits)
            error[:, i] = wanted[:, i] - found[:, i] * scales[:, i]
    back = np.argsort(order, kind="stable")
    return Code(found[:, back].astype(np.int8), code.scale, code.group)


def _descended(rows: Array, code: Code, limits: tuple[int, int], form: Array) -> Code:
    """Move single weights to the best of their integers while all others stand, until none moves."""
    scales = code.scales.astype(np.float64)
    found = code.integers.astype(np.float64)
    slope = (rows - found * scales) @ form
    for _ in range(min(SWEEPS, max(1, WORK // rows.shape[1]))):
        moved = False
        for i in range(rows.shape[1]):
            wanted = found[:, i] + np.round(slope[:, i] / (form[i, i] * scales[:, i]))
            step = np.clip(wanted, *limits) - found[:, i]
            if step.any():
                moved = True
                found[:, i] += step
                slope -= np.outer(step * scales[:, i], form[i])
        if not moved:
            break
    return Code(found.astype(np.int8), code.scale, code.group)


def _fitted(rows: Array, code: Code, form: Array) -> Code:
    """The scales with which the integers come nearest, by least squares; those that would not be positive stay."""
    parts = grouped(code.integers.astype(np.float64), code.group)
    count = parts.shape[1]
    pad = count * code.group - rows.shape[1]
    products = [parts[:, i] @ each for i, each in enumerate(np.pad(form, (0, pad)).reshape(count, code.group, -1))]
    left = np.stack([(each.reshape(parts.shape) * parts).sum(axis=2) for each in products], axis=1)
    right = (grouped(rows @ form, code.group) * parts).sum(axis=2)
    left += 1e-9 * np.eye(count) * (1e-30 + np.abs(left).max(axis=(1, 2), keepdims=True)) + 1e-30 * np.eye(count)
    found = np.linalg.solve(left, right[..., None])[..., 0]
    usable = (found > TINY) & (found > 0.3 * code.scale) & (found < 3 * code.scale)
    return Code(code.integers, np.where(usable, found, code.scale).astype(np.float32), code.group)
