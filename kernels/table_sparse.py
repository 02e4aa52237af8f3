"""Tiles of the sparse kernel, and what it costs beside the dense one."""

from __future__ import annotations

from dataclasses import dataclass

from .packing_sparse import MOST_PLACES
from .table import Isa

X_FLOATS = 8192  # as EC_SPARSE_X
Y_FLOATS = 4096  # as EC_SPARSE_Y
WIDEST = 8
GAIN = 1.1
"""A sparse kernel must be expected to be faster by this factor than the dense one."""


@dataclass(frozen=True)
class Costs:
    """Cycles that the kernel's parts take on the usual cores of an ISA."""

    row: float  # of one output of a tile beside its products
    turn: float  # to turn one vector of pixels of one channel
    product: float = 0.0  # of one weight beside its fma, loads and instructions
    dot: float = 1.6  # of one weight in the kernel for one pixel
    run: float = 16  # of one output and one block of inputs there
    memory: float = 5  # bytes of dense weights a cycle that do not stay in L2
    separate_loads: int = 0  # instructions that load what fma cannot read from memory


COSTS = {
    "scalar": Costs(6, 2, separate_loads=1),
    "sse2": Costs(8, 4, separate_loads=1),
    "avx2": Costs(8, 4),
    "avx512": Costs(6, 8, product=0.6),
    "neon": Costs(8, 4, dot=4, run=24, memory=3, separate_loads=1),
}


@dataclass(frozen=True)
class SparseTile:
    """nv vectors of pixels; blocks of inputs and of outputs."""

    nv: int
    block_k: int
    block_c: int


@dataclass(frozen=True)
class SparseSize:
    """Pixels of all images, channels, and weights that are not zero."""

    pixels: int
    in_c: int
    out_c: int
    weights: int


def sparse_tiles(isa: Isa, size: SparseSize) -> list[SparseTile]:
    """The tiles whose sums stay in registers, with the largest blocks that stay in L1."""
    found = []
    for nv in range(1, WIDEST + 1):
        if nv + 3 <= isa.registers and (nv == 1 or (nv - 1) * isa.lanes < size.pixels):
            width = nv * isa.lanes
            block_k = _even(size.in_c, min(MOST_PLACES, X_FLOATS // width), 1)
            found.append(SparseTile(nv, block_k, _even(size.out_c, Y_FLOATS // width, isa.lanes)))
    return found


def choose_sparse(isa: Isa, size: SparseSize) -> SparseTile:
    """The tile with the least estimated cycles; of equal ones the narrowest, which leaves more tasks."""
    return min(sparse_tiles(isa, size), key=lambda tile: (sparse_cycles(isa, tile, size), tile.nv))


def sparse_cycles(isa: Isa, tile: SparseTile, size: SparseSize) -> float:
    """Estimated cycles of all tiles."""
    whole, left = divmod(size.pixels, tile.nv * isa.lanes)
    rest = -(-left // isa.lanes)
    return whole * _tile_cycles(isa, tile.nv, tile, size) + (_tile_cycles(isa, rest, tile, size) if rest else 0.0)


def _tile_cycles(isa: Isa, nv: int, tile: SparseTile, size: SparseSize) -> float:
    costs = COSTS[isa.name]
    instructions = nv * (isa.fma_instructions + costs.separate_loads) + isa.broadcast_instructions + 3
    step = max(nv / isa.fma, (nv + 1) / isa.loads, instructions / isa.issue) + costs.product
    k_blocks, c_blocks = -(-size.in_c // tile.block_k), -(-size.out_c // tile.block_c)
    sums = size.out_c * k_blocks * (2 * nv / isa.loads + costs.row)
    turned = size.in_c * (c_blocks if k_blocks > 1 else 1) + size.out_c
    return size.weights * step + sums + turned * nv * costs.turn


def _even(total: int, most: int, unit: int) -> int:
    """The size of equal parts, in units, of at most `most`; a lone part may have any size."""
    if total <= most:
        return total
    most = max(unit, most // unit * unit)
    parts = -(-total // most)
    return min(most, -(-total // parts // unit) * unit)


VECTOR_BLOCK = 64
"""Outputs of one task of ec_sparse_vector_f32."""


def vector_tile(size: SparseSize) -> SparseTile:
    """The blocks of the kernel for one pixel."""
    return SparseTile(0, min(MOST_PLACES, size.in_c), VECTOR_BLOCK)


def vector_cycles(isa: Isa, size: SparseSize) -> float:
    """Estimated cycles of the sparse kernel for one pixel, its weights not in the cache."""
    costs = COSTS[isa.name]
    return size.weights * costs.dot + size.out_c * -(-size.in_c // MOST_PLACES) * costs.run


def dense_vector_cycles(isa: Isa, hot: float, weight_bytes: int, l2_bytes: int) -> float:
    """Those of the dense kernel, of which `hot` are estimated with weights in L2: larger ones come from memory."""
    return max(hot, weight_bytes / COSTS[isa.name].memory) if weight_bytes > l2_bytes // 2 else hot
