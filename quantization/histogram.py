"""A histogram that streams: its range grows by powers of two, so that any two of them can be merged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray
BINS = 8192
SMALLEST = -100


def _zeros() -> Array:
    return np.zeros(BINS, np.int64)


@dataclass
class Histogram:
    """Counts of numbers in `BINS` equal bins over [-2**exponent, 2**exponent]."""

    exponent: int = SMALLEST
    counts: Array = field(default_factory=_zeros)

    def add(self, numbers: Array) -> None:
        """Count finite numbers."""
        if not numbers.size:
            return
        self.cover(float(max(numbers.max(), -numbers.min())))
        places = np.floor(numbers * np.float32(BINS / 2.0 ** (self.exponent + 1))).astype(np.int32)
        places = np.clip(places + BINS // 2, 0, BINS - 1)
        self.counts += np.bincount(places.ravel(), minlength=BINS)

    def cover(self, largest: float) -> None:
        """Let the range reach a magnitude."""
        if largest > 2.0**self.exponent:
            self._grow(int(np.ceil(np.log2(largest))) - self.exponent)

    def _grow(self, doublings: int) -> None:
        """Merge 2**doublings neighbouring bins, symmetrically about zero."""
        self.exponent += doublings
        half = BINS // 2
        width = 2 ** min(doublings, 30)
        places = half + np.floor((np.arange(BINS) - half) / width).astype(np.int64)
        self.counts = np.bincount(places, self.counts, BINS).astype(np.int64)

    def merged(self, other: Histogram) -> Histogram:
        """The histogram of the numbers of both."""
        found = Histogram(self.exponent, self.counts.copy())
        found.cover(2.0**other.exponent)
        added = Histogram(other.exponent, other.counts)
        added.cover(2.0**found.exponent)
        found.counts = found.counts + added.counts
        return found

    @property
    def centers(self) -> Array:
        """The number in the middle of each bin."""
        width = 2.0 ** (self.exponent + 1) / BINS
        return (np.arange(BINS) - BINS // 2 + 0.5) * width

    @property
    def total(self) -> int:
        """How many numbers were counted."""
        return int(self.counts.sum())

    def filled(self) -> tuple[Array, Array]:
        """The centers and counts of the bins that are not empty."""
        used = self.counts.nonzero()[0]
        return self.centers[used], self.counts[used]
