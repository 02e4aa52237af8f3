"""Cycles of the inner loop of each tile of the float kernels on Arm cores, as llvm-mca models them: no board is needed.

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
from edgec.backends.c.tile_space import DepthwiseSpace, TileSpace
from edgec.driver import lower
from edgec.ir.dims import upper
from edgec.kernels.cores import FILE, Core, depthwise_cycles, read_cores, text
from edgec.kernels.schedules import Question, Schedule, Space
from edgec.kernels.table import DEPTHWISE_PIXELS, ISAS, estimate, get_isa, tiles
from edgec.targets import Target, cpu_names, get_target

ROOT = Path(__file__).resolve().parents[1]
ROW = "arm-neon"
LANES = ISAS["neon"].lanes
ROUNDS = 100
Size = tuple[int, int]
MANY = 24
"""Instructions of which none waits for another."""
WINDOWS = [(stride, mr) for stride in (1, 2) for mr in range(1, DEPTHWISE_PIXELS + 1)]
MODELLED = {(3, 3, stride, stride) for stride, _ in WINDOWS}
STAND_IN = {"cortex-a53": "mla", "cortex-a55": "mla"}
"""The integer multiply-add that stands for `fmla` where LLVM's models of cores in order err: on the A55 two of 128 bits
start in a cycle, unlike its `fmul`, and on the A53 nothing else may end in the ten cycles that one takes."""
CONTRACTION = """
void loop{number}(const float *x, const float *w, float *y)
{{
    static const ec_conv_shape s = {{.batch = 1, .groups = 1, .out_h = 1, .out_w = {mr}, .out_c = {channels},
                                    .in_c = 512, .kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1,
                                    .dilation_h = 1, .dilation_w = 1, .x_w = 512, .y_w = {channels}, .block_h = 1,
                                    .block_c = 1}};
    ec_conv_f32(x, w, NULL, y, &s, {mr}, {nv}, ec_epilogue_none, NULL, 0, 1);
}}
"""
DEPTHWISE = """
void loop{number}(const float *x, const float *w, float *y)
{{
    static const ec_conv_shape s = {{.batch = 1, .groups = 64, .out_h = 1, .out_w = 20 * {mr}, .out_c = 1, .in_c = 1,
                                    .kernel_h = 3, .kernel_w = 3, .stride_h = {stride}, .stride_w = {stride},
                                    .dilation_h = 1, .dilation_w = 1, .x_h = 32768, .x_w = 64, .y_h = 32768,
                                    .y_w = 64}};
    ec_depthwise_f32(x, w, w, y, &s, {mr}, ec_epilogue_none, NULL, 0, 1);
}}
"""
BRANCH = re.compile(r"(?:b\.?(?:ne|lo|hi|cc|cs|ls|lt|mi|pl)|cbnz\s+\w+,)\s+(\.\w+)")
Loop = list[str]


def sources(tiles: Sequence[Size], windows: Sequence[Size]) -> list[str]:
    """A function for each tile, and for each depthwise one by its stride and pixels."""
    dense = [CONTRACTION.format(number=i, mr=mr, nv=nv, channels=nv * 4) for i, (mr, nv) in enumerate(tiles)]
    return dense + [DEPTHWISE.format(number=i, stride=s, mr=mr) for i, (s, mr) in enumerate(windows, len(dense))]


def assembly(functions: Sequence[str], compiler: str, flags: Sequence[str]) -> list[Loop]:
    """The lines of each function, without comments."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "loops.c"), Path(folder, "loops.s")
        source.write_text('#include "ec_conv_f32.h"\n#include "ec_depthwise_f32.h"\n' + "".join(functions))
        command = [*compiler.split(), *flags, f"-I{ROOT / 'kernels'}", "-S", str(source), "-o", str(made)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        lines = [re.sub(r"\s*(//|#).*", "", line).strip() for line in made.read_text().splitlines()]
    ends = (lines.index(f".size\tloop{i}, .-loop{i}") for i in range(len(functions)))
    return [lines[lines.index(f"loop{i}:") : end] for i, end in enumerate(ends)]


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
    functions = assembly(sources(sizes, WINDOWS), compiler, target.flags("gcc"))
    loops = [inner_loop(lines) for lines in functions]
    adds = [f"fmla v{i}.4s, v30.4s, v31.s[0]" for i in range(MANY)]
    loads = [f"ldr q{i}, [x0, {16 * i}]" for i in range(MANY)]
    add, load, latency, *found = cycles([adds, loads, adds[:1], *loops], core, program)
    each = (round(one / multiply_adds(loop), 2) for one, loop in zip(found, loops, strict=True))
    named = list(zip((f"{first}x{second}" for first, second in (*sizes, *WINDOWS)), each, strict=True))
    dense, depthwise = dict(named[: len(sizes)]), dict(named[len(sizes) :])
    return Core(core, round(MANY / add, 1), round(MANY / load, 1), round(latency, 1), dense, depthwise)


def table(cores: Sequence[Core]) -> list[str]:
    """A line for each tile, then one for each stride and pixels of depthwise ones."""
    lines = [f"{'tile':6} " + " ".join(f"{core.core:>12}" for core in cores)]
    lines.append(f"{'alone':6} " + " ".join(f"{1 / core.fma:12.2f}" for core in cores))
    for one in zip(*({**core.tiles, **_renamed(core.depthwise)}.items() for core in cores), strict=True):
        lines.append(f"{one[0][0]:6} " + " ".join(f"{each:12.2f}" for _, each in one))
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


@dataclass
class Listener:
    """A book that sums up what float contractions, and 3x3 depthwise ones, take on a core with the tiles asked for."""

    core: str
    cycles: float = 0.0
    schedules: list[Schedule] = field(default_factory=list)

    def choose(self, space: Space) -> Schedule:
        chosen = space.default()
        if isinstance(space, TileSpace) and space.caller.family == "conv_f32":
            self.add(chosen, self.contraction(space, chosen))
        if isinstance(space, DepthwiseSpace) and space.question.sizes[6:10] in MODELLED:
            self.add(chosen, self.depthwise(space, *chosen))
        return chosen

    def add(self, schedule: Schedule, cycles: float) -> None:
        self.schedules.append(schedule)
        self.cycles += cycles

    def contraction(self, space: TileSpace, schedule: Schedule) -> float:
        shape, tile = space.apply(schedule)
        sizes = map(upper, (shape.out_w, shape.out_c, shape.depth, shape.pixel))
        row = estimate(get_isa("neon", core=self.core), tile, *sizes)
        return shape.batch * shape.groups * shape.out_h * space.matrices * row

    def depthwise(self, space: DepthwiseSpace, pixels: int) -> float:
        batch, channels, height, width = space.question.sizes[:4]
        row = depthwise_cycles(read_cores()[self.core], space.question.sizes[9], pixels, width)
        return batch * height * -(-channels // LANES) * row

    def times(self, question: Question) -> Mapping[Schedule, float]:
        return {}


def network(model: str, core: str, target: Target) -> str:
    """What the contractions of a network take with the tiles of the usual core, and with those of this one."""
    graph = lower(model, target.row, cpu=target.cpu, winograd="off").graph
    usual, own = Listener(core), Listener(core)
    emit(graph, replace(target, core=""), usual)
    emit(graph, target, own)
    changed = sum(a != b for a, b in zip(usual.schedules, own.schedules, strict=True))
    gain = 1 - own.cycles / usual.cycles
    return (
        f"{core:12} {usual.cycles / 1e6:9.2f} {own.cycles / 1e6:9.2f} Mcycles {gain:6.1%}"
        f" {changed} of {len(own.schedules)} schedules differ"
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
    if options.write and (options.tiles or sorted(cores) != sorted(known)):
        parser.error("--write takes all cores and tiles")
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
