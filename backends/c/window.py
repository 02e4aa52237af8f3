"""The numbers of a windowed kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...ir.dims import is_open, magnitude
from ...kernels.table import Tile
from .code import Expression, Infix, Name, Structure, size
from .sizes import number


@dataclass(frozen=True)
class Window:
    """The numbers of `ec_conv_shape`."""

    batch: int
    groups: int
    out_h: int
    out_w: int
    out_c: int
    in_c: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    x: tuple[int, int, int]
    y: tuple[int, int, int]
    block_h: int = 1
    block_c: int = 1
    apart: bool = False
    halves: bool = False
    """Whether results are stored in f16."""
    number: int = 4
    """Bytes of a number that is read."""
    by_rows: bool = False
    """Whether tasks are rows of all panels, and those that are given one block."""

    @property
    def depth(self) -> int:
        """Products in one sum."""
        return self.in_c * math.prod(self.kernel)

    @property
    def pixel(self) -> int:
        """Bytes from a pixel that is read for one output to that of the next."""
        return self.number * magnitude(self.x[2]) * self.strides[1]

    @property
    def sizes(self) -> tuple[int, ...]:
        """All numbers but those of the blocks."""
        extents = (self.batch, self.groups, self.out_h, self.out_w, self.out_c, self.in_c)
        return (*extents, *self.kernel, *self.strides, *self.dilations, *self.x, *self.y)

    def declare(self, name: str) -> Structure:
        """The shape as a constant structure."""
        numbers = {
            "batch": self.batch, "groups": self.groups, "out_h": self.out_h, "out_w": self.out_w, "out_c": self.out_c,
            "in_c": self.in_c, "kernel_h": self.kernel[0], "kernel_w": self.kernel[1], "stride_h": self.strides[0],
            "stride_w": self.strides[1], "dilation_h": self.dilations[0], "dilation_w": self.dilations[1],
            "x_n": self.x[0], "x_h": self.x[1], "x_w": self.x[2], "y_n": self.y[0], "y_h": self.y[1], "y_w": self.y[2],
            "block_h": self.block_h, "block_c": self.block_c,
        }  # fmt: skip
        fields = [(k, number(v)) for k, v in numbers.items()]
        if self.by_rows:
            rows = Infix("-", Name("end"), Name("begin"))
            fields = [(k, rows if k in ("out_h", "block_h") else v) for k, v in fields]
        flags = [(flag, number(1)) for flag in ("halves", "apart") if getattr(self, flag)]
        return Structure("const ec_conv_shape", name, tuple([*fields, *self.open(), *flags]))

    def tasks(self) -> tuple[Expression, Expression]:
        """The tasks that a kernel is told to compute: those of the step, or the one block of its rows."""
        if self.by_rows:
            return size(0), size(1)
        return Name("begin"), Name("end")

    def open(self) -> list[tuple[str, Expression]]:
        """The field that names the sizes by which the kernels cannot unroll a loop."""
        sizes = {"EC_OPEN_W": self.out_w, "EC_OPEN_C": self.out_c, "EC_OPEN_K": self.in_c}
        names = [name for name, extent in sizes.items() if is_open(extent)]
        return [("open", Name(" | ".join(names)))] if names else []


def conv_tasks(shape: Window, tile: Tile, lanes: int) -> int:
    """How many tasks a step with this shape has: what `ec_conv_tasks` returns, or the rows."""
    if shape.by_rows:
        return shape.out_h
    panels = -(-shape.out_c // (tile.nv * lanes))
    return shape.batch * shape.groups * -(-shape.out_h // shape.block_h) * -(-panels // shape.block_c)
