"""Views: ops whose every element is an element of the operand, found by an index map."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ...errors import ModelError
from ..dims import known
from ..op import EXACT, Array, Op, arg, operator
from ..types import TensorType, broadcast, f32
from ..value import Value


class View(Op):
    """An op that renames the elements of one operand."""

    tolerance = EXACT
    moves = True
    takes_text = True


@operator("reshape")
class Reshape(View):
    """The same elements, in row-major order, under another shape."""

    x: Value
    shape: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        if math.prod(self.shape) != x.size:
            raise ModelError(f"{x.size} elements do not fill shape {list(self.shape)}")
        return x.with_shape(self.shape)

    def evaluate(self, x: Array) -> Array:
        return x.reshape(self.shape)

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 2, 3, 5), (6, 5))
        yield cls(arg(f32, 1), ())


@operator("transpose")
class Transpose(View):
    """Dimensions in another order: result dimension i is operand dimension perm[i]."""

    x: Value
    perm: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        if sorted(self.perm) != list(range(x.rank)):
            raise ModelError(f"{list(self.perm)} is not a permutation of {x.rank} dimensions")
        return x.with_shape(tuple(x.shape[p] for p in self.perm))

    def evaluate(self, x: Array) -> Array:
        return np.asarray(x.transpose(self.perm))

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 2, 3, 5), (2, 0, 1))
        yield cls(arg(f32, 1, 3, 17, 18), (0, 2, 3, 1))


@operator("slice")
class Slice(View):
    """`sizes` elements from `starts` in strides of `steps` (may be negative) along every dimension."""

    x: Value
    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    steps: tuple[int, ...] = ()

    def infer(self, x: TensorType) -> TensorType:
        self.steps = self.steps or (1,) * x.rank
        if not len(self.starts) == len(self.sizes) == len(self.steps) == x.rank:
            raise ModelError(f"starts, sizes and steps must have {x.rank} entries")
        for start, size, step, extent in zip(self.starts, self.sizes, self.steps, x.shape, strict=True):
            last = start + (size - 1) * step
            if not step or known(partial(_outside, start, size, last, extent)):
                raise ModelError(f"elements {start}, {start + step} .. {last} lie outside a dimension of {extent}")
        return x.with_shape(self.sizes)

    def evaluate(self, x: Array) -> Array:
        indices = [s + t * np.arange(n) for s, n, t in zip(self.starts, self.sizes, self.steps, strict=True)]
        return np.asarray(x[np.ix_(*indices)] if indices else x)

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 4, 9), (1, 2), (2, 5))
        yield cls(arg(f32, 5, 9), (4, 8), (5, 3), (-1, -3))


def _outside(start: int, size: int, last: int, extent: int) -> bool:
    return size < 0 or (size > 0 and not (0 <= start < extent and 0 <= last < extent))


@operator("expand")
class Expand(View):
    """The operand broadcast to a shape."""

    x: Value
    shape: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        if broadcast(x.shape, self.shape) != tuple(self.shape):
            raise ModelError(f"shape {list(x.shape)} does not broadcast to {list(self.shape)}")
        return x.with_shape(self.shape)

    def evaluate(self, x: Array) -> Array:
        return np.broadcast_to(x, self.shape)

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 3, 1), (2, 3, 5))


@operator("relayout")
class Relayout(View):
    """The same tensor stored in another physical order; layout assignment inserts it where bytes must move."""

    x: Value
    order: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        return x.with_order(self.order)

    def evaluate(self, x: Array) -> Array:
        return x

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 1, 3, 5, 6), (0, 2, 3, 1))


def channelwise(x: Value, rank: int) -> Value:
    """A vector [C] shaped to broadcast along axis 1 of a tensor of some rank."""
    return Reshape(x, (x.type.size, *[1] * (rank - 2))).result if rank > 2 else x
