"""Convolutions and matrix products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...errors import ModelError
from ..dims import lower
from ..op import Array, Op, Tolerance, arg, operator
from ..types import TensorType, broadcast, f32
from ..value import Value

ACCUMULATED = Tolerance(1e-5, 1e-5)


def window_extent(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    """How many windows fit along one dimension."""
    return (size + padding - dilation * (kernel - 1) - 1) // stride + 1


def window_extents(
    sizes: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...],
    pads: tuple[int, ...],
) -> tuple[int, ...]:  # fmt: skip
    """How many windows fit along each dimension; `pads` holds all begins, then all ends."""
    padding = [b + e for b, e in zip(pads[: len(sizes)], pads[len(sizes) :], strict=True)]
    return tuple(map(window_extent, sizes, kernel, strides, dilations, padding))


def windows(x: Array, kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]) -> Array:
    """All windows of an already padded [N, C, ...] array: [N, C, *positions, *kernel], a view."""
    spatial = tuple(range(2, x.ndim))
    extents = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True))
    view = sliding_window_view(x, extents, axis=spatial)
    steps = tuple(slice(None, None, s) for s in strides)
    taps = tuple(slice(None, None, d) for d in dilations)
    chosen = (slice(None), slice(None), *steps, *taps)
    return np.asarray(view[chosen])


def pad_spatial(x: Array, pads: tuple[int, ...], value: float = 0.0) -> Array:
    """An [N, C, ...] array with `pads` (all begins, then all ends) around its spatial dimensions."""
    half = len(pads) // 2
    return np.pad(x, [(0, 0), (0, 0), *zip(pads[:half], pads[half:], strict=True)], constant_values=value)


@operator("conv")
class Conv(Op):
    """Convolution of x [N, C, spatial...] with w [M, C/groups, kernel...] and an optional bias [M].

    `pads` holds all begins, then all ends. Any number of spatial dimensions.
    """

    x: Value
    w: Value
    bias: Value | None = None
    strides: tuple[int, ...] = (1, 1)
    pads: tuple[int, ...] = (0, 0, 0, 0)
    dilations: tuple[int, ...] = (1, 1)
    groups: int = 1
    kernel = "conv"
    tolerance = ACCUMULATED

    def infer(self, x: TensorType, w: TensorType, bias: TensorType | None) -> TensorType:
        spatial = x.rank - 2
        if spatial < 1 or w.rank != x.rank:
            raise ModelError(f"input has rank {x.rank}, weight has rank {w.rank}; both need the same, at least 3")
        if (len(self.strides), len(self.dilations), len(self.pads)) != (spatial, spatial, 2 * spatial):
            raise ModelError(f"strides, dilations and pads must be for {spatial} spatial dimensions")
        if min(self.strides) < 1 or min(self.dilations) < 1 or min(self.pads) < 0 or self.groups < 1:
            raise ModelError("strides, dilations and groups must be positive, pads not negative")
        if x.shape[1] != w.shape[1] * self.groups:
            raise ModelError(
                f"weight expects {w.shape[1] * self.groups} channels, input has {x.shape[1]}",
                hint=f"check group={self.groups}",
            )
        if w.shape[0] % self.groups:
            raise ModelError(f"{w.shape[0]} output channels do not divide into {self.groups} groups")
        if bias is not None and bias.shape != (w.shape[0],):
            raise ModelError(f"bias has shape {list(bias.shape)}, expected [{w.shape[0]}]")
        out = window_extents(x.shape[2:], w.shape[2:], self.strides, self.dilations, self.pads)
        if min(map(lower, out)) < 1:
            raise ModelError(f"kernel {list(w.shape[2:])} does not fit into input {list(x.shape[2:])} with its pads")
        return TensorType(x.dtype, (x.shape[0], w.shape[0], *out))

    def evaluate(self, x: Array, w: Array, bias: Array | None) -> Array:
        view = windows(pad_spatial(x, self.pads), w.shape[2:], self.strides, self.dilations)
        spatial, per_group = x.ndim - 2, w.shape[1]
        taps = list(range(2 + spatial, 2 + 2 * spatial))
        parts = []
        for g in range(self.groups):
            chunk = view[:, g * per_group : (g + 1) * per_group]
            weights = w.reshape(self.groups, -1, *w.shape[1:])[g]
            parts.append(np.tensordot(chunk, weights, ([1, *taps], list(range(1, w.ndim)))))
        found = np.moveaxis(np.concatenate(parts, axis=-1), -1, 1)
        return found if bias is None else found + bias.reshape(-1, *[1] * spatial)

    def macs(self) -> int:
        return self.type.size * math.prod(self.w.shape[1:])

    @property
    def is_depthwise(self) -> bool:
        """One input channel to each output channel, one output channel to each group."""
        return self.groups > 1 and self.w.shape[1] == 1 and self.w.shape[0] == self.groups

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 1, 3, 7, 9), arg(f32, 5, 3, 3, 3), arg(f32, 5), pads=(1, 1, 1, 1))
        yield cls(arg(f32, 2, 4, 9, 8), arg(f32, 6, 2, 2, 3), strides=(2, 1), dilations=(1, 2), groups=2)
        yield cls(arg(f32, 1, 5, 8, 6), arg(f32, 5, 1, 3, 3), arg(f32, 5), strides=(2, 2), pads=(0, 0, 1, 1), groups=5)
        yield cls(arg(f32, 1, 33, 4, 5), arg(f32, 17, 33, 1, 1))
        yield cls(arg(f32, 1, 4, 5, 5), arg(f32, 8, 1, 3, 3), groups=4)
        yield cls(arg(f32, 1, 2, 11), arg(f32, 3, 2, 4), strides=(2,), pads=(1, 2), dilations=(1,))


@operator("conv-transpose")
class ConvTranspose(Op):
    """Transposed convolution of x [N, C, spatial...] with w [C, M/groups, kernel...] (the gradient of `conv`)."""

    x: Value
    w: Value
    bias: Value | None = None
    strides: tuple[int, ...] = (1, 1)
    pads: tuple[int, ...] = (0, 0, 0, 0)
    dilations: tuple[int, ...] = (1, 1)
    output_padding: tuple[int, ...] = (0, 0)
    groups: int = 1
    tolerance = ACCUMULATED

    def infer(self, x: TensorType, w: TensorType, bias: TensorType | None) -> TensorType:
        if x.rank < 3 or w.rank != x.rank:
            raise ModelError(f"input has rank {x.rank}, weight has rank {w.rank}; both need the same, at least 3")
        if x.shape[1] != w.shape[0] or x.shape[1] % self.groups:
            what = f"weight expects {w.shape[0]} channels, input has {x.shape[1]}"
            raise ModelError(what, hint=f"group={self.groups}")
        out = [self._extent(x.shape[2 + i], w.shape[2 + i], i) for i in range(x.rank - 2)]
        if min(map(lower, out)) < 1:
            raise ModelError(f"pads {list(self.pads)} leave nothing of the output")
        return TensorType(x.dtype, (x.shape[0], w.shape[1] * self.groups, *out))

    def _extent(self, size: int, kernel: int, i: int) -> int:
        padding = self.pads[i] + self.pads[len(self.pads) // 2 + i]
        return (size - 1) * self.strides[i] + self.dilations[i] * (kernel - 1) + 1 + self.output_padding[i] - padding

    def evaluate(self, x: Array, w: Array, bias: Array | None) -> Array:
        spatial = x.ndim - 2
        half = len(self.pads) // 2
        borders = [self.pads[i] + self.pads[half + i] for i in range(spatial)]
        full = [self._extent(x.shape[2 + i], w.shape[2 + i], i) + borders[i] for i in range(spatial)]
        per_in, per_out = x.shape[1] // self.groups, w.shape[1]
        y = np.zeros((x.shape[0], per_out * self.groups, *full), x.dtype)
        for g in range(self.groups):
            for tap in np.ndindex(*w.shape[2:]):
                chosen = (slice(g * per_in, (g + 1) * per_in), slice(None), *tap)
                weights = w[chosen]
                part = np.tensordot(x[:, g * per_in : (g + 1) * per_in], weights, ([1], [0]))
                place = [
                    slice(t * d, t * d + (n - 1) * s + 1, s)
                    for t, d, s, n in zip(tap, self.dilations, self.strides, x.shape[2:], strict=True)
                ]
                target = (slice(None), slice(g * per_out, (g + 1) * per_out), *place)
                y[target] += np.moveaxis(part, -1, 1)
        crop = [slice(self.pads[i], full[i] - self.pads[half + i]) for i in range(spatial)]
        inside = (slice(None), slice(None), *crop)
        y = y[inside]
        return y if bias is None else y + bias.reshape(-1, *[1] * spatial)

    def macs(self) -> int:
        return self.x.type.size * math.prod(self.w.shape[1:])

    def expand(self) -> Value | None:
        from .phases import transposed_as_phases

        return transposed_as_phases(self)

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 1, 3, 4, 5), arg(f32, 3, 4, 2, 2), arg(f32, 4), strides=(2, 2))
        yield cls(arg(f32, 1, 4, 3, 4), arg(f32, 4, 3, 3, 3), strides=(2, 1), pads=(1, 1, 1, 1), output_padding=(1, 0))
        yield cls(arg(f32, 1, 4, 3, 5), arg(f32, 4, 2, 3, 2), strides=(1, 3), pads=(0, 1, 0, 0), groups=2)
        yield cls(arg(f32, 1, 2, 5, 4), arg(f32, 2, 2, 3, 3), strides=(3, 2), pads=(0, 0, 1, 2), dilations=(2, 1))


@operator("matmul", onnx="MatMul")
class MatMul(Op):
    """Matrix product a [..., M, K] by b [..., K, N]; leading dimensions broadcast, vectors as in numpy."""

    a: Value
    b: Value
    kernel = "conv"
    tolerance = ACCUMULATED

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        if not a.rank or not b.rank or a.shape[-1] != b.shape[-2 if b.rank > 1 else 0]:
            raise ModelError(f"shapes {list(a.shape)} and {list(b.shape)} do not multiply")
        if a.dtype != b.dtype:
            raise ModelError(f"operands have different element types: {a.dtype.name}, {b.dtype.name}")
        rows = a.shape[-2:-1] if a.rank > 1 else ()
        columns = b.shape[-1:] if b.rank > 1 else ()
        return TensorType(a.dtype, (*broadcast(a.shape[:-2], b.shape[:-2]), *rows, *columns))

    def evaluate(self, a: Array, b: Array) -> Array:
        return np.asarray(np.matmul(a, b))

    def macs(self) -> int:
        return self.type.size * self.a.shape[-1]

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 5, 7), arg(f32, 7, 9))
        yield cls(arg(f32, 2, 3, 5, 7), arg(f32, 3, 7, 33))
        yield cls(arg(f32, 1, 70), arg(f32, 70, 10))
        yield cls(arg(f32, 4, 3, 6), arg(f32, 6, 5))
