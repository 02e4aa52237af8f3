"""Weights as integers with scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .schemes import Scheme

Array = np.ndarray
TINY = float(np.finfo(np.float32).tiny)
SHARES = np.linspace(1.0, 0.4, 31)
TERNARY_THRESHOLD = 0.7


@dataclass
class Code:
    """The weights of a layer, row by row: integers [R, K], scales [R, groups], `group` weights to a scale.

    One scale stands for the whole row where `group` is K; `shift` [R] is to be added to the outputs of the rows.
    """

    integers: Array
    scale: Array
    group: int
    shift: Array | None = None

    @property
    def scales(self) -> Array:
        """The scale of each weight: [R, K]."""
        return np.repeat(self.scale, self.group, axis=1)[:, : self.integers.shape[1]]

    @property
    def floats(self) -> Array:
        """The weights that the integers stand for."""
        return np.asarray(self.integers.astype(np.float32) * self.scales)


def encode(rows: Array, scheme: Scheme, importance: Array | None = None, least: Array | None = None) -> Code:
    """Weights [R, K] rounded to nearest; `importance` [R or 1, K] is how much the error of each counts.

    `least` [R] is what the scales of each row are at least.
    """
    length = rows.shape[1]
    group = length if scheme.group <= 0 else min(scheme.group, length)
    parts = grouped(rows, group)
    weight = np.ones((1, *parts.shape[1:])) if importance is None else grouped(importance, group)
    scale = _scales(parts, scheme, weight)
    scale = scale if least is None else np.maximum(scale, least[:, None]).astype(np.float32)
    if scheme.group < 0:
        scale = np.full_like(scale, scale.max())
    if scheme.weights == "ternary":
        integers = np.where(np.abs(parts) > _threshold(parts), np.sign(parts), 0.0)
    elif scheme.weights == "binary":
        integers = np.where(parts < 0, -1.0, 1.0)
    else:
        integers = np.clip(np.round(parts / scale[..., None]), *scheme.limits)
    flat = integers.reshape(len(rows), -1)[:, :length]
    return Code(flat.astype(np.int8), scale.astype(np.float32), group)


def grouped(rows: Array, group: int) -> Array:
    """[R, K] as [R, groups, group], zeros after the end."""
    count = -(-rows.shape[1] // group)
    padded = np.pad(rows, [(0, 0), (0, count * group - rows.shape[1])])
    return padded.reshape(len(rows), count, group)


def _threshold(parts: Array) -> Array:
    return np.asarray(TERNARY_THRESHOLD * np.abs(parts).mean(axis=-1, keepdims=True))


def _scales(parts: Array, scheme: Scheme, importance: Array) -> Array:
    """One scale for each group [R, groups]; 1 where all weights are zero, so that they stay zero."""
    reach = np.abs(parts).max(axis=-1)
    if scheme.weights == "binary":
        scale = np.abs(parts).mean(axis=-1)
    elif scheme.weights == "ternary":
        kept = np.abs(parts) > _threshold(parts)
        scale = np.where(kept, np.abs(parts), 0).sum(axis=-1) / np.maximum(kept.sum(axis=-1), 1)
    elif scheme.weights == "int4":
        scale = _searched(parts, reach / scheme.limits[1], scheme.limits, importance)
    else:
        scale = reach / scheme.limits[1]
    return np.where(scale < TINY, 1.0, scale).astype(np.float32)


def _searched(parts: Array, scale: Array, limits: tuple[int, int], importance: Array) -> Array:
    """For each group the share of its scale with the least squared error."""
    best, least = scale, np.full(scale.shape, np.inf)
    for share in SHARES:
        trial = np.maximum(scale * share, TINY)[..., None]
        error = (np.clip(np.round(parts / trial), *limits) * trial - parts) ** 2
        found = (error * importance).sum(axis=-1)
        best, least = np.where(found < least, trial[..., 0], best), np.minimum(found, least)
    return np.asarray(best)
