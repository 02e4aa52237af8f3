"""Cases that expect other numbers than ONNX's own words ask for, and the numbers that these words give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Dispute:
    """Why the expected numbers are not those of the standard, and what the first input gives by its words."""

    reason: str
    by_the_words: Callable[[Array], Array]


def _pixels(*rows: list[float]) -> Array:
    return np.array(rows)[None, None]


ALIGNED = "aligns the corners of {scaled} pixels; by the words of Resize (length_resized) the result has {count}"

DISPUTES = {
    "test_resize_downsample_scales_cubic_align_corners": Dispute(
        ALIGNED.format(scaled="0.8 x 4 = 3.2", count=3), lambda x: _pixels([1, 2.5, 4], [7, 8.5, 10], [13, 14.5, 16])
    ),
    "test_resize_downsample_scales_linear_align_corners": Dispute(
        ALIGNED.format(scaled="0.6 x 4 = 2.4", count=2), lambda x: _pixels([1, 4])
    ),
}
"""By the name of the case. One that passes does not belong here."""
