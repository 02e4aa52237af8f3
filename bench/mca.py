"""Cycles of the inner loop of each tile of the kernels on Arm cores, as llvm-mca models them: no board is needed.

Figures are cycles of a vector multiply-add, of bytes of four products in each lane; `alone` is what multiply-adds
alone take. Caches are not modelled. The loops are compiled with the flags that artifacts for a CPU are compiled with.
`--write` makes the table by which tiles are chosen; `--network` tells what that changes. Needs llvm-mca 16 or newer
(apt-get install llvm-19) and a gcc for aarch64.

python bench/mca.py
python bench/mca.py --cores cortex-a55 --tiles 8x2,7x3
python bench/mca.py --write
python bench/mca.py --network mobilenet_v2.onnx
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mca_loops import COMPILER, FAMILIES, LANES, ROOT, families, find_program, modelled, targets

from edgec.backends.c.emit import emit
from edgec.backends.c.tile_space import DepthwiseSpace, TileSpace
from edgec.driver import lower
from edgec.ir import Graph
from edgec.ir.dims import upper
from edgec.ir.ops import ConvInteger, Fused
from edgec.kernels.cores import FILE, Core, depthwise_cycles, read_cores, text
from edgec.kernels.schedules import Question, Schedule, Space
from edgec.kernels.table import estimate, get_isa
from edgec.kernels.table_i8 import depthwise_pixels_i8, estimate_i8, get_isa_i8
from edgec.targets import Target


def table(cores: Sequence[Core]) -> list[str]:
    """A line for each tile of a family, then one for each stride and pixels of depthwise ones."""
    lines = [f"{cores[0].family:10} " + " ".join(f"{core.core:>12}" for core in cores)]
    lines.append(f"{'alone':10} " + " ".join(f"{1 / core.fma:12.2f}" for core in cores))
    for one in zip(*({**core.tiles, **_renamed(core.depthwise)}.items() for core in cores), strict=True):
        lines.append(f"{one[0][0]:10} " + " ".join(f"{each:12.2f}" for _, each in one))
    return lines


def _renamed(depthwise: Mapping[str, float]) -> dict[str, float]:
    return {f"dw {name}": each for name, each in depthwise.items()}


def about(compiler: str, program: str) -> dict[str, str]:
    """The first line of the table."""
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    gcc = subprocess.run([*compiler.split(), "-dumpfullversion"], check=True, capture_output=True, text=True).stdout
    llvm = re.search(r"version (\S+)", said)
    assert llvm is not None
    return {"llvm-mca": llvm[1], "gcc": gcc.strip(), "made by": "python bench/mca.py --write"}


FLOATS = {"conv_f32": "neon", "conv_f16": "f16"}
"""Kernels of floats, and their rows."""


@dataclass
class Listener:
    """A book that sums up what contractions, and 3x3 depthwise ones, take on a core with the tiles asked for."""

    core: str
    cycles: float = 0.0
    schedules: list[Schedule] = field(default_factory=list)

    def choose(self, space: Space) -> Schedule:
        chosen = space.default()
        if isinstance(space, TileSpace) and space.caller.family in (*FLOATS, "conv_i8"):
            self.add(chosen, self.contraction(space, chosen))
        if isinstance(space, DepthwiseSpace) and space.question.sizes[6:8] == (3, 3):
            self.add(chosen, depthwise(read_cores()[self.core], space.question.sizes, *chosen))
        return chosen

    def add(self, schedule: Schedule, cycles: float) -> None:
        self.schedules.append(schedule)
        self.cycles += cycles

    def contraction(self, space: TileSpace, schedule: Schedule) -> float:
        shape, tile = space.apply(schedule)
        width, channels, depth, pixel = map(upper, (shape.out_w, shape.out_c, shape.depth, shape.pixel))
        rows = shape.batch * shape.groups * shape.out_h * space.matrices
        if space.caller.family in FLOATS:
            known = get_isa(FLOATS[space.caller.family], core=self.core)
            return rows * estimate(known, tile, width, channels, depth, pixel)
        isa = get_isa_i8("neon", space.caller.target.features, core=self.core)
        return rows * estimate_i8(isa, tile, width, channels, depth)

    def times(self, question: Question) -> Mapping[Schedule, float]:
        return {}


def depthwise(core: Core, sizes: Sequence[int], pixels: int) -> float:
    """Cycles of a 3x3 depthwise layer, its sizes as those of a window."""
    batch, channels, height, width = sizes[:4]
    stride = sizes[9]
    return batch * height * -(-channels // LANES) * depthwise_cycles(core, stride, pixels, width)


def byte_filters(graph: Graph) -> Iterator[ConvInteger]:
    """The 3x3 depthwise layers of bytes, whose pixels no book knows."""
    for op in graph:
        if isinstance(op, Fused):
            yield from byte_filters(op.body)
        if isinstance(op, ConvInteger) and op.is_depthwise and op.w.shape[2:] == (3, 3) and op.x.dtype.bits == 8:
            yield op


def hear(graph: Graph, target: Target, core: str) -> Listener:
    """What the contractions of a graph take on a core with the tiles of a target."""
    heard = Listener(core)
    emit(graph, target, heard)
    for op in byte_filters(graph):
        batch, channels, height, width = map(upper, op.type.shape)
        pixels = depthwise_pixels_i8("neon", target.features, 32, 9, width, op.strides[1], target.core)
        row = get_isa_i8("neon", target.features, core=core).core
        assert row is not None
        sizes = (batch, channels, height, width, 1, 1, 3, 3, *op.strides)
        heard.add((pixels,), depthwise(row, sizes, pixels))
    return heard


def network(model: str, core: str, target: Target, precision: str) -> str:
    """What the contractions of a network take with the tiles of the usual core, and with those of this one."""
    graph = lower(model, target.row, cpu=target.cpu, winograd="off", precision=precision).graph
    usual, own = hear(graph, replace(target, core=""), core), hear(graph, target, core)
    changed = sum(a != b for a, b in zip(usual.schedules, own.schedules, strict=True))
    gain = 1 - own.cycles / usual.cycles
    return (
        f"{core:12} {usual.cycles / 1e6:9.3f} {own.cycles / 1e6:9.3f} Mcycles {gain:6.1%}"
        f" {changed} of {len(own.schedules)} schedules differ"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = targets()
    parser.add_argument("--cores", default=",".join(sorted(known)), help="models of LLVM")
    parser.add_argument("--families", default=",".join(FAMILIES), help="kernels")
    parser.add_argument("--tiles", default="", help="such as 8x2,7x3; else all")
    parser.add_argument("--compiler", default=COMPILER)
    parser.add_argument("--mca", default=find_program() or "llvm-mca")
    parser.add_argument("--write", action="store_true", help=f"write {FILE.relative_to(ROOT)}")
    parser.add_argument("--network", default="", help="a model whose contractions are summed up, by the table")
    parser.add_argument("--precision", default="f32", choices=("f32", "f16"), help="of the products of --network")
    options = parser.parse_args()
    cores, asked = options.cores.split(","), [FAMILIES[name] for name in options.families.split(",")]
    if options.write and (options.tiles or sorted(cores) != sorted(known) or len(asked) != len(FAMILIES)):
        parser.error("--write takes all cores, families and tiles")
    if options.network:
        able = [core for core in cores if options.precision == "f32" or core in read_cores(options.precision)]
        print("\n".join(network(options.network, core, known[core], options.precision) for core in able))
        return
    sizes = [tuple(map(int, one.split("x"))) for one in options.tiles.split(",") if one]
    found: list[Core] = []
    for family in asked:
        having = [known[core] for core in cores if family in families(known[core])]
        found += (modelled(row, family, sizes or family.sizes, options.compiler, options.mca) for row in having)
    if options.write:
        FILE.write_text(text(about(options.compiler, options.mca), found), encoding="utf-8")
    by_family = [[core for core in found if core.family == family.name] for family in asked]
    print("\n\n".join("\n".join(table(some)) for some in by_family if some))


if __name__ == "__main__":
    main()
