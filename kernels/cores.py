"""What the tiles of the kernels take on Arm cores, as llvm-mca models them.

`modelled/cores.jsonl` is made by `python bench/mca.py --write`: a line that says by what, then one for each core and
family of kernels: `f32`, `f16`, `i8` without and `i8-dotprod` with dot products.

    {"core": "cortex-a55", "family": "f32", "fma": 1.0, "loads": 1.0, "latency": 4.0, "tiles": {"8x2": 1.3, ...},
     "depthwise": {"1x7": 2.37, ...}}
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent / "modelled" / "cores.jsonl"


@dataclass(frozen=True)
class Core:
    """One model: vector multiply-adds and loads a cycle, cycles from one sum to the next.

    `tiles` are cycles for each multiply-add of the inner loop of a tile, by its name (`8x2`), `depthwise` those for
    each tap of 3x3 filters by stride and pixels (`1x7`). A multiply-add of bytes adds four products in each lane.
    """

    core: str
    family: str
    fma: float
    loads: float
    latency: float
    tiles: Mapping[str, float]
    depthwise: Mapping[str, float]

    def step(self, mr: int, nv: int) -> float | None:
        """Cycles of one k of a tile, None for one that was not modelled."""
        each = self.tiles.get(f"{mr}x{nv}")
        return None if each is None else each * mr * nv


def text(about: Mapping[str, Any], cores: Iterable[Core]) -> str:
    """The content of the file."""
    return "".join(f"{json.dumps(line)}\n" for line in (about, *map(asdict, cores)))


@functools.cache
def read_rows() -> tuple[Core, ...]:
    """All rows that come with edgec, in the order of the file."""
    _, *lines = FILE.read_text(encoding="utf-8").splitlines()
    return tuple(Core(**json.loads(line)) for line in lines)


@functools.cache
def read_cores(family: str = "f32") -> Mapping[str, Core]:
    """The cores whose kernels of a family were modelled, by name."""
    return {row.core: row for row in read_rows() if row.family == family}


def depthwise_cycles(core: Core, stride: int, mr: int, out_w: int) -> float:
    """Cycles of one row of a 3x3 filter for four channels, `mr` pixels at a time."""
    whole, rest = divmod(out_w, mr)
    cycles = whole * mr * core.depthwise[f"{stride}x{mr}"]
    return 9 * (cycles + rest * core.depthwise[f"{stride}x{rest}"] if rest else cycles)
