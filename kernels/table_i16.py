"""Tiles of the kernels for 16-bit values: those of the 8-bit kernels, with two products in each lane of a vector."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from .table import Tile
from .table_i8 import IntegerIsa, cheapest_tile, estimate_i8, get_isa_i8

FUSED = ("avx512vnni", "avxvnni")
NEON_DOT, X86_DOT = 2, 2


def get_isa_i16(isa: str, features: Collection[str], registers: int | None = None) -> IntegerIsa:
    """How an ISA multiplies pairs of 16-bit numbers: with VNNI in one instruction, else in two."""
    row = get_isa_i8(isa, features, registers)
    dot = {"scalar": 4, "neon": NEON_DOT}.get(isa, 1 if row.feature in FUSED else X86_DOT)
    return replace(row, dot=dot, inputs=0, weights=0, parts=1, sums=1, by_lane=False)


def choose_tile_i16(
    isa: str, features: Collection[str], out_w: int, out_c: int, k: int, registers: int | None = None
) -> Tile:
    """The tile with the least estimated cycles for rows of out_w pixels, out_c channels a group, k products."""
    row = get_isa_i16(isa, features, registers)
    return cheapest_tile(row, out_w, out_c, lambda tile: estimate_i16(row, tile, out_w, out_c, k))


def estimate_i16(isa: IntegerIsa, tile: Tile, out_w: int, out_c: int, k: int) -> float:
    """Cycles of one output row; a number of 16 bits is two bytes."""
    return estimate_i8(isa, tile, out_w, out_c, 2 * k)


def depthwise_pixels_i16(registers: int) -> int:
    """The pixels of a tile of the depthwise kernel."""
    return 8 if registers >= 32 else 4
