"""Streaming histograms and the ranges that calibrators make of them."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.errors import UsageError
from edgec.quantization.calibrators import CALIBRATORS, calibrate, squared_error
from edgec.quantization.histogram import Histogram
from edgec.quantization.statistics import Statistics


def statistics(numbers: np.ndarray, chunk: int = 100) -> Statistics:
    found = Statistics()
    for start in range(0, len(numbers), chunk):
        found.add(numbers[start : start + chunk, None].astype(np.float32))
    return found


def test_histogram_grows_to_what_one_go_gives() -> None:
    numbers = np.float32(np.random.default_rng(0).standard_normal(5000) * np.logspace(-6, 3, 5000))
    streamed, whole = Histogram(), Histogram()
    whole.cover(float(np.abs(numbers).max()))
    whole.add(numbers)
    for part in np.array_split(numbers, 50):
        streamed.add(part)
    assert streamed.exponent == whole.exponent
    assert streamed.total == whole.total == 5000
    assert np.array_equal(streamed.counts, whole.counts)


def test_histograms_merge() -> None:
    rng = np.random.default_rng(1)
    small, large, both = Histogram(), Histogram(), Histogram()
    parts = np.float32(rng.standard_normal(500) * 0.01), np.float32(rng.standard_normal(500) * 90)
    for histogram, part in zip((small, large), parts, strict=True):
        histogram.add(part)
        both.add(part)
    assert np.array_equal(small.merged(large).counts, both.counts)
    assert np.array_equal(large.merged(small).counts, both.counts)


@pytest.mark.parametrize("name", CALIBRATORS)
def test_ranges_hold_zero_and_lie_within_the_data(name: str) -> None:
    numbers = np.random.default_rng(2).exponential(1, 20000) + 0.5
    low, high = calibrate(name, statistics(numbers), 256)
    assert low == 0
    assert 1 < high <= numbers.max() * 1.001


def test_mse_clips_outliers_and_errs_less_than_min_max() -> None:
    numbers = np.append(np.random.default_rng(3).standard_normal(20000), [40.0])
    seen = statistics(numbers)
    centers, counts = seen.histogram.filled()
    chosen = calibrate("mse", seen, 256)
    assert chosen[1] < 40
    assert squared_error(centers, counts, chosen, 256) < squared_error(centers, counts, (seen.low, seen.high), 256)


@pytest.mark.parametrize("name", CALIBRATORS)
@pytest.mark.parametrize("value", [0.0, 3.5, -2.0])
def test_constant_tensor(name: str, value: float) -> None:
    low, high = calibrate(name, statistics(np.full(300, value)), 256)
    assert (low, high) == (pytest.approx(min(value, 0), rel=0.01), pytest.approx(max(value, 0), rel=0.01))


def test_percentile_with_a_number() -> None:
    numbers = np.linspace(0, 1, 10001)
    assert calibrate("percentile:90", statistics(numbers), 256)[1] == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("name", ["best", "percentile:hundred", "percentile:120", "mse:2"])
def test_unknown_calibrators(name: str) -> None:
    with pytest.raises(UsageError):
        calibrate(name, statistics(np.ones(3)), 256)
