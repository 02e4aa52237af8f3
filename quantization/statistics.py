"""What is remembered of one tensor while calibration data runs through the network."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .histogram import Histogram

Array = np.ndarray
COUNTED = 4096
"""How many elements of a tensor one sample adds to its histogram; the least and the largest count all."""
MOMENTUM = 0.1


@dataclass
class Statistics:
    """Least and largest number, their moving averages over samples, a histogram; all of a size that never grows."""

    low: float = float("inf")
    high: float = float("-inf")
    average_low: float = 0.0
    average_high: float = 0.0
    samples: int = 0
    histogram: Histogram = field(default_factory=Histogram)

    def add(self, stacked: Array) -> None:
        """Take in a tensor of several samples, stacked along the first axis."""
        flat = stacked.reshape(len(stacked), -1)
        if not flat.size:
            return
        for low, high in zip(flat.min(axis=1), flat.max(axis=1), strict=True):
            self._average(float(low), float(high))
        self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
        self.histogram.add(flat[:, :: _stride(flat.shape[1])])
        self.histogram.cover(max(self.high, -self.low))

    def _average(self, low: float, high: float) -> None:
        share = MOMENTUM if self.samples else 1.0
        self.average_low += share * (low - self.average_low)
        self.average_high += share * (high - self.average_high)
        self.samples += 1

    def merged(self, other: Statistics) -> Statistics:
        """The statistics of the numbers of both tensors."""
        return Statistics(
            min(self.low, other.low),
            max(self.high, other.high),
            min(self.average_low, other.average_low),
            max(self.average_high, other.average_high),
            max(self.samples, other.samples),
            self.histogram.merged(other.histogram),
        )

    @property
    def reach(self) -> float:
        """The largest magnitude."""
        return max(self.high, -self.low, 0.0) if self.samples else 0.0


def _stride(size: int) -> int:
    """An odd step through that many elements, so that no axis of even size is always met at the same place."""
    step = -(-size // COUNTED)
    return step if step % 2 else step + 1


@dataclass
class Channels:
    """For each channel of a tensor: its mean and its largest magnitude."""

    axis: int
    total: Array | None = None
    reach: Array | None = None
    count: int = 0

    def add(self, stacked: Array) -> None:
        """Take in a tensor of several samples, stacked along a new first axis."""
        rows = np.moveaxis(stacked, self.axis + 1, -1).reshape(-1, stacked.shape[self.axis + 1])
        total, reach = rows.sum(axis=0, dtype=np.float64), np.abs(rows).max(axis=0)
        self.total = total if self.total is None else self.total + total
        self.reach = reach if self.reach is None else np.maximum(self.reach, reach)
        self.count += len(rows)

    @property
    def mean(self) -> Array:
        """The mean of each channel."""
        assert self.total is not None
        return np.asarray(self.total / max(self.count, 1))
