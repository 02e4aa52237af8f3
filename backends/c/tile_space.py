"""The schedules that one contraction or depthwise convolution can have."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from ...ir.dims import is_open, upper
from ...kernels.schedules import Question, Schedule
from ...kernels.table import DEPTHWISE_PIXELS, Blocks, Tile, depthwise_pixels

if TYPE_CHECKING:
    from .kernel_calls import Caller
    from .window import Window

TRIED_TILES = 9
TILES_OF_A_WIDTH = 3
"""Tiles of as many vectors that are tried: those of one width differ less than the estimates err."""
WORTH_TRYING = 1.6
"""A tile is not measured that is estimated to take so much longer than the best."""
ENOUGH_TASKS = 8
BLOCK_PIXELS = 64


@dataclass(frozen=True)
class TileSpace:
    """Width of a row, tile and blocks; `flat` tells that rows may be cut anew."""

    caller: Caller
    shape: Window
    flat: bool
    weights: str
    vectors: int = 0
    matrices: int = 1
    """How many such products there are, which are work for threads as well."""

    @property
    def is_open(self) -> bool:
        """Whether a size is known only at run time, so that nothing can be measured."""
        return any(map(is_open, self.shape.sizes))

    @property
    def question(self) -> Question:
        names = self.caller.fused_names()
        return Question(self.caller.family, self.shape.sizes, self.weights, names, self.vectors, self.flat)

    def default(self) -> Schedule:
        shape = self.cut(self.caller.best_width(self.pixels, self.shape)) if self.flat else self.shape
        return self.complete(shape, self.caller.tile(shape, self.vectors, self.matrices))

    def fits(self, schedule: Schedule) -> bool:
        width, mr, nv, rows, panels = schedule
        if width < 1 or (self.pixels % width if self.flat else width != self.shape.out_w):
            return False
        shape, tile = self.cut(width), Tile(mr, nv, self.caller.target.lanes)
        if tile not in self.caller.useful(shape, self.vectors):
            return False
        return 1 <= rows <= shape.out_h and 1 <= panels <= -(-shape.out_c // tile.panel)

    def candidates(self) -> list[Schedule]:
        """Some tiles of each width, each with the rows that suit it best."""
        ranked = sorted(self.ranked().items(), key=lambda one: (one[1][0], one[0].mr * one[0].nv, one[0].nv))
        kept: list[Tile] = []
        for tile, (cost, _) in ranked:
            if cost <= WORTH_TRYING * ranked[0][1][0] and sum(t.nv == tile.nv for t in kept) < TILES_OF_A_WIDTH:
                kept.append(tile)
        widths = {tile: width for tile, (_, width) in ranked}
        return [self.complete(self.cut(widths[tile]), tile) for tile in kept[:TRIED_TILES]]

    def ranked(self) -> dict[Tile, tuple[float, int]]:
        """The estimated cycles of each tile, with the shortest of the best widths."""
        widths = self.widths()
        found: dict[Tile, tuple[float, int]] = {}
        for width in widths:
            shape = self.cut(width)
            for tile in self.caller.useful(shape, self.vectors):
                cost = shape.out_h * self.caller.cost_of(shape, tile)
                if tile not in found or cost < 0.98 * found[tile][0]:
                    found[tile] = cost, width
        return found

    def variations(self, best: Schedule) -> list[Schedule]:
        """Other blocks for the best tile, with as much work for threads."""
        width, mr, nv, *_ = best
        shape, tile = self.cut(width), Tile(mr, nv, self.caller.target.lanes)
        panels = -(-shape.out_c // tile.panel)
        few = max(1, min(shape.out_h, BLOCK_PIXELS // width))
        rows = dict.fromkeys((few, min(shape.out_h, 4 * few), shape.out_h))
        blocks = [Blocks(r, p) for r, p in product(rows, dict.fromkeys((1, -(-panels // 2), panels)))]
        least = min(ENOUGH_TASKS, self.tasks(self.complete(shape, tile)))
        made = [(width, mr, nv, one.rows, one.panels) for one in blocks]
        return [one for one in made if self.tasks(one) >= least]

    def apply(self, schedule: Schedule) -> tuple[Window, Tile]:
        width, mr, nv, rows, panels = schedule
        return replace(self.cut(width), block_h=rows, block_c=panels), Tile(mr, nv, self.caller.target.lanes)

    def complete(self, shape: Window, tile: Tile) -> Schedule:
        """With the blocks of the cost model."""
        blocked = self.caller.blocked(shape, tile, self.matrices)
        return shape.out_w, tile.mr, tile.nv, blocked.block_h, blocked.block_c

    def tasks(self, schedule: Schedule) -> int:
        width, _, nv, rows, panels = schedule
        shape = self.cut(width)
        count = -(-shape.out_c // (nv * self.caller.target.lanes))
        return shape.batch * shape.groups * -(-shape.out_h // rows) * -(-count // panels)

    @property
    def pixels(self) -> int:
        return self.shape.out_h * self.shape.out_w

    def widths(self) -> list[int]:
        if not self.flat:
            return [self.shape.out_w]
        return [width for width in range(1, self.pixels + 1) if self.pixels % width == 0]

    def cut(self, width: int) -> Window:
        """The same pixels in rows of another width."""
        shape = self.shape
        if not self.flat:
            return shape
        return replace(
            shape, out_h=self.pixels // width, out_w=width, x=(shape.x[0], shape.x[2] * width, shape.x[2]),
            y=(shape.y[0], shape.y[2] * width, shape.y[2]),
        )  # fmt: skip


@dataclass(frozen=True)
class DepthwiseSpace:
    """Pixels of a tile."""

    question: Question
    isa: str
    width: int
    core: str = ""

    def default(self) -> Schedule:
        sizes = self.question.sizes
        return (depthwise_pixels(self.isa, math.prod(sizes[6:8]), upper(self.width), sizes[9], self.core),)

    def fits(self, schedule: Schedule) -> bool:
        return 1 <= schedule[0] <= min(DEPTHWISE_PIXELS, upper(self.width))

    def candidates(self) -> list[Schedule]:
        some = [(mr,) for mr in (7, 8, 4, 6, 5, 3, 2) if self.fits((mr,))]
        return [one for one in some if one != self.default()]

    def variations(self, best: Schedule) -> list[Schedule]:
        return []
