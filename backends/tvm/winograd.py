"""Convolutions on transformed tiles as loops that are written out: block by block the tiles are transformed, multiplied
with the weights of one panel of channels after the other, place by place, and transformed back.

The transformed tiles of a block and the products of a panel with them stay in the second cache. Each task has memory
of its own for them, taken before threads share the tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np

from ...ir import Op, Value
from ...ir.ops import WinogradConv, array_of
from ...ir.ops.winograd import POINTS, transforms
from ...kernels.table_winograd import MOST_TASKS, MUCH_SCRATCH, TASK_PRODUCTS
from .elements import Elements
from .functions import number
from .loops import Array, Buffer, Loops, Memory, loop, where, whole
from .packages import Expr, statements, tirx
from .tiles import Machine, Tile, contraction_tile


def winograd_loops(op: Op, machine: Machine) -> Loops:
    """The function of a region around such a convolution."""
    return _Writer(op, machine).write()


@dataclass(frozen=True)
class _Plan:
    """Tiles of all images and of a block, the register tile of the products, panels of channels and of a unit."""

    tiles: int
    block: int
    tile: Tile
    panels: int
    parts: int
    tasks: int

    @staticmethod
    def of(op: WinogradConv, machine: Machine) -> _Plan:
        """As many tasks as are worth their memory; a unit of work is a block and some panels."""
        n, channels, height, width = op.type.shape
        tiles, places = n * -(-height // op.edge) * -(-width // op.edge), (op.edge + 2) ** 2
        block = min(op.block or tiles, tiles)
        tile = contraction_tile(block, channels, machine)
        panels, blocks = tile.padded_columns(channels) // tile.columns, -(-tiles // block)
        parts = min(panels, -(-MOST_TASKS // blocks))
        parts = -(-panels // -(-panels // parts))
        scratch = 4 * block * places * (op.x.shape[1] + tile.columns)
        worthwhile = max(1, tiles * places * op.x.shape[1] * channels // TASK_PRODUCTS)
        most = MOST_TASKS // 2 if scratch > MUCH_SCRATCH else MOST_TASKS
        return _Plan(tiles, block, tile, panels, parts, min(worthwhile, most, blocks * parts))

    @property
    def each(self) -> int:
        """Panels of a unit."""
        return -(-self.panels // self.parts)

    @property
    def units(self) -> int:
        """Units of work."""
        return -(-self.tiles // self.block) * self.parts


@dataclass(frozen=True)
class _Place:
    """Where the outputs of a tile begin."""

    n: Expr
    h: Expr
    w: Expr


Pixel = Callable[[_Place, Expr, int, Expr], Expr]
"""An element of a tile: its channel, row and column."""


class _Writer(Memory):
    """Writes the function of one region.

    Memory of a task: the transformed tiles of a block and their products with a panel; of one vector the half of a
    transform and a row of results; the sums of a register tile.
    """

    transformed: Buffer
    products: Buffer
    half: Buffer
    back: Buffer
    sums: Buffer

    def __init__(self, op: Op, machine: Machine) -> None:
        super().__init__(op)
        anchor = self.region.anchor
        assert isinstance(anchor, WinogradConv)
        self.conv, self.lanes = anchor, machine.lanes
        self.plan = _Plan.of(anchor, machine)
        self.side = anchor.edge + 2

    def reads(self, value: Value) -> bool:
        """Numbers stand in the code."""
        return self.region.literal(value) is None

    def write(self) -> Loops:
        """The function."""
        return self.written(self.body, {"weights": (self.conv.w, self.packed())})

    def packed(self) -> Array:
        """The weights as [panels, places, C, panel]."""
        weights, columns = array_of(self.region.outer.get(self.conv.w, self.conv.w)), self.plan.tile.columns
        assert weights is not None
        channels, inner = weights.shape[:2]
        wide = np.zeros((self.plan.panels * columns, inner, self.side**2), weights.dtype)
        wide[:channels] = weights.reshape(channels, inner, -1)
        return np.asarray(wide.reshape(self.plan.panels, columns, inner, -1).transpose(0, 3, 2, 1))

    # --- units of work --------------------------------------------------------------------------------------------

    def body(self) -> None:
        plan, places = self.plan, self.side**2
        self.transformed = _memory(plan.tasks, places, plan.block, self.conv.x.shape[1])
        self.products = _memory(plan.tasks, plan.block, places * plan.tile.columns)
        with loop("task", plan.tasks, statements.parallel if plan.tasks > 1 else statements.serial) as task:
            self.half = _memory(self.side, self.side, self.lanes, scope="local")
            self.back = _memory(self.conv.edge, self.lanes, scope="local")
            self.sums = _memory(plan.tile.rows, plan.tile.columns, scope="local")
            first, end = (tirx.floordiv(t * plan.units, plan.tasks) for t in (task, task + 1))
            with loop("unit", end - first) as unit:
                self.unit(task, first + unit, unit.equal(0))

    def unit(self, task: Expr, unit: Expr, is_first: Expr) -> None:
        """Some panels of a block; the first ones of a block, and of a task, transform its tiles."""
        plan = self.plan
        block, part = tirx.floordiv(unit, plan.parts), tirx.floormod(unit, plan.parts)
        with where(tirx.any(is_first, part.equal(0))), loop("tile", plan.block) as tile:
            self.forward(task, tile, self.place(block, tile))
        with loop("panel", tirx.min(whole(plan.each), plan.panels - part * plan.each)) as place:
            panel = part * plan.each + place
            self.multiply(task, panel)
            with loop("tile", plan.block) as tile:
                self.turn_back(task, tile, panel, self.place(block, tile))

    def place(self, block: Expr, tile: Expr) -> _Place:
        """Where a tile of a block lies; the last block takes the last tile again for each that it lacks."""
        plan, edge = self.plan, self.conv.edge
        height, width = (-(-extent // edge) for extent in self.conv.type.shape[2:])
        at = tirx.min(block * plan.block + tile, plan.tiles - 1)
        within = tirx.floormod(at, height * width)
        return _Place(
            tirx.floordiv(at, height * width), tirx.floordiv(within, width) * edge, tirx.floormod(within, width) * edge
        )

    # --- tiles ----------------------------------------------------------------------------------------------------

    def forward(self, task: Expr, tile: Expr, at: _Place) -> None:
        """Transform a tile; beyond the image are zeros."""
        height, width = self.conv.x.shape[2:]
        inside = tirx.all(at.h + self.side <= height, at.w + self.side <= width)
        if all(extent % self.conv.edge == 0 for extent in self.conv.type.shape[2:]):
            self.forward_vectors(task, tile, at, self.pixel)
            return
        with where(inside):
            self.forward_vectors(task, tile, at, self.pixel)
        with where(tirx.Not(inside)):
            self.forward_vectors(task, tile, at, self.pixel_or_zero)

    def forward_vectors(self, task: Expr, tile: Expr, at: _Place, pixel: Pixel) -> None:
        """Vector by vector of channels."""
        channels, lanes = self.conv.x.shape[1], self.lanes
        if channels >= lanes:
            with loop("vector", channels // lanes) as several:
                self.forward_vector(task, tile, at, several * lanes, lanes, pixel)
        if channels % lanes:
            self.forward_vector(task, tile, at, whole(channels - channels % lanes), channels % lanes, pixel)

    def forward_vector(
        self, task: Expr, tile: Expr, at: _Place, channel: Expr, width: int, pixel: Pixel
    ) -> None:  # fmt: skip
        side, edge = range(self.side), self.conv.edge
        with loop("column", self.side) as j, vector(width) as lane:
            given = [pixel(at, channel + lane, i, j) for i in side]
            for i, value in enumerate(forward(given, edge)):
                statements.buffer_store(self.half, value, [whole(i), j, lane])
        with loop("row", self.side) as i, vector(width) as lane:
            given = [self.half[i, j, lane] for j in side]
            for j, value in enumerate(forward(given, edge)):
                place = [task, i * self.side + j, tile, channel + lane]
                statements.buffer_store(self.transformed, value, place)

    def pixel(self, at: _Place, channel: Expr, i: int, j: Expr) -> Expr:
        """A pixel of a tile."""
        return self.at(self.conv.x, at.n, channel, at.h + i, at.w + j)

    def pixel_or_zero(self, at: _Place, channel: Expr, i: int, j: Expr) -> Expr:
        """A pixel of a tile that reaches beyond the image."""
        (height, width), h, w = self.conv.x.shape[2:], at.h + i, at.w + j
        known = self.at(self.conv.x, at.n, channel, tirx.min(h, height - 1), tirx.min(w, width - 1))
        return tirx.Select(tirx.all(h < height, w < width), known, number(0.0))

    def turn_back(self, task: Expr, tile: Expr, panel: Expr, at: _Place) -> None:
        """Transform the products of a tile with a panel back, and store what the epilogue makes of them."""
        channels, columns, lanes = self.conv.type.shape[1], self.plan.tile.columns, self.width
        with loop("vector", columns // lanes) as several:
            channel = panel * columns + several * lanes
            if self.plan.panels * columns == channels:
                self.back_vector(task, tile, channel, several, at)
            else:
                with where(channel < channels):
                    self.back_vector(task, tile, channel, several, at)

    @property
    def width(self) -> int:
        """Columns of a panel that one vector holds."""
        return math.gcd(self.lanes, self.plan.tile.columns)

    def back_vector(self, task: Expr, tile: Expr, channel: Expr, several: Expr, at: _Place) -> None:
        (height, width), edge, columns = self.conv.type.shape[2:], self.conv.edge, self.plan.tile.columns
        side = range(self.side)
        with loop("column", self.side) as j, vector(self.width) as lane:
            place = [(i * self.side + j) * columns + several * self.width + lane for i in side]
            for i, value in enumerate(back([self.products[task, tile, p] for p in place], edge)):
                statements.buffer_store(self.half, value, [whole(i), j, lane])
        with loop("row", tirx.min(whole(edge), height - at.h)) as i:
            with vector(self.width) as lane:
                for j, value in enumerate(back([self.half[i, j, lane] for j in side], edge)):
                    statements.buffer_store(self.back, value, [whole(j), lane])
            with loop("column", tirx.min(whole(edge), width - at.w)) as j:
                self.finish(j, (at.n, channel, at.h + i, at.w + j))

    def finish(self, j: Expr, place: tuple[Expr, Expr, Expr, Expr]) -> None:
        """Store a vector of results; the last one may not be whole."""
        n, channel, h, w = place
        channels = self.conv.type.shape[1]
        rest = channels % self.width
        with where(channel + self.width <= channels) if rest else always(), vector(self.width) as lane:
            self.epilogue(j, lane, (n, channel + lane, h, w))
        if rest:
            with where(channel + self.width > channels), vector(rest) as lane:
                self.epilogue(j, lane, (n, channel + lane, h, w))

    def epilogue(self, j: Expr, lane: Expr, place: tuple[Expr, ...]) -> None:
        given = {value: _read(self.buffers[value]) for value in self.region.operands if value in self.buffers}
        elements = Elements(self.region, given)
        found, bias = self.back[j, lane], self.conv.bias
        if bias is not None:
            found = found + elements.element(bias, (place[1],))
        elements.fixed[self.conv.result] = lambda index: found
        self.store(elements.whole(elements.element(self.region.result, place)), *place)

    # --- products -------------------------------------------------------------------------------------------------

    def multiply(self, task: Expr, panel: Expr) -> None:
        """The products of all tiles of a block with a panel, place by place."""
        rows, block = self.plan.tile.rows, self.plan.block
        with loop("place", self.side**2) as place:
            if block >= rows:
                with loop("rows", block // rows) as several:
                    self.product(task, panel, place, several * rows, rows)
            if block % rows:
                self.product(task, panel, place, whole(block - block % rows), block % rows)

    def product(self, task: Expr, panel: Expr, place: Expr, first: Expr, rows: int) -> None:
        """A register tile of sums: one vector of weights feeds all rows, one element of a row all vectors."""
        columns = self.plan.tile.columns
        for row, lane in self.cells(rows):
            with lane as column:
                statements.buffer_store(self.sums, number(0.0), [whole(row), column])
        with loop("k", self.conv.x.shape[1]) as k:
            for row, lane in self.cells(rows):
                with lane as column:
                    x = self.transformed[task, place, first + row, k]
                    term = x * self.forms["weights"][panel, place, k, column]
                    statements.buffer_store(self.sums, self.sums[row, column] + term, [whole(row), column])
        for row, lane in self.cells(rows):
            with lane as column:
                found = self.sums[row, column]
                statements.buffer_store(self.products, found, [task, first + row, place * columns + column])

    def cells(self, rows: int) -> Iterator[tuple[int, AbstractContextManager[Expr]]]:
        """The rows and vectors of a register tile."""
        for row in range(rows):
            for start in range(0, self.plan.tile.columns, self.width):
                yield row, vector(self.width, start)


def _memory(*shape: int, scope: str = "global") -> Buffer:
    return statements.alloc_buffer(shape, "float32", scope=scope, layout=None)


def _read(buffer: Buffer) -> Callable[..., Expr]:
    return lambda *index: buffer[index]


@contextmanager
def vector(width: int, start: int = 0) -> Iterator[Expr]:
    """The lanes of a vector, from `start` on."""
    with loop("lane", width, statements.vectorized) as lane:
        yield lane + start if start else lane


@contextmanager
def always() -> Iterator[None]:
    """Statements without a condition."""
    yield


# --- the transforms of one dimension ----------------------------------------------------------------------------------


def forward(data: Sequence[Expr], edge: int) -> list[Expr]:
    """Data to places; the two points of a pair share the even and the odd part of their polynomials."""
    matrix = transforms(edge).data
    found = [_sum(matrix[0], data)]
    for i, point in enumerate(POINTS[edge]):
        plus, minus = matrix[2 * i + 1], matrix[2 * i + 2]
        even, odd = _sum((plus + minus) / 2, data), _sum((plus - minus) / (2 * point), data)
        found += [even + odd * number(point), even + odd * number(-point)]
    return [*found, _sum(matrix[-1], data)]


def back(places: Sequence[Expr], edge: int) -> list[Expr]:
    """Products to outputs; even ones read the sums of pairs, odd ones the differences."""
    first, *inner, last = places
    pairs = list(zip(inner[::2], inner[1::2], strict=True))
    sums, differences = [a + b for a, b in pairs], [a - b for a, b in pairs]
    found = []
    for row, factors in enumerate(transforms(edge).products):
        terms = differences if row % 2 else sums
        found.append(_sum([factors[0], *factors[1:-1:2], factors[-1]], [first, *terms, last]))
    return found


def _sum(factors: Sequence[float], terms: Sequence[Expr]) -> Expr:
    """The sum of products; a term that stands there as it is comes first."""
    known = [(float(factor), term) for factor, term in zip(factors, terms, strict=True) if factor]
    found: Expr = None
    for factor, term in sorted(known, key=lambda one: one[0] != 1):
        part = term if factor == 1 else term * number(factor)
        found = part if found is None else found + part
    return found
