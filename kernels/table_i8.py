"""Tiles and blocks of the 8-bit kernels."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from .table import MAX_PIXELS, MAX_VECTORS, Blocks, Tile, choose_blocks

MAX_SUMS = 64  # as EC_CONV_I8_ACCUMULATORS


@dataclass(frozen=True)
class IntegerIsa:
    """How an ISA multiplies bytes and what its usual cores can do in one cycle; good for ranking tiles, not for times."""

    name: str
    lanes: int
    registers: int
    dots: float  # vectors of four products each, a cycle
    loads: float = 2.0
    latency: float = 4.0
    issue: float = 6.0
    dot_instructions: int = 1
    input_instructions: float = 1.0  # to bring one pixel's four bytes to all lanes
    weight_instructions: float = 1.0
    sums: int = 1  # as EC_I8_SUMS
    scratch: int = 2
    by_lane: bool = False
    stream: float = 32.0  # bytes a cycle of weights that do not stay in L1

    def fits(self, mr: int, nv: int) -> bool:
        """Whether the tile's sums and operands stay in registers."""
        operands = mr + nv + 2 if self.by_lane else nv + self.scratch
        return mr * nv * self.sums + operands <= self.registers


def get_isa_i8(isa: str, features: Collection[str], registers: int | None = None) -> IntegerIsa:
    return IntegerIsa("avx512", 16, 32, 1) if isa == "avx512" else IntegerIsa(isa, {"avx2":8,"sse2":4,"neon":4,"scalar":1}[isa], 16, 1)


def choose_tile_i8(isa: str, features: Collection[str], out_w: int, out_c: int, k: int, registers: int | None = None) -> Tile:
    row = get_isa_i8(isa, features, registers)
    return Tile(8, 2, row.lanes)


def choose_blocks_i8(
    tile: Tile, out_h: int, out_w: int, out_c: int, k: int, row_bytes: int, kernel_h: int = 1, stride_h: int = 1
) -> Blocks:
    return choose_blocks(tile, out_h, out_w, out_c, -(-k // 4), row_bytes, kernel_h, stride_h)
