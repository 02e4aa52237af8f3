"""Matrix products whose right operand is packed into panels while the network runs."""

from __future__ import annotations

from functools import partial
from operator import gt
from typing import Any

import numpy as np

from ...errors import ModelError
from ..dims import known
from ..op import EXACT, Array, Op, arg, operator
from ..types import TensorType, broadcast, f32
from ..value import Value
from .contraction import ACCUMULATED


@operator("pack-panels")
class PackPanels(Op):
    """b [..., K, N] as [..., panels, K, panel]: columns in panels of a fixed width, the last filled with zeros."""

    b: Value
    panel: int
    tolerance = EXACT

    def infer(self, b: TensorType) -> TensorType:
        if b.rank < 2 or self.panel < 1:
            raise ModelError(f"needs a matrix and a positive panel, has {b} and {self.panel}")
        panels = -(-b.shape[-1] // self.panel)
        return b.with_shape((*b.shape[:-2], panels, b.shape[-2], self.panel))

    def evaluate(self, b: Array) -> Array:
        panels = self.type.shape[-3]
        wide = np.zeros((*b.shape[:-1], panels * self.panel), b.dtype)
        wide[..., : b.shape[-1]] = b
        return np.swapaxes(wide.reshape(*b.shape[:-1], panels, self.panel), -2, -3)

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 2, 5, 37), 16)


@operator("panel-matmul")
class PanelMatMul(Op):
    """a [..., M, K] times a right operand in panels [..., panels, K, panel], of which `columns` columns count."""

    a: Value
    panels: Value
    columns: int
    kernel = "conv"
    tolerance = ACCUMULATED

    def infer(self, a: TensorType, panels: TensorType) -> TensorType:
        if a.shape[-1] != panels.shape[-2] or known(partial(gt, self.columns, panels.shape[-3] * panels.shape[-1])):
            raise ModelError(f"shapes {list(a.shape)} and {list(panels.shape)} do not multiply")
        return a.with_shape((*broadcast(a.shape[:-2], panels.shape[:-3]), a.shape[-2], self.columns))

    def evaluate(self, a: Array, panels: Array) -> Array:
        b = np.swapaxes(panels, -2, -3)
        b = b.reshape(*b.shape[:-2], -1)[..., : self.columns]
        return np.asarray(np.matmul(a, b))

    def macs(self) -> int:
        return self.type.size * self.a.shape[-1]

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 2, 5, 7), arg(f32, 2, 3, 7, 16), 37)
