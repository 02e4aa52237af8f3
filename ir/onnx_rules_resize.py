"""Rules: resizing, in all the forms that it has had."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ModelError
from .onnx_rules import Node, NotCovered, rule
from .ops import Resize, array_of
from .ops.resize import COORDINATES
from .types import normal_axis
from .value import Value


@rule("Upsample")
def upsample(node: Node) -> Value:
    """The old form: scales only, as attribute (7) or operand (9)."""
    scales = _upsample_scales(node)
    return _resized(node.x, _scaled(node.x, scales), scales, _mode(node), "asymmetric", "floor")


def _upsample_scales(node: Node) -> tuple[float, ...]:
    """Known scales, or those that the declared shape of the result implies."""
    if node.version < 9:
        return tuple(node.attributes.get("scales") or ())
    if array_of(node.input(1)) is None and len(node.declared or ()) == node.x.rank:
        return tuple(y / x for x, y in zip(node.x.shape, node.declared or (), strict=True))
    return _floats(node, 1)


@rule("Resize")
def resize(node: Node) -> Value:
    """From version 11 on with sizes, coordinate transformations and more."""
    x = node.x
    if node.version < 11:
        scales = _floats(node, 1)
        return _resized(x, _scaled(x, scales), scales, _mode(node), "asymmetric", "floor")
    axes = node.ints("axes")
    axes = tuple(range(x.rank)) if axes is None else tuple(normal_axis(a, x.rank) for a in axes)
    sizes, scales = _extents(node, axes)
    coordinates = node.text("coordinate_transformation_mode")
    if coordinates not in COORDINATES:
        raise NotCovered(f"coordinate transformation '{coordinates}'", ", ".join(COORDINATES))
    if node.flag("antialias"):
        raise NotCovered("antialiasing", "antialias = 0")
    options = {"cubic_coefficient": node.number("cubic_coeff_a"), "exclude_outside": node.flag("exclude_outside")}
    return _resized(x, sizes, scales, _mode(node), coordinates, node.text("nearest_mode"), **options)


def _mode(node: Node) -> str:
    mode = node.text("mode")
    if mode not in ("nearest", "linear", "bilinear", "cubic"):
        raise ModelError(f"there is no mode '{mode}'")
    return mode.removeprefix("bi")


def _floats(node: Node, position: int) -> tuple[float, ...]:
    found = node.known(position, "scales")
    if found.ndim != 1 or found.dtype.kind != "f" or not np.isfinite(found).all() or (found <= 0).any():
        raise ModelError("scales must be a list of positive numbers")
    return tuple(float(v) for v in found)


def _scaled(x: Value, scales: Sequence[float]) -> tuple[int, ...]:
    if len(scales) != x.rank or min(scales, default=1) <= 0:
        raise ModelError(f"{len(scales)} scales do not fit an input of rank {x.rank}")
    return tuple(math.floor(d * s) for d, s in zip(x.shape, scales, strict=True))


def _extents(node: Node, axes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Sizes and scales of all dimensions, from whichever of the two is given for `axes`."""
    x = node.x
    if node.has(3) and node.known(3, "sizes").size:
        return _from_sizes(node, axes, node.known_ints(3, "sizes"))
    scales = [1.0] * x.rank
    given = _floats(node, 2)
    if len(given) != len(axes):
        raise ModelError(f"{len(given)} scales for {len(axes)} axes")
    for axis, scale in zip(axes, given, strict=True):
        scales[axis] = scale
    return _scaled(x, scales), tuple(scales)


def _from_sizes(node: Node, axes: tuple[int, ...], given: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    shape = node.x.shape
    if len(given) != len(axes) or min(given) < 1:
        raise ModelError(f"sizes {list(given)} for {len(axes)} axes")
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    ratios = [size / shape[axis] for size, axis in zip(given, axes, strict=True)]
    sizes, scales = list(shape), [1.0] * len(shape)
    common = {"not_larger": min(ratios), "not_smaller": max(ratios)}.get(policy)
    for axis, size, ratio in zip(axes, given, ratios, strict=True):
        sizes[axis] = size if common is None else math.floor(common * shape[axis] + 0.5)
        scales[axis] = ratio if common is None else common
    return tuple(sizes), tuple(scales)


def _resized(
    x: Value, sizes: Sequence[int], scales: Sequence[float], mode: str, coordinates: str, rounding: str, **options: Any
) -> Value:
    if x.shape == tuple(sizes) and all(s == 1 for s in scales):
        return x
    return Resize(x, tuple(sizes), tuple(scales), mode, coordinates, rounding, **options).result
