"""Rules: resizing, in all the forms that it has had."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ModelError
from .dims import Undecided, described, is_open
from .onnx_rules import Node, NotCovered, rule
from .onnx_rules_math import cast
from .ops import Div, Gather, Reduce, Resize, ResizeAxis, array_of, constant
from .ops.resize import COORDINATES
from .types import f64, normal_axis
from .value import Value

CROPPING = "tf_crop_and_resize"


@rule("Upsample")
def upsample(node: Node) -> Value:
    """The old form: scales only, as attribute (7) or operand (9)."""
    scales = node.attributes.get("scales") if node.version < 9 else node.optional(1)
    return _by_scales(node, scales, 1)


def _by_scales(node: Node, scales: Any, position: int) -> Value:
    if not isinstance(scales, Value) or array_of(scales) is not None:
        given = _floats(node, position) if isinstance(scales, Value) else scales or ()
        return _resized(node.x, _scaled(node.x, given), given, _mode(node), "asymmetric", "floor")
    axes = tuple(range(node.x.rank))
    steps = dict(enumerate(_at_run_time(scales, axes)))
    options = {"mode": _mode(node), "coordinates": "asymmetric", "rounding": "floor"}
    return _along(node.x, node.declared_shape(0, "scales"), steps, None, options)


@rule("Resize")
def resize(node: Node) -> Value:
    """From version 11 on with sizes, coordinate transformations and more."""
    x = node.x
    if node.version < 11:
        return _by_scales(node, node.optional(1), 1)
    axes = node.ints("axes")
    axes = tuple(range(x.rank)) if axes is None else tuple(normal_axis(a, x.rank) for a in axes)
    coordinates, region = node.text("coordinate_transformation_mode"), None
    if coordinates not in (*COORDINATES, CROPPING):
        raise NotCovered(f"coordinate transformation '{coordinates}'", ", ".join((*COORDINATES, CROPPING)))
    sizes, scales = _extents(node, axes)
    options: dict[str, Any] = {
        "mode": _mode(node), "coordinates": coordinates, "rounding": node.text("nearest_mode"),
        "cubic_coefficient": node.number("cubic_coeff_a"), "exclude_outside": node.flag("exclude_outside"),
    }  # fmt: skip
    plain = not node.flag("antialias") and coordinates != CROPPING
    if plain and not any(isinstance(s, Value) for s in scales):
        return _resized(x, sizes, [float(s) for s in scales if not isinstance(s, Value)], **options)
    if coordinates == CROPPING:
        region = cast(node.input(1), f64)
        if region.shape != (2 * len(axes),):
            raise ModelError(f"a region {region.type} does not fit {len(axes)} axes")
    options |= {"antialias": node.flag("antialias"), "outside": node.number("extrapolation_value")}
    moved = {axis: scales[axis] for axis in axes}
    return _along(x, sizes, moved, None if region is None else _regions(region, axes), options)


def _regions(region: Value, axes: tuple[int, ...]) -> dict[int, Value]:
    """Start and end along each axis."""
    count = len(axes)
    return {axis: Gather(region, constant(np.array([i, i + count])), 0).result for i, axis in enumerate(axes)}


def _along(
    x: Value, sizes: Sequence[int], scales: Mapping[int, Value | float], regions: dict[int, Value] | None,
    options: dict[str, Any],
) -> Value:  # fmt: skip
    """One axis after the other, as far as something may change there."""
    if len(sizes) != x.rank or min(sizes, default=0) < 1:
        raise ModelError(f"sizes {list(sizes)} do not fit {x.type}")
    for axis, scale in scales.items():
        same = x.shape[axis] == sizes[axis] and regions is None
        if same and (sizes[axis] == 1 or scale == 1.0):
            continue
        step = scale if isinstance(scale, Value) else constant(np.array(scale, np.float64))
        x = ResizeAxis(x, step, regions[axis] if regions else None, axis, sizes[axis], **options).result
    return x


def _at_run_time(scales: Value, axes: Sequence[int]) -> list[Value]:
    """The scale of each axis as a number of its own."""
    if scales.shape != (len(axes),) or not scales.dtype.is_float:
        raise ModelError(f"scales {scales.type} for {len(axes)} axes")
    wide = cast(scales, f64)
    return [Gather(wide, constant(np.array(i)), 0).result for i in range(len(axes))]


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
    return tuple(_times(d, s) for d, s in zip(x.shape, scales, strict=True))


def _times(extent: int, scale: float) -> int:
    if not is_open(extent):
        return math.floor(extent * scale)
    if not scale.is_integer():
        raise Undecided(f"{described(extent)} times {scale} is known only at run time", hint="fix the size")
    return extent * int(scale)


Scales = tuple[Value | float, ...]


def _extents(node: Node, axes: tuple[int, ...]) -> tuple[tuple[int, ...], Scales]:
    """Sizes and scales of all dimensions, from whichever of the two is given for `axes`."""
    x = node.x
    scales: list[Value | float] = [1.0] * x.rank
    if node.has(3) and node.input(3).type.size:
        return _from_sizes(node, axes)
    known = array_of(node.input(2)) is not None
    given: Sequence[Value | float] = _floats(node, 2) if known else _at_run_time(node.input(2), axes)
    if len(given) != len(axes):
        raise ModelError(f"{len(given)} scales for {len(axes)} axes")
    for axis, scale in zip(axes, given, strict=True):
        scales[axis] = scale
    if not known:
        return node.declared_shape(0, "scales"), tuple(scales)
    return _scaled(x, [float(s) for s in scales if not isinstance(s, Value)]), tuple(scales)


def _from_sizes(node: Node, axes: tuple[int, ...]) -> tuple[tuple[int, ...], Scales]:
    shape, policy = node.x.shape, node.text("keep_aspect_ratio_policy", "stretch")
    if array_of(node.input(3)) is None:
        return _from_declared(node, axes, policy)
    given = node.known_ints(3, "sizes")
    if len(given) != len(axes) or min(given) < 1:
        raise ModelError(f"sizes {list(given)} for {len(axes)} axes")
    ratios = [size / shape[axis] for size, axis in zip(given, axes, strict=True)]
    sizes, scales = list(shape), [1.0] * len(shape)
    common = {"not_larger": min(ratios), "not_smaller": max(ratios)}.get(policy)
    for axis, size, ratio in zip(axes, given, ratios, strict=True):
        sizes[axis] = size if common is None else math.floor(common * shape[axis] + 0.5)
        scales[axis] = ratio if common is None else common
    return tuple(sizes), tuple(scales)


def _from_declared(node: Node, axes: tuple[int, ...], policy: str) -> tuple[tuple[int, ...], Scales]:
    """Sizes that are computed are those that the model declares; a common scale is the quotient of one of them."""
    shape, sizes = node.x.shape, node.declared_shape(0, "sizes")
    if len(sizes) != len(shape):
        raise ModelError(f"its result is declared as {list(sizes)}")
    scales: list[Value | float] = [s / d for s, d in zip(sizes, shape, strict=True)]
    if policy == "stretch":
        return sizes, tuple(scales)
    extents = constant(np.array([shape[a] for a in axes], np.float64))
    ratios = Div(cast(node.input(3), f64), extents).result
    common = Reduce(ratios, "min" if policy == "not_larger" else "max", (0,), False).result
    return sizes, tuple(common if a in axes else s for a, s in enumerate(scales))


def _resized(
    x: Value, sizes: Sequence[int], scales: Sequence[float], mode: str, coordinates: str, rounding: str, **options: Any
) -> Value:
    if x.shape == tuple(sizes) and all(s == 1 for s in scales):
        return x
    return Resize(x, tuple(sizes), tuple(scales), mode, coordinates, rounding, **options).result
