"""Which C kernel serves what, on which vectors, and with which tile and blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from .cores import Core, depthwise_cycles, read_cores

MAX_PIXELS = 16  # bounds of the arrays in ec_conv_f32.h
MAX_VECTORS = 8
DEPTHWISE_PIXELS = 8  # as EC_DEPTHWISE_PIXELS
DEPTHWISE_TAPS = 9  # as EC_DEPTHWISE_TAPS: smaller filters stay in registers
LARGE_FILTER_PIXELS = {"avx2": 8, "avx512": 8}  # 5x5 filters take 0.75 and 0.9 of the time that they take with 4
L1_SHARE = 24 << 10  # a larger panel of weights comes from L2 for every tile
L1_WAY, L1_WAYS = 4096, 8  # lines this many bytes apart share a set, which holds so many of them
TASK_CYCLES = 4000  # what is worth a task of its own, for another thread
MOST_TASKS = 16
NEARLY = 1.012  # costs that differ by less are the same
FEW_PIXELS = 32  # a task of fewer reads its panel of weights too often
CROWDED = 1.3  # what a tile takes whose pixels are more than their set holds


@dataclass(frozen=True)
class Kernel:
    """A kernel family: the header that holds it and the operations that it serves."""

    name: str
    header: str
    serves: tuple[str, ...]


KERNELS = (
    Kernel("conv_f32", "ec_conv_f32.h", ("conv", "matmul", "fully_connected")),
    Kernel("conv_f16", "ec_conv_f16.h", ("half_conv", "half_matmul")),
    Kernel("winograd_f32", "ec_winograd_f32.h", ("conv (3x3, stride 1)",)),
    Kernel("sparse_f32", "ec_sparse_f32.h", ("sparse_conv", "sparse_matmul")),
    Kernel("depthwise_f32", "ec_depthwise_f32.h", ("depthwise_conv",)),
    Kernel("pool_f32", "ec_pool_f32.h", ("max_pool", "mean_pool", "global_max_pool", "global_mean_pool")),
    Kernel("cascade", "ec_cascade.h", ("runs of convolutions and pools, some rows at a time",)),
    Kernel("transpose_f32", "ec_transpose_f32.h", ("transpose",)),
    Kernel("interleave_f32", "ec_interleave_f32.h", ("relayout of three channels",)),
    Kernel("pack_f32", "ec_pack_f32.h", ("pack_matrix",)),
    Kernel("attention_f32", "ec_attention_f32.h", ("attention",)),
    Kernel("recurrent", "ec_recurrent.h", ("rnn", "gru", "lstm", "quantized_rnn", "quantized_gru", "quantized_lstm")),
    Kernel("element", "ec_element.h", ("single elements of any type",)),
    Kernel("scatter", "ec_scatter.h", ("scatter_elements", "scatter_rows", "cumulative")),
    Kernel("select", "ec_select.h", ("top_k", "max_places", "non_zero", "compress", "unique")),
    Kernel("boxes", "ec_boxes.h", ("non_max_suppression",)),
    Kernel("sample", "ec_sample.h", ("grid_sample", "roi_align", "max_roi_pool", "resize_axis", "deform_columns")),
    Kernel("tree", "ec_tree.h", ("tree_ensemble", "look_up", "n_grams")),
    Kernel("text", "ec_text.h", ("strings: equal, concat, split, normalize, find, match",)),
    Kernel("contract", "ec_contract.h", ("contract",)),
    Kernel("conv_i8", "ec_conv_i8.h", ("quantized_conv", "quantized_matmul")),
    Kernel("depthwise_i8", "ec_depthwise_i8.h", ("quantized_depthwise_conv",)),
    Kernel("pool_i8", "ec_pool_i8.h", ("quantized_max_pool", "quantized_mean_pool")),
    Kernel("conv_i16", "ec_conv_i16.h", ("conv and matmul of 16-bit values",)),
    Kernel("depthwise_i16", "ec_depthwise_i16.h", ("depthwise_conv of 16-bit values",)),
    Kernel("pool_i16", "ec_pool_i16.h", ("max_pool and mean_pool of 16-bit values",)),
    Kernel("table_i8", "ec_table_i8.h", ("quantized_elementwise",)),
    Kernel("conv_i4", "ec_conv_i4.h", ("quantized_conv with 4-bit weights", "quantized_matmul with 4-bit weights")),
    Kernel("weights", "ec_weights.h", ("weights of 4, 8 and 16 bits for conv_f32 and depthwise_f32",)),
    Kernel("math", "ec_math.h", ("exp", "log", "tanh", "erf", "sigmoid", "sin", "cos", "pow")),
    Kernel("narrow", "ec_narrow.h", ("cast to and from f16, bf16 and types of 8 and fewer bits", "bit-cast")),
    Kernel("simd", "ec_simd.h", ("elementwise",)),
    Kernel("store", "ec_store.h", ("results in half precision",)),
    Kernel("simd_i8", "ec_simd_i8.h", ("quantize", "dequantize")),
    Kernel("simd_i16", "ec_simd_i16.h", ("quantize and dequantize of 16-bit values",)),
)


@dataclass(frozen=True)
class Isa:
    """A vector layer and what its usual cores can do in one cycle; good for ranking tiles, not for times."""

    name: str
    lanes: int  # floats in a vector
    registers: int
    fma: float  # vectors multiplied and added a cycle
    loads: float
    latency: float  # cycles from one sum to the next
    issue: float = 6.0
    fma_instructions: int = 1
    broadcast_instructions: int = 1
    stream: float = 16.0  # bytes a cycle of weights that do not stay in L1
    scratch: int = 1  # registers beside the sums and the weights of one k
    widest: int = MAX_VECTORS
    factors: int = 1  # values of a pixel that arrive in one load, where a lane of a register can be multiplied by
    halves: bool = False  # multiplies half a vector in half the time
    core: Core | None = field(default=None, compare=False)  # whose tiles were modelled, in the place of this row
    splits: bool = True  # keeps sums apart along k, where a tile has few
    number: int = 4  # bytes of a weight
    narrow: int = MAX_PIXELS  # pixels of a tile of one vector

    @property
    def define(self) -> str:
        """The macro that selects it in ec_simd.h."""
        return f"EC_ISA_{self.name.upper()}"

    def fits(self, mr: int, nv: int) -> bool:
        """Whether the tile's sums and operands stay in registers."""
        operands = -(-mr * self.factors // self.lanes) + 4 if self.factors > 1 else nv + self.scratch
        return nv <= self.widest and (nv > 1 or mr <= self.narrow) and mr * nv + operands <= self.registers


ISAS = {
    isa.name: isa
    for isa in (
        Isa("scalar", 1, 16, fma=1, loads=2, latency=4, issue=5.5, fma_instructions=3, scratch=2),
        Isa(
            "sse2", 4, 16, fma=2, loads=2, latency=4, issue=5.5, fma_instructions=3, broadcast_instructions=2, scratch=4
        ),
        Isa("avx2", 8, 16, fma=2, loads=1.8, latency=5.5),
        Isa("avx512", 16, 32, fma=1, loads=1.5, latency=4, halves=True),
        Isa("neon", 4, 32, fma=1, loads=1, latency=7, issue=3, factors=4),
    )
}
ARMV7 = Isa("neon", 4, 16, fma=0.5, loads=1, latency=8, issue=2, factors=2)
HALVES = Isa("f16", 8, 32, fma=1, loads=1, latency=7, issue=3, factors=8, splits=False, number=2, narrow=7)
"""Vectors of numbers in half precision, for ec_conv_f16.h."""


@dataclass(frozen=True, order=True)
class Tile:
    """mr pixels by nv vectors of `lanes` channels."""

    mr: int
    nv: int
    lanes: int

    @property
    def panel(self) -> int:
        """Channels of one panel of packed weights."""
        return self.nv * self.lanes


@dataclass(frozen=True)
class Blocks:
    """One task: `rows` output rows by `panels` panels."""

    rows: int
    panels: int


def get_isa(name: str, registers: int | None = None, core: str = "") -> Isa:
    """The row of an ISA: `f16` is `HALVES`, neon with 16 registers ARMv7; `core`: one of `read_cores`, or none."""
    if name == "neon" and registers == 16:
        return ARMV7
    row, family = (HALVES, "f16") if name == HALVES.name else (ISAS[name], "f32")
    if not core or core not in read_cores(family):
        return row
    known = read_cores(family)[core]
    return replace(row, fma=known.fma, loads=known.loads, latency=known.latency, core=known)


def tiles(isa: Isa) -> Iterator[Tile]:
    """All tiles that stay in the registers of the ISA, and all of one pixel, whose weights need no registers."""
    for mr in range(1, MAX_PIXELS + 1):
        for nv in range(1, MAX_VECTORS + 1):
            if isa.fits(mr, nv) or mr == 1:
                yield Tile(mr, nv, isa.lanes)


def choose_tile(
    isa: str,
    out_w: int,
    out_c: int,
    k: int,
    registers: int | None = None,
    vectors: int = 0,
    pixel: int = 0,
    one_row: bool = False,
    core: str = "",
) -> Tile:
    """The tile with the least estimated cycles for rows of out_w pixels, out_c channels a group, k products.

    `vectors` fixes the width of a panel where the weights are packed already (0: free); `pixel` is the distance in
    bytes between the pixels that a tile reads (0: unknown). With `one_row` threads have but panels to divide: of tiles
    that cost nearly the same, one whose panels go round evenly. `core` is as for `get_isa`.
    """
    row = get_isa(isa, registers, core)
    useful = useful_tiles(row, out_w, out_c, vectors)
    costs = sorted((estimate(row, t, out_w, out_c, k, pixel), t.mr * t.nv, t.nv, t) for t in useful)
    if not one_row:
        return costs[0][-1]
    near = [cost for cost in costs if cost[0] <= NEARLY * costs[0][0]]
    return min(near, key=lambda cost: _idle(cost[-1], out_c))[-1]


def _idle(tile: Tile, out_c: int) -> int:
    """How much two and four threads wait for one another when they divide the panels, in quarters of the work."""
    vectors = -(-out_c // tile.lanes)
    panels = -(-vectors // tile.nv)
    two, four = (threads * -(-panels // threads) * tile.nv - vectors for threads in (2, 4))
    return (4 * two + 2 * four) // vectors


def useful_tiles(isa: Isa, out_w: int, out_c: int, vectors: int = 0) -> Iterator[Tile]:
    """The tiles that rows of out_w pixels and out_c channels may take; `vectors` as for `choose_tile`."""
    fitting = (tile for tile in tiles(isa) if tile.mr <= out_w and (out_w == 1 or isa.fits(tile.mr, tile.nv)))
    return (tile for tile in fitting if tile.nv == vectors or (not vectors and tile.panel < out_c + isa.lanes * 2))


def estimate(isa: Isa, tile: Tile, out_w: int, out_c: int, k: int, pixel: int = 0) -> float:
    """Cycles of one output row, with one percent more for each further copy of the code that the remainders need."""
    rows, rest = divmod(out_w, tile.mr)
    panels, left = divmod(out_c, tile.panel)
    last = -(-left // isa.lanes)
    spared = 0.5 if isa.halves and 0 < left % isa.lanes <= isa.lanes // 2 else 0.0
    once = out_w == 1
    cycles = sum(
        count * (rows * _tile_cycles(isa, tile.mr, nv, k, once, half) + _tile_cycles(isa, rest, nv, k, once, half))
        for count, nv, half in ((panels, tile.nv, 0.0), (1, last, spared))
    )
    copies = (1 + (rest > 0)) * ((panels > 0) + (left > 0))
    return cycles * (1 + 0.01 * (copies - 1)) * (CROWDED if _crowds(tile.mr, pixel) else 1)


def _crowds(pixels: int, distance: int) -> bool:
    """Whether pixels that a tile reads at once drive one another out of L1: more in one set than it has ways."""
    sets = L1_WAY // math.gcd(distance, L1_WAY)
    return distance > 0 and pixels > sets * L1_WAYS


def depthwise_pixels(isa: str, taps: int, out_w: int, stride: int = 1, core: str = "") -> int:
    """The pixels of a tile of the depthwise kernel: more where its filter is read anew for each tile.

    On a `core` of `read_cores` 3x3 filters of stride 1 or 2 take what is fastest.
    """
    usual = min(LARGE_FILTER_PIXELS.get(isa, 4) if taps > DEPTHWISE_TAPS else 4, out_w)
    if not core or taps != DEPTHWISE_TAPS or stride > 2:
        return usual
    return modelled_pixels(read_cores()[core], usual, out_w, stride)


def modelled_pixels(core: Core, usual: int, out_w: int, stride: int) -> int:
    """The pixels by which 3x3 filters of stride 1 or 2 cost least; the usual ones where they cost nearly as little."""
    costs = {mr: depthwise_cycles(core, stride, mr, out_w) for mr in range(1, min(out_w, DEPTHWISE_PIXELS) + 1)}
    best = min(costs, key=lambda mr: costs[mr])
    return best if NEARLY * costs[best] < costs[usual] else usual


def choose_recurrent(isa: str, batch: int, hidden: int, gates: int, registers: int | None = None) -> Tile:
    """The rows of the batch and the vectors of units whose gates are summed at once.

    The vectors divide those of the state, so that no panel is half empty.
    """
    row = get_isa(isa, registers)
    vectors = -(-hidden // row.lanes)

    def cost(tile: Tile) -> float:
        times = -(-batch // tile.mr) * (vectors // tile.nv)
        return times * _tile_cycles(row, tile.mr, gates * tile.nv, hidden, True)

    fitting = [
        Tile(mr, nv, row.lanes)
        for nv in range(1, MAX_VECTORS // gates + 1)
        for mr in range(1, min(batch, MAX_PIXELS) + 1)
        if vectors % nv == 0 and (mr == 1 or (mr + 1) * gates * nv + 2 <= row.registers)
    ]
    return min(fitting, key=lambda tile: (cost(tile), -tile.nv, tile.mr))


def choose_blocks(
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
    """Blocks whose weights take half of L2 and whose input rows a quarter; `tasks` or more, if they divide."""
    count = -(-out_c // tile.panel)
    panels = max(1, min(count, l2 // 2 // (k * tile.panel * 4)))
    affordable = (max(l2 // 4, l1) // max(row_bytes, 1) - kernel_h) // stride_h + 1
    rows = max(1, min(out_h, affordable, -(-256 // out_w)))
    if k * tile.panel * 4 > l1:  # a panel comes from L2 for each block of rows: have more of them
        rows = max(1, min(out_h, max(affordable, 1)))
    return _divided(Blocks(_even(out_h, rows), _even(count, panels)), out_h, out_w, count, tasks)


def worthwhile_tasks(cycles: float) -> int:
    """How many tasks a layer of so many cycles is worth."""
    return max(1, min(MOST_TASKS, int(cycles / TASK_CYCLES)))


def _divided(blocks: Blocks, out_h: int, out_w: int, count: int, tasks: int) -> Blocks:
    """Halves of blocks. Where a block has all rows, panels come one after another anyway: dividing them is free."""
    rows, panels = blocks.rows, blocks.panels
    while -(-out_h // rows) * -(-count // panels) < tasks:
        long = rows > 1 and rows * out_w >= 2 * FEW_PIXELS
        if panels > 1 and (rows >= out_h or panels >= rows or not long):
            panels = _even(count, -(-panels // 2))
        elif long:
            rows = _even(out_h, -(-rows // 2))
        else:
            break
    return Blocks(rows, panels)


def _even(total: int, most: int) -> int:
    """The size of equal parts of at most `most`."""
    parts = -(-total // most)
    return -(-total // parts)


def _tile_cycles(isa: Isa, mr: int, nv: int, k: int, once: bool, spared: float = 0.0) -> float:
    """once: the weights are read once and thus never from L1; spared: the part of a vector that costs nothing."""
    if mr == 0 or nv == 0:
        return 0.0
    broadcasts = mr / isa.factors
    row = nv * isa.lanes * isa.number
    streamed = row if once or k * row > L1_SHARE else 0
    step = max(
        _step(isa, mr, nv, spared),
        isa.latency / _split(isa, mr, nv, k),
        streamed / isa.stream,
    )
    pace = 1 / isa.core.fma if isa.core else 1.0
    # Of equal tiles, the one that asks less of the load units.
    return k * (step + 0.02 * (broadcasts + nv) * pace) + 3 * mr * nv * pace + 20 * pace


def _step(isa: Isa, mr: int, nv: int, spared: float) -> float:
    """Cycles of one k whose weights are in L1 and whose sums need not be waited for."""
    modelled = isa.core.step(mr, nv) if isa.core else None
    if modelled is not None:
        return modelled
    broadcasts = mr / isa.factors
    instructions = mr * nv * isa.fma_instructions + broadcasts * isa.broadcast_instructions + nv + 2
    return max(mr * (nv - spared) / isa.fma, (broadcasts + nv) / isa.loads, instructions / isa.issue)


def _split(isa: Isa, mr: int, nv: int, k: int) -> int:
    """As ec_conv_split."""
    if not isa.splits:
        return 1
    split = next(split for split in (1, 2, 4, 8) if split * mr * nv >= 8)
    return split if k >= 4 * split and split * mr * nv + nv + 2 <= isa.registers else 1
