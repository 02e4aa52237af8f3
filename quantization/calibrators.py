"""From the statistics of a tensor to the range that is worth representing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import UsageError
from ..escaping import escape
from .histogram import Histogram
from .statistics import Statistics

Array = np.ndarray
Range = tuple[float, float]
Calibrator = Callable[[Statistics, int], Range]
"""Statistics and the number of levels to the least and largest number; the range holds zero."""

PERCENT = 99.99
SHARES = np.linspace(1.0, 0.3, 71)


def calibrate(name: str, statistics: Statistics, levels: int) -> Range:
    """The range that a calibrator chooses; it holds zero. UsageError for an unknown name.

    `percentile` may be followed by a number: `percentile:99.9`.
    """
    base, _, argument = name.partition(":")
    if base not in CALIBRATORS or (argument and base != "percentile"):
        raise UsageError(f"there is no calibrator '{escape(name)}'", hint=f"calibrators: {', '.join(CALIBRATORS)}")
    if not statistics.samples:
        return 0.0, 0.0
    if argument:
        return _with_zero(*_percentile(statistics.histogram, _percent(argument)))
    low, high = CALIBRATORS[base](statistics, levels)
    return _with_zero(max(low, statistics.low), min(high, statistics.high))


def _percent(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 50 < share <= 100:
        raise UsageError(f"'{escape(text)}' is not a percentile", hint="a number above 50, at most 100")
    return share


def _with_zero(low: float, high: float) -> Range:
    return min(low, 0.0), max(high, 0.0)


def min_max(statistics: Statistics, levels: int) -> Range:
    """All of it."""
    return statistics.low, statistics.high


def moving_average(statistics: Statistics, levels: int) -> Range:
    """The average of each sample's least and largest number, later samples counting more."""
    return statistics.average_low, statistics.average_high


def percentile(statistics: Statistics, levels: int) -> Range:
    """What holds all but one number in ten thousand at each end."""
    return _percentile(statistics.histogram, PERCENT)


def _percentile(histogram: Histogram, percent: float) -> Range:
    centers, counts = histogram.filled()
    if not len(counts):
        return 0.0, 0.0
    share = np.cumsum(counts) / counts.sum()
    low = np.searchsorted(share, 1 - percent / 100)
    high = min(int(np.searchsorted(share, percent / 100)), len(centers) - 1)
    return float(centers[low]), float(centers[high])


def mse(statistics: Statistics, levels: int) -> Range:
    """The range with the least mean squared error of rounding and clipping together."""
    low, high = _with_zero(statistics.low, statistics.high)
    centers, counts = statistics.histogram.filled()
    if low == high or levels > 1024:
        return low, high
    trials = [(low * share, high * share) for share in SHARES]
    best = min(trials, key=lambda trial: squared_error(centers, counts, trial, levels))
    trials = [(best[0] * share, best[1]) for share in SHARES] + [(best[0], best[1] * share) for share in SHARES]
    return min([best, *trials], key=lambda trial: squared_error(centers, counts, trial, levels))


def squared_error(centers: Array, counts: Array, chosen: Range, levels: int) -> float:
    """The squared error that quantizing numbers with a range makes, summed."""
    step = (chosen[1] - chosen[0]) / (levels - 1)
    if step <= 0:
        return float("inf")
    zero = np.round(-chosen[0] / step)
    found = (np.clip(np.round(centers / step) + zero, 0, levels - 1) - zero) * step
    return float(np.dot(counts, (found - centers) ** 2))


def entropy(statistics: Statistics, levels: int) -> Range:
    """The range whose quantized distribution diverges least from the one observed (Kullback-Leibler)."""
    low, high = _with_zero(statistics.low, statistics.high)
    centers, counts = statistics.histogram.centers, statistics.histogram.counts
    if low == high or levels > 1024:
        return low, high
    trials = [(low * share, high * share) for share in SHARES]
    return min(trials, key=lambda trial: _divergence(centers, counts, trial, levels))


def _divergence(centers: Array, counts: Array, chosen: Range, levels: int) -> float:
    """Of the clipped distribution from its quantized self; the mass outside counts at the ends."""
    inside = (centers >= chosen[0]) & (centers <= chosen[1])
    place = np.flatnonzero(inside)
    if len(place) < levels // 2:
        return float("inf")
    observed = counts[place].astype(np.float64)
    level = np.minimum(((centers[place] - chosen[0]) / (chosen[1] - chosen[0]) * levels).astype(int), levels - 1)
    mass, width = np.bincount(level, observed, levels), np.bincount(level, observed > 0, levels)
    quantized = np.where(observed > 0, (mass / np.maximum(width, 1))[level], 0.0)
    observed[0] += counts[: place[0]].sum()
    observed[-1] += counts[place[-1] + 1 :].sum()
    return _kullback_leibler(observed, quantized)


def _kullback_leibler(p: Array, q: Array) -> float:
    p, q = p / max(p.sum(), 1e-30), q / max(q.sum(), 1e-30)
    used = p > 0
    return float(np.sum(p[used] * np.log(p[used] / np.maximum(q[used], 1e-10))))


CALIBRATORS: dict[str, Calibrator] = {
    "min-max": min_max,
    "moving-average": moving_average,
    "percentile": percentile,
    "entropy": entropy,
    "mse": mse,
}
"""Every calibrator by its name."""
