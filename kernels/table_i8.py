"""Tiles and blocks of the 8-bit kernels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

from .cores import Core, read_cores
from .table import DEPTHWISE_PIXELS, DEPTHWISE_TAPS, Blocks, Tile, choose_blocks, modelled_pixels

MAX_PIXELS = 16  # bounds of the arrays in ec_conv_i8.h
MAX_VECTORS = 8
MAX_SUMS = 64
L1_SHARE = 24 << 10  # a larger panel of weights comes from L2 for every tile


@dataclass(frozen=True)
class IntegerIsa:
    """How an ISA multiplies bytes and what its usual cores do in one cycle; good for ranking tiles, not for times.

    A dot is four products in each lane of a vector.
    """

    name: str
    feature: str  # that must be there, or nothing
    lanes: int
    registers: int
    dot: int = 1  # vector instructions of one dot
    inputs: float = 0  # those that prepare four bytes of one pixel
    weights: float = 0  # those that prepare one vector of weights
    alu: float = 1  # vector instructions a cycle
    loads: float = 1.5
    issue: float = 6.0
    latency: float = 4.0
    parts: int = 1  # as EC_I8_PARTS
    sums: int = 1  # as EC_I8_SUMS
    scratch: int = 6  # registers beside the sums and the weights
    by_lane: bool = False  # sixteen bytes of a pixel arrive in one load
    stream: float = 32.0  # bytes a cycle of weights that do not stay in L1
    core: Core | None = field(default=None, compare=False)  # whose tiles were modelled, in the place of this row

    @property
    def family(self) -> str:
        """That of its rows in `read_rows`."""
        return f"i8-{self.feature}" if self.feature else "i8"

    def fits(self, mr: int, nv: int) -> bool:
        """Whether the tile's sums and operands stay in registers."""
        operands = mr + nv + 1 if self.by_lane else nv + self.scratch
        return mr * nv * self.sums + operands <= self.registers


# The first row that matches serves.
INTEGER_ISAS = (
    IntegerIsa("avx512", "avx512vnni", 16, 32),
    IntegerIsa("avx512", "", 16, 32, dot=4, inputs=2, weights=3, alu=2, parts=2),
    IntegerIsa("avx2", "avxvnni", 8, 16, alu=2, loads=2, latency=5, scratch=7),
    IntegerIsa("avx2", "avx512vnni", 8, 16, alu=2, loads=2, latency=5, scratch=7),
    IntegerIsa("avx2", "", 8, 16, dot=4, inputs=2, weights=3, alu=3, loads=2, latency=2, parts=2),
    IntegerIsa("sse2", "", 4, 16, dot=6, inputs=5, weights=5, alu=3, loads=2, latency=2, parts=2),
    IntegerIsa("neon", "dotprod", 4, 32, loads=1, issue=3, by_lane=True, stream=16),
    IntegerIsa("neon", "", 4, 32, dot=4, alu=2, loads=1, issue=3, parts=2, sums=2, stream=16),
    IntegerIsa("scalar", "", 1, 16, dot=8, inputs=4, weights=4, alu=3, loads=2),
)
ARMV7 = IntegerIsa("neon", "", 4, 16, dot=4, alu=1, loads=1, issue=2, parts=2, sums=2, scratch=2, stream=8)


def get_isa_i8(isa: str, features: Collection[str], registers: int | None = None, core: str = "") -> IntegerIsa:
    """The row of an ISA with these features; `registers=16` with neon means ARMv7, `core` is as for `get_isa`."""
    if isa == "neon" and registers == 16:
        return ARMV7
    row = next(row for row in INTEGER_ISAS if row.name == isa and (not row.feature or row.feature in features))
    if not core:
        return row
    known = read_cores(row.family)[core]
    return replace(row, latency=known.latency, core=known)


def tiles_i8(isa: IntegerIsa) -> Iterator[Tile]:
    """All tiles that stay in the registers of the ISA, and all of one pixel, whose weights need no registers."""
    for mr in range(1, MAX_PIXELS + 1):
        for nv in range(1, MAX_VECTORS + 1):
            if mr * nv * isa.sums <= MAX_SUMS and (isa.fits(mr, nv) or mr == 1):
                yield Tile(mr, nv, isa.lanes)


def choose_tile_i8(
    isa: str, features: Collection[str], out_w: int, out_c: int, k: int, registers: int | None = None, core: str = ""
) -> Tile:
    """The tile with the least estimated cycles for rows of out_w pixels, out_c channels a group, k products."""
    row = get_isa_i8(isa, features, registers, core)
    return cheapest_tile(row, out_w, out_c, lambda tile: estimate_i8(row, tile, out_w, out_c, k))


def cheapest_tile(isa: IntegerIsa, out_w: int, out_c: int, cycles: Callable[[Tile], float]) -> Tile:
    """The tile of an ISA with the least cycles for rows of out_w pixels and out_c channels a group."""
    useful = useful_tiles_i8(isa, out_w, out_c)
    return min(useful, key=lambda tile: (cycles(tile), tile.mr * tile.nv, tile.nv))


def useful_tiles_i8(isa: IntegerIsa, out_w: int, out_c: int) -> Iterator[Tile]:
    """The tiles that rows of out_w pixels and out_c channels may take."""
    return (
        tile
        for tile in tiles_i8(isa)
        if tile.mr <= out_w and tile.panel < out_c + isa.lanes * 2 and (out_w == 1 or isa.fits(tile.mr, tile.nv))
    )


def estimate_i8(isa: IntegerIsa, tile: Tile, out_w: int, out_c: int, k: int) -> float:
    """Cycles of one output row, with one percent more for each further copy of the code that the remainders need."""
    rows, rest = divmod(out_w, tile.mr)
    panels, left = divmod(out_c, tile.panel)
    parts = ((panels, tile.nv), (1, -(-left // isa.lanes)))
    cycles = sum(
        count * (rows * _tile_cycles(isa, tile.mr, nv, k, out_w == 1) + _tile_cycles(isa, rest, nv, k, out_w == 1))
        for count, nv in parts
    )
    copies = (1 + (rest > 0)) * ((panels > 0) + (left > 0))
    return cycles * (1 + 0.01 * (copies - 1))


def choose_blocks_i8(
    tile: Tile,
    out_h: int,
    out_w: int,
    out_c: int,
    k: int,
    row_bytes: int,
    kernel_h: int = 1,
    stride_h: int = 1,
    l1: int = 32 << 10,
    l2: int = 1 << 20,
    tasks: int = 1,
) -> Blocks:
    """As choose_blocks, for weights of one byte."""
    return choose_blocks(tile, out_h, out_w, out_c, -(-k // 4), row_bytes, kernel_h, stride_h, l1, l2, tasks)


def depthwise_pixels_i8(
    isa: str,
    features: Collection[str],
    registers: int | None = None,
    taps: int = 0,
    out_w: int = DEPTHWISE_PIXELS,
    stride: int = 1,
    core: str = "",
) -> int:
    """The pixels of a tile of the depthwise kernel; `core` as for `depthwise_pixels`."""
    row = get_isa_i8(isa, features, registers, core)
    usual = min(8 if row.registers >= 32 else 4, out_w)
    if not row.core or taps != DEPTHWISE_TAPS or stride > 2:
        return usual
    return modelled_pixels(row.core, usual, out_w, stride)


def _tile_cycles(isa: IntegerIsa, mr: int, nv: int, k: int, once: bool) -> float:
    """once: the weights are read once and thus never from L1."""
    if mr == 0 or nv == 0:
        return 0.0
    groups, panel = -(-k // 4), nv * isa.lanes * 4
    broadcasts = mr / 4 if isa.by_lane else mr * isa.parts
    streamed = panel if once or groups * panel > L1_SHARE else 0
    step = max(
        _step(isa, mr, nv, broadcasts),
        isa.latency / _split(isa, mr, nv, k),
        streamed / isa.stream,
    )
    pace = 1 / isa.core.fma if isa.core else 1.0
    # Of equal tiles, the one that asks less of the load units and of L2.
    asked = step + 0.02 * (broadcasts + nv) * pace + 0.1 * streamed / isa.stream
    return groups * asked + 6 * mr * nv * pace + 20 * pace


def _step(isa: IntegerIsa, mr: int, nv: int, broadcasts: float) -> float:
    """Cycles of four k whose weights are in L1 and whose sums need not be waited for."""
    modelled = isa.core.step(mr, nv) if isa.core else None
    if modelled is not None:
        return modelled
    vector = mr * nv * isa.dot + mr * isa.inputs + nv * isa.weights
    loads = broadcasts + nv * isa.parts
    return max(vector / isa.alu, loads / isa.loads, (vector + loads + 2) / isa.issue)


def _split(isa: IntegerIsa, mr: int, nv: int, k: int) -> int:
    """As ec_conv_i8_split."""
    sums = mr * nv * isa.sums
    split = next(split for split in (1, 2, 4, 8) if split * sums >= 8)
    return split if k >= 16 * split and split * sums + nv + 2 <= isa.registers else 1
