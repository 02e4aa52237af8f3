"""Which weights of a layer stay. Importance and masks have the shape [outputs, what one output sums over]."""

from __future__ import annotations

import numpy as np

from .schemes import PATTERN, Scheme

Array = np.ndarray


def mask_of(importance: Array, scheme: Scheme) -> Array:
    """True for the weights that stay under a scheme of single weights; of equal ones the first stay."""
    if scheme.kind == PATTERN:
        return pattern_mask(importance, scheme.kept, scheme.group)
    return largest_mask(importance, round((1 - scheme.share) * importance.size))


def largest_mask(importance: Array, count: int) -> Array:
    """The `count` most important of all weights."""
    mask = np.zeros(importance.size, bool)
    mask[np.argsort(-importance.reshape(-1), kind="stable")[:count]] = True
    return mask.reshape(importance.shape)


def pattern_mask(importance: Array, kept: int, group: int) -> Array:
    """At most `kept` of each `group` neighbours along a row; the last group may be shorter."""
    rows, length = importance.shape
    padded = np.full((rows, -(-length // group) * group), -np.inf)
    padded[:, :length] = importance
    order = np.argsort(-padded.reshape(rows, -1, group), axis=-1, kind="stable")
    mask = np.zeros(order.shape, bool)
    np.put_along_axis(mask, order[..., :kept], True, axis=-1)
    return mask.reshape(rows, -1)[:, :length]
