"""How large a block of results a contraction holds in registers."""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_ROWS = 16
MAX_VECTORS = 4


@dataclass(frozen=True)
class Machine:
    """What a schedule has to know: fp32 lanes of a vector, vector registers, bytes of the second cache."""

    lanes: int
    registers: int
    l2_bytes: int


@dataclass(frozen=True)
class Tile:
    """Rows (pixels, or rows of a matrix) by columns (channels) that are computed together."""

    rows: int
    columns: int

    def padded_rows(self, extent: int) -> int:
        """An extent rounded up to whole tiles."""
        return -(-extent // self.rows) * self.rows

    def padded_columns(self, extent: int) -> int:
        """An extent rounded up to whole tiles."""
        return -(-extent // self.columns) * self.columns


def contraction_tile(rows: int, columns: int, machine: Machine) -> Tile:
    """The tile that wastes least and keeps the multipliers busy: enough sums to hide latency, few loads for each."""
    widths = [machine.lanes] + ([machine.lanes // 2] if machine.lanes > 8 else [])
    shapes = [(r, v, w) for w in widths for v in range(1, MAX_VECTORS + 2) for r in range(1, MAX_ROWS + 1)]
    fitting = [shape for shape in shapes if _registers(*shape[:2], machine) <= machine.registers]
    best = max(fitting, key=lambda shape: _worth(rows, columns, shape, machine.lanes))
    return Tile(best[0], best[1] * best[2])


def divided(tile: Tile, extent: int) -> Tile:
    """A tile whose columns divide an extent; the same where it is 0."""
    if not extent:
        return tile
    return Tile(tile.rows, max(t for t in range(1, tile.columns + 1) if extent % t == 0))


def _registers(rows: int, vectors: int, machine: Machine) -> int:
    """Sums, a vector of weights for each of their columns, and elements of rows."""
    return rows * vectors + vectors + (3 if machine.registers > 16 else 1)


def _worth(rows: int, columns: int, shape: tuple[int, int, int], lanes: int) -> float:
    tile_rows, vectors, width = shape
    tile = Tile(tile_rows, vectors * width)
    useful = rows * columns / (tile.padded_rows(rows) * tile.padded_columns(columns))
    busy = min(1.0, tile_rows * vectors / 10)
    reuse = tile_rows * vectors / (tile_rows * vectors + 0.3 * (tile_rows + 2 * vectors))
    whole = 1.0 if columns % tile.columns == 0 else 0.75  # else the epilogue runs element by element
    return useful * busy * reuse * whole * (1.0 if width == lanes else 0.85)


def window_tile(rows: int, channels: int, machine: Machine) -> Tile:
    """The tile of a depthwise convolution or a pool: channels by two vectors where they divide, a few pixels.

    One vector where that makes more sums: seven pixels then fit into the registers, but no half of them.
    """
    tiles = [_window_tile(rows, math.gcd(channels, n * machine.lanes), machine) for n in (2, 1)]
    return max(tiles, key=lambda tile: tile.rows * tile.columns)


def _window_tile(rows: int, width: int, machine: Machine) -> Tile:
    limit = max(1, (machine.registers - 6) // (2 * max(1, width // machine.lanes)))
    return Tile(max(r for r in range(1, min(limit, 8) + 1) if rows % r == 0), width)
