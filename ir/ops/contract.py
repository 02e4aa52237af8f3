"""Contractions and windows of any rank and type, as one sum or maximum of elements at strides."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, Tolerance, arg, operator
from ..types import TensorType, f32, f64, i32, u8
from ..value import Value
from .routine import MAX_RANK, Number, Routine

REDUCTIONS = ("add", "max")
Strides = tuple[int, ...]


@operator("contract")
class Contract(Routine):
    """The sum of x * w (of x where there is no w), or the largest x, over `reduced` places for each place of `shape`.

    The operands are row-major. The strides, in elements, say how far each step along `shape` and then along `reduced`
    leads in x and in w. Floats are summed in double precision and rounded once; integers wrap around.
    """

    x: Value
    w: Value | None = None
    reduction: str = "add"
    shape: tuple[int, ...] = ()
    reduced: tuple[int, ...] = ()
    x_strides: Strides = ()
    w_strides: Strides = ()
    family = "contract"
    tolerance = Tolerance(1e-6, 1e-6)

    def infer(self, x: TensorType, w: TensorType | None) -> TensorType:
        if self.reduction not in REDUCTIONS or (self.reduction == "max" and w is not None):
            raise ModelError(f"cannot contract by '{self.reduction}'", hint="add, or max of one operand")
        if max(len(self.shape), len(self.reduced)) > MAX_RANK:
            raise ModelError(f"more than {MAX_RANK} dimensions: {list(self.shape)} over {list(self.reduced)}")
        if w is not None and w.dtype != x.dtype:
            raise ModelError(f"operands have different element types: {x.dtype.name}, {w.dtype.name}")
        self._check_reach(x, self.x_strides)
        if w is not None:
            self._check_reach(w, self.w_strides)
        return TensorType(x.dtype, self.shape)

    def _check_reach(self, kind: TensorType, strides: Strides) -> None:
        extents = (*self.shape, *self.reduced)
        if len(strides) != len(extents) or min(strides, default=0) < 0 or min(self.reduced, default=1) < 1:
            raise ModelError(f"strides {list(strides)} do not fit extents {list(extents)}")
        if sum((n - 1) * s for n, s in zip(extents, strides, strict=True)) >= kind.size:
            raise ModelError(f"strides {list(strides)} lead out of {kind}")

    def evaluate(self, x: Array, w: Array | None) -> Array:
        axes, rank = list(range(len(self.x_strides))), len(self.shape)
        seen = self._seen(x, self.x_strides)
        if self.reduction == "max":
            return np.asarray(seen.max(axis=tuple(axes[rank:])))
        factors: list[Any] = [seen, axes] if w is None else [seen, axes, self._seen(w, self.w_strides), axes]
        wide: Any = np.float64 if x.dtype.kind == "f" else x.dtype
        return np.asarray(np.einsum(*factors, axes[:rank], dtype=wide)).astype(x.dtype)

    def _seen(self, array: Array, strides: Strides) -> Array:
        flat = np.ascontiguousarray(array)
        steps = tuple(s * flat.itemsize for s in strides)
        return np.lib.stride_tricks.as_strided(flat, (*self.shape, *self.reduced), steps, writeable=False)

    def numbers(self) -> dict[str, Number]:
        rank = len(self.shape)
        return {
            "type": self.x.dtype, "reduction": self.reduction, "rank": rank, "depth": len(self.reduced),
            "extents": self.shape or (1,), "x_strides": self.x_strides[:rank] or (0,),
            "w_strides": self.w_strides[:rank] or (0,), "reduced": self.reduced or (1,),
            "x_steps": self.x_strides[rank:] or (0,), "w_steps": self.w_strides[rank:] or (0,),
        }  # fmt: skip

    @property
    def tasks(self) -> int:
        return math.prod(self.shape)

    def macs(self) -> int:
        return math.prod((*self.shape, *self.reduced))

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f64, 2, 3, 7), arg(f64, 7, 5), "add", (2, 3, 5), (7,), (21, 7, 0, 1), (0, 0, 1, 5))
        yield cls(arg(i32, 4, 6), arg(i32, 6), "add", (4,), (6,), (6, 1), (0, 1))
        yield cls(arg(u8, 5, 9), None, "max", (2, 4), (2, 3), (18, 2, 9, 1))
        yield cls(arg(f32, 3, 4), None, "add", (), (3, 4), (4, 1))
