"""Cycles of the inner loop of each tile of the float kernel on Arm cores, as llvm-mca models them: no board is needed.

Figures are cycles of a vector multiply-add; `alone` is what multiply-adds alone take. Caches are not modelled.
The loops are compiled with the flags that artifacts for a CPU are compiled with. `--write` makes the table by which
tiles are chosen; `--network` tells what that changes. Needs llvm-mca 16 or newer (apt-get install llvm-19) and a gcc
for aarch64.

python bench/mca.py
python bench/mca.py --cores cortex-a55 --tiles 8x2,7x3
python bench/mca.py --write
python bench/mca.py --network mobilenet_v2.onnx
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgec.backends.c.emit import emit
from edgec.backends.c.tile_space import TileSpace
from edgec.driver import lower
from edgec.ir.dims import upper
from edgec.kernels.cores import FILE, Core, read_cores, text
from edgec.kernels.schedules import Question, Schedule, Space
from edgec.kernels.table import ISAS, estimate, get_isa, tiles
from edgec.targets import Target, cpu_names, get_target

ROOT = Path(__file__).resolve().parents[1]
ROW = "arm-neon"
ROUNDS = 100
Size = tuple[int, int]
MANY = 24
"""Instructions of which none waits for another."""
STAND_IN = {"cortex-a53": "mla", "cortex-a55": "mla"}
"""The integer multiply-add that stands for `fmla` where LLVM's models of cores in order err: on the A55 two of 128 bits
start in a cycle, unlike its `fmul`, and on the A53 nothing else may end in the ten cycles that one takes."""
SOURCE = """
void tile_{mr}x{nv}(const float *x, const float *w, float *y)
{{
    static const ec_conv_shape s = {{.batch = 1, .groups = 1, .out_h = 1, .out_w = {mr}, .out_c = {channels},
                                    .in_c = 512, .kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1,
                                    .dilation_h = 1, .dilation_w = 1, .x_w = 512, .y_w = {channels}, .block_h = 1,
                                    .block_c = 1}};
    ec_conv_f32(x, w, NULL, y, &s, {mr}, {nv}, ec_epilogue_none, NULL, 0, 1);
}}
"""
BRANCH = re.compile(r"(?:b\.?(?:ne|lo|hi|cc|cs|ls|lt|mi|pl)|cbnz\s+\w+,)\s+(\.\w+)")
Loop = list[str]


def assembly(sizes: Sequence[Size], compiler: str, flags: Sequence[str]) -> dict[str, Loop]:
    """The lines of each tile, without comments."""
    functions = (SOURCE.format(mr=mr, nv=nv, channels=nv * 4) for mr, nv in sizes)
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "tiles.c"), Path(folder, "tiles.s")
        source.write_text('#include "ec_conv_f32.h"' + "".join(functions))
        command = [*compiler.split(), *flags, f"-I{ROOT / 'kernels'}", "-S", str(source), "-o", str(made)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        lines = [re.sub(r"\s*(//|#).*", "", line).strip() for line in made.read_text().splitlines()]
    names = [f"{mr}x{nv}" for mr, nv in sizes]
    return {
        name: lines[lines.index(f"tile_{name}:") : lines.index(f".size\ttile_{name}, .-tile_{name}")] for name in names
    }


def inner_loop(lines: Loop) -> Loop:
    """The instructions of the loop with the most multiply-adds, without its branch."""
    loops = []
    for end, line in enumerate(lines):
        label = BRANCH.match(line)
        starts = [i for i in range(end) if label and lines[i] == f"{label[1]}:"]
        body = lines[starts[-1] + 1 : end + 1] if starts else []
        loops.append([one for one in body if one and not one.startswith(".") and not one.endswith(":")])
    return max(loops, key=multiply_adds)[:-1]


def multiply_adds(loop: Loop) -> int:
    return sum(line.startswith("fmla") for line in loop)


def cycles(loops: Sequence[Loop], core: str, program: str) -> list[float]:
    """Cycles of one round of each loop on a core."""
    command = [program, "-mtriple=aarch64-linux-gnu", f"-mcpu={core}", f"-iterations={ROUNDS}", "-"]
    regions = "\n".join("\n".join(["# LLVM-MCA-BEGIN", *loop, "# LLVM-MCA-END"]) for loop in loops)
    said = re.sub(r"^fmla\b", STAND_IN.get(core, "fmla"), regions, flags=re.MULTILINE)
    output = subprocess.run(command, check=True, input=said, capture_output=True, text=True).stdout
    return [int(found) / ROUNDS for found in re.findall(r"Total Cycles:\s+(\d+)", output)]


def targets() -> Mapping[str, Target]:
    """A target for each core: that of the CPU of its name."""
    rows = (get_target(ROW, cpu) for cpu in cpu_names(ROW))
    return {row.core: row for row in rows if row.cpu == row.core}


def modelled(core: str, target: Target, sizes: Sequence[Size], compiler: str, program: str) -> Core:
    """What llvm-mca says of a core."""
    loops = {name: inner_loop(lines) for name, lines in assembly(sizes, compiler, target.flags("gcc")).items()}
    adds = [f"fmla v{i}.4s, v30.4s, v31.s[0]" for i in range(MANY)]
    loads = [f"ldr q{i}, [x0, {16 * i}]" for i in range(MANY)]
    add, load, latency, *found = cycles([adds, loads, adds[:1], *loops.values()], core, program)
    each = {name: round(one / multiply_adds(loops[name]), 2) for name, one in zip(loops, found, strict=True)}
    return Core(core, round(MANY / add, 1), round(MANY / load, 1), round(latency, 1), each)


def table(cores: Sequence[Core]) -> list[str]:
    """A line for each tile."""
    lines = [f"{'tile':6} " + " ".join(f"{core.core:>12}" for core in cores)]
    lines.append(f"{'alone':6} " + " ".join(f"{1 / core.fma:12.2f}" for core in cores))
    return [
        *lines,
        *(f"{name:6} " + " ".join(f"{core.tiles[name]:12.2f}" for core in cores) for name in cores[0].tiles),
    ]


def about(compiler: str, program: str) -> dict[str, str]:
    """The first line of the table."""
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    gcc = subprocess.run([*compiler.split(), "-dumpfullversion"], check=True, capture_output=True, text=True).stdout
    llvm = re.search(r"version (\S+)", said)
    assert llvm is not None
    return {"llvm-mca": llvm[1], "gcc": gcc.strip(), "made by": "python bench/mca.py --write"}


@dataclass
class Listener:
    """A book that sums up what float contractions take on a core with the tiles that it is asked for."""

    core: str
    cycles: float = 0.0
    tiles: list[str] = field(default_factory=list)

    def choose(self, space: Space) -> Schedule:
        chosen = space.default()
        if isinstance(space, TileSpace) and space.caller.family == "conv_f32" and not space.is_open:
            shape, tile = space.apply(chosen)
            sizes = map(upper, (shape.out_w, shape.out_c, shape.depth, shape.pixel))
            row = estimate(get_isa("neon", core=self.core), tile, *sizes)
            self.cycles += shape.batch * shape.groups * shape.out_h * space.matrices * row
            self.tiles.append(f"{tile.mr}x{tile.nv}")
        return chosen

    def times(self, question: Question) -> Mapping[Schedule, float]:
        return {}


def network(model: str, core: str, target: Target) -> str:
    """What the float contractions of a network take with the tiles of the usual core, and with those of this one."""
    graph = lower(model, target.row, cpu=target.cpu, winograd="off").graph
    usual, own = Listener(core), Listener(core)
    emit(graph, replace(target, core=""), usual)
    emit(graph, target, own)
    changed = sum(a != b for a, b in zip(usual.tiles, own.tiles, strict=True))
    gain = 1 - own.cycles / usual.cycles
    return (
        f"{core:12} {usual.cycles / 1e6:9.2f} {own.cycles / 1e6:9.2f} Mcycles {gain:6.1%}"
        f" {changed} of {len(own.tiles)} tiles differ"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = targets()
    programs = (shutil.which(name) for name in ("llvm-mca-19", "llvm-mca-18", "llvm-mca-17", "llvm-mca-16"))
    parser.add_argument("--cores", default=",".join(sorted(known)), help="models of LLVM")
    parser.add_argument("--tiles", default="", help="such as 8x2,7x3; else all")
    parser.add_argument("--compiler", default="aarch64-linux-gnu-gcc")
    parser.add_argument("--mca", default=next(filter(None, programs), "llvm-mca"))
    parser.add_argument("--write", action="store_true", help=f"write {FILE.relative_to(ROOT)}")
    parser.add_argument("--network", default="", help="a model whose contractions are summed up, by the table")
    options = parser.parse_args()
    cores = options.cores.split(",")
    if options.network:
        print("\n".join(network(options.network, core, known[core]) for core in cores if core in read_cores()))
        return
    sizes = [tuple(map(int, one.split("x"))) for one in options.tiles.split(",") if one]
    sizes = sizes or [(t.mr, t.nv) for t in tiles(ISAS["neon"])]
    found = [modelled(core, known[core], sizes, options.compiler, options.mca) for core in cores]
    if options.write:
        FILE.write_text(text(about(options.compiler, options.mca), found), encoding="utf-8")
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
