"""Winograd's convolution for C: blocks, tasks and memory of each form, and what it costs beside the direct kernel."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from .costs import FACTORS
from .table import Isa, Tile, choose_tile, estimate, get_isa

EDGES = (2, 4, 6)
GAP = 16  # as EC_WINOGRAD_GAP
MOST_TASKS = 8
MUCH_SCRATCH = 512 << 10
"""Bytes of scratch of a task from which on there are but half as many tasks."""
TASK_PRODUCTS = 1 << 18
"""Products that make a task worth its scratch, beyond the second."""
LARGEST_BLOCK = 64
L3_RATE, MEMORY_RATE = 10.0, 3.5
"""Bytes a cycle of weights from L3 and from memory."""
HIDDEN = 0.75
"""The part of the shorter of arithmetic and memory traffic that the longer one hides."""

# Cycles of the transforms, of one vector and one place of a tile (a tile has edge + 2 squared): there and back.
FORWARD = {"scalar": 8.0, "sse2": 8.0, "avx2": 5.0, "avx512": 6.5, "neon": 6.0}
BACK = {"scalar": 8.0, "sse2": 8.0, "avx2": 4.0, "avx512": 5.0, "neon": 5.0}


@dataclass(frozen=True)
class Layer:
    """A 3x3 convolution of stride 1: images, outputs, channels."""

    batch: int
    out_h: int
    out_w: int
    out_c: int
    in_c: int

    def tiles(self, edge: int) -> int:
        """Tiles of all images."""
        return self.batch * -(-self.out_h // edge) * -(-self.out_w // edge)

    def weight_bytes(self, edge: int = 1) -> int:
        """Bytes of the weights, transformed for tiles of an edge."""
        return 4 * self.in_c * self.out_c * (edge + 2) ** 2


@dataclass(frozen=True)
class Machine:
    """What decides: the vectors, the features of the CPU, the bytes of L2 and L3, and how fast weights arrive.

    `core` chooses the tile of a plan alone: what transforms take is not modelled for single cores.
    """

    isa: str
    registers: int | None
    l2: int
    l3: int
    rate: float = MEMORY_RATE
    core: str = ""

    @property
    def row(self) -> Isa:
        return get_isa(self.isa, self.registers)


@dataclass(frozen=True)
class WinogradPlan:
    """How a form runs: tiles of a block, tile of its products, panels of a unit, tasks, floats of scratch of each."""

    edge: int
    block: int
    tile: Tile
    panels: int
    tasks: int
    floats: int

    @property
    def uneven(self) -> bool:
        """Whether one of two threads has clearly more to do."""
        return 1 < self.tasks < 8 and self.tasks % 2 == 1

    @property
    def scratch(self) -> int:
        """Bytes of scratch of all tasks."""
        return 4 * self.tasks * self.floats


def weight_rate(total: int, l2: int, l3: int) -> float:
    """Bytes of weights a cycle, where all weights of a network take `total` bytes."""
    if total <= l2 // 2:
        return 16.0
    return L3_RATE if total <= l3 // 2 else MEMORY_RATE


def plan_winograd(machine: Machine, layer: Layer, edge: int, block: int) -> WinogradPlan:
    """The rest follows from the edge of a tile and the tiles of a block."""
    row, places = machine.row, (edge + 2) ** 2
    blocks = -(-layer.tiles(edge) // block)
    sizes = block, layer.out_c, layer.in_c
    tile = choose_tile(machine.isa, *sizes, machine.registers, one_row=blocks == 1, core=machine.core)
    count = -(-layer.out_c // tile.panel)
    parts = min(count, -(-MOST_TASKS // blocks))
    panels = -(-count // parts)
    width = -(-layer.in_c // row.lanes) * row.lanes + GAP
    floats = block * (places * width + places * tile.panel + GAP)
    worthwhile = max(2, layer.tiles(edge) * places * layer.in_c * layer.out_c // TASK_PRODUCTS)
    most = min(worthwhile, MOST_TASKS // 2 if 4 * floats > MUCH_SCRATCH else MOST_TASKS)
    return WinogradPlan(edge, block, tile, panels, min(most, blocks * -(-count // panels)), floats)


@functools.cache
def choose_winograd(machine: Machine, layer: Layer, edge: int) -> tuple[WinogradPlan, float]:
    """The plan of a form with least estimated cycles, and these.

    Of nearly equal ones it is one that two threads divide evenly, with the least scratch.
    """
    plans = [plan_winograd(machine, layer, edge, block) for block in _blocks(layer.tiles(edge))]
    costs = [(winograd_cycles(machine, layer, plan), plan) for plan in plans]
    enough = 1.03 * min(cycles for cycles, _ in costs)
    cycles, best = min((c for c in costs if c[0] <= enough), key=lambda cost: (cost[1].uneven, cost[1].floats, cost[0]))
    return best, cycles


@functools.cache
def direct_cycles(machine: Machine, layer: Layer) -> float:
    """Estimated cycles of the direct kernel."""
    sizes = layer.out_w, layer.out_c, 9 * layer.in_c
    tile = choose_tile(machine.isa, *sizes, machine.registers)
    arithmetic = layer.batch * layer.out_h * estimate(machine.row, tile, *sizes) * _factor(machine, "dense")
    return _together(arithmetic, layer.weight_bytes() / machine.rate)


def winograd_cycles(machine: Machine, layer: Layer, plan: WinogradPlan) -> float:
    """Estimated cycles of a plan: products, their traffic, transforms."""
    row, edge = machine.row, plan.edge
    tiles, places = layer.tiles(edge), (edge + 2) ** 2
    whole, rest = divmod(tiles, plan.block)
    each = estimate(row, plan.tile, plan.block, layer.out_c, layer.in_c)
    last = estimate(row, plan.tile, rest, layer.out_c, layer.in_c) if rest else 0.0
    arithmetic = places * (whole * each + last) * _factor(machine, "pointwise")
    into, out = -(-layer.in_c // row.lanes), -(-layer.out_c // row.lanes)
    transforms = tiles * places * (into * FORWARD[machine.isa] + out * BACK[machine.isa])
    return _together(arithmetic, _traffic(machine, layer, plan)) + transforms


def _traffic(machine: Machine, layer: Layer, plan: WinogradPlan) -> float:
    """Cycles of weights, once for each block, and of blocks, once for each panel where they do not stay in L2."""
    blocks, panels = -(-layer.tiles(plan.edge) // plan.block), -(-layer.out_c // plan.tile.panel)
    weights = layer.weight_bytes(plan.edge)
    first, again = weights / machine.rate, weights / max(machine.rate, weight_rate(weights, machine.l2, machine.l3))
    lost = max(0, 4 * plan.floats - machine.l2 // 2)
    slower = L3_RATE if 4 * plan.floats <= machine.l3 // 2 else MEMORY_RATE
    return first + again * (blocks - 1) + lost * panels * blocks / slower


def _blocks(tiles: int) -> Iterator[int]:
    """Sizes of nearly equal blocks."""
    sizes = (-(-tiles // parts) for parts in range(1, tiles + 1))
    return (size for size in dict.fromkeys(sizes) if size <= LARGEST_BLOCK)


def _together(arithmetic: float, traffic: float) -> float:
    return max(arithmetic, traffic) + (1 - HIDDEN) * min(arithmetic, traffic)


def _factor(machine: Machine, kind: str) -> float:
    return FACTORS[machine.isa, ""][kind].floats
