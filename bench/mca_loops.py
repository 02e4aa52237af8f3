"""The inner loops of the tiles of kernels on Arm cores, and their cycles as llvm-mca models them."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgec.kernels.cores import Core
from edgec.kernels.table import DEPTHWISE_PIXELS, HALVES, ISAS, Tile, tiles
from edgec.kernels.table_i8 import get_isa_i8, tiles_i8
from edgec.targets import Target, cpu_names, get_target

ROOT = Path(__file__).resolve().parents[1]
ROW = "arm-neon"
COMPILER = "aarch64-linux-gnu-gcc"
PROGRAMS = ("llvm-mca-19", "llvm-mca-18", "llvm-mca-17", "llvm-mca-16")
LANES = ISAS["neon"].lanes
ROUNDS = 100
Size = tuple[int, int]
Loop = list[str]
MANY = 24
"""Multiply-adds of which none waits for another."""
WINDOWS = [(stride, mr) for stride in (1, 2) for mr in range(1, DEPTHWISE_PIXELS + 1)]
STAND_IN = {"cortex-a53": "mla", "cortex-a55": "mla"}
"""The integer multiply-add that stands for `fmla` where LLVM's models of cores in order err: on the A55 two of 128 bits
start in a cycle, unlike its `fmul`, and on the A53 nothing else may end in the ten cycles that one takes."""
DENSE_SHAPE = """
    static const ec_conv_shape s = {{.batch = 1, .groups = 1, .out_h = 1, .out_w = {mr}, .out_c = {channels},
                                    .in_c = 512, .kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1,
                                    .dilation_h = 1, .dilation_w = 1, .x_w = 512, .y_w = {channels}, .block_h = 1,
                                    .block_c = 1}};"""
DEPTHWISE_SHAPE = """
    static const ec_conv_shape s = {{.batch = 1, .groups = 64, .out_h = 1, .out_w = 20 * {mr}, .out_c = 1, .in_c = 1,
                                    .kernel_h = 3, .kernel_w = 3, .stride_h = {stride}, .stride_w = {stride},
                                    .dilation_h = 1, .dilation_w = 1, .x_h = 32768, .x_w = 64, .y_h = 32768,
                                    .y_w = 64}};"""
FLOATS = """
#include "ec_{kernel}_f32.h"
void {name}(const float *x, const float *w, const float *bias, float *y)
{{{shape}
    ec_{kernel}_f32(x, w, bias, y, &s, {tile}, ec_epilogue_none, NULL, 0, 1);
}}
"""
HALF_FLOATS = """
#include "ec_{kernel}_f16.h"
void {name}(const uint16_t *x, const uint16_t *w, const float *bias, void *y)
{{{shape}
    ec_{kernel}_f16(x, w, bias, y, &s, {tile}, ec_epilogue_none, NULL, 0, 1);
}}
"""
BYTES = """
#include "ec_{kernel}_i8.h"
EC_INLINE ec_f32 {name}_scaled(ec_f32 sum, const void *scale, size_t n, size_t h, size_t w, size_t c, size_t lanes)
{{
    (void)n, (void)h, (void)w;
    return ec_f32_mul(sum, ec_f32_load_lanes((const float *)scale + c, lanes));
}}
void {name}(const uint8_t *x, const int8_t *w, const int32_t *bias, const float *scale, uint8_t *y)
{{{shape}
    ec_{kernel}_i8(x, w, bias, y, &s, {tile}, EC_U8, EC_REQUANTIZED(EC_U8, 0), {name}_scaled, scale, 0, 1);
}}
"""
BRANCH = re.compile(r"(?:b\.?(?:ne|lo|hi|cc|cs|ls|lt|mi|pl)|cbnz\s+\w+,)\s+(\.\w+)")


@dataclass(frozen=True)
class Family:
    """Kernels of one kind: their calls, and the instructions that make a multiply-add, the last of which adds."""

    name: str
    source: str
    instructions: tuple[str, ...]
    tiles: tuple[Tile, ...]
    depthwise: str = ""
    """The instruction that depthwise kernels add with; empty where there are none."""
    taps: int = 1
    """How many taps of a 3x3 filter it multiplies."""

    @property
    def sizes(self) -> list[Size]:
        return [(tile.mr, tile.nv) for tile in self.tiles]

    @property
    def windows(self) -> list[Size]:
        """Strides and pixels of depthwise kernels."""
        return WINDOWS if self.depthwise else []

    def functions(self, sizes: Sequence[Size]) -> list[str]:
        """A function for each tile, and for each depthwise one by its stride and pixels."""
        lanes = self.tiles[0].lanes
        dense = [(DENSE_SHAPE.format(mr=mr, channels=nv * lanes), f"{mr}, {nv}") for mr, nv in sizes]
        depthwise = [(DEPTHWISE_SHAPE.format(stride=stride, mr=mr), f"{mr}") for stride, mr in self.windows]
        calls = [("conv", *one) for one in dense] + [("depthwise", *one) for one in depthwise]
        return [
            self.source.format(kernel=kernel, name=f"loop{i}", shape=shape, tile=tile)
            for i, (kernel, shape, tile) in enumerate(calls)
        ]

    def multiply_adds(self, loop: Loop) -> float:
        """How many vectors a loop multiplies and adds."""
        alone = [one.split()[0] for one in self.instructions]
        return _count(loop, alone[-1]) / alone.count(alone[-1])

    def independent(self) -> Loop:
        """Many multiply-adds of which none waits."""
        return [one.format(i=i) for one in self.instructions for i in range(MANY)]


PRODUCTS = ("smull v{i}.8h, v30.8b, v31.8b", "smull2 v{i}.8h, v30.16b, v31.16b")
PAIRS = ("sadalp v{i}.4s, v30.8h",) * 2
FAMILIES = {
    family.name: family
    for family in (
        Family("f32", FLOATS, ("fmla v{i}.4s, v30.4s, v31.s[0]",), tuple(tiles(ISAS["neon"])), "fmla"),
        Family("f16", HALF_FLOATS, ("fmla v{i}.8h, v30.8h, v31.8h",), tuple(tiles(HALVES))),
        Family("i8", BYTES, (*PRODUCTS, *PAIRS), tuple(tiles_i8(get_isa_i8("neon", ()))), "smlal"),
        Family(
            "i8-dotprod",
            BYTES,
            ("sdot v{i}.4s, v30.16b, v31.4b[0]",),
            tuple(tiles_i8(get_isa_i8("neon", ("dotprod",)))),
            "sdot",
            taps=3,
        ),
    )
}


def targets() -> Mapping[str, Target]:
    """A target for each core: that of the CPU of its name."""
    rows = (get_target(ROW, cpu) for cpu in cpu_names(ROW))
    return {row.core: row for row in rows if row.cpu == row.core}


def families(target: Target) -> list[Family]:
    """Those whose kernels a target has."""
    halves = [FAMILIES["f16"]] if "fp16" in target.features else []
    return [FAMILIES["f32"], *halves, FAMILIES[get_isa_i8(target.isa, target.features).family]]


def find_program() -> str | None:
    """The path of llvm-mca, of a version that knows all cores."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def assembly(functions: Sequence[str], compiler: str, flags: Sequence[str]) -> list[Loop]:
    """The lines of each function, without comments."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "loops.c"), Path(folder, "loops.s")
        source.write_text("".join(functions))
        command = [*compiler.split(), *flags, f"-I{ROOT / 'kernels'}", "-S", str(source), "-o", str(made)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        lines = [re.sub(r"\s*(//|#).*", "", line).strip() for line in made.read_text().splitlines()]
    ends = (lines.index(f".size\tloop{i}, .-loop{i}") for i in range(len(functions)))
    return [lines[lines.index(f"loop{i}:") : end] for i, end in enumerate(ends)]


def inner_loop(lines: Loop, opcode: str) -> Loop:
    """The instructions of the loop with the most of one kind, without its branch."""
    loops = []
    for end, line in enumerate(lines):
        label = BRANCH.match(line)
        starts = [i for i in range(end) if label and lines[i] == f"{label[1]}:"]
        body = lines[starts[-1] + 1 : end + 1] if starts else []
        loops.append([one for one in body if one and not one.startswith(".") and not one.endswith(":")])
    return max(loops, key=lambda loop: _count(loop, opcode))[:-1]


def _count(loop: Loop, opcode: str) -> int:
    return sum(line.startswith(opcode) for line in loop)


def cycles(loops: Sequence[Loop], core: str, program: str) -> list[float]:
    """Cycles of one round of each loop on a core."""
    command = [program, "-mtriple=aarch64-linux-gnu", f"-mcpu={core}", f"-iterations={ROUNDS}", "-"]
    regions = "\n".join("\n".join(["# LLVM-MCA-BEGIN", *loop, "# LLVM-MCA-END"]) for loop in loops)
    said = re.sub(r"^fmla\b", STAND_IN.get(core, "fmla"), regions, flags=re.MULTILINE)
    said = re.sub(r"\b0xf{14}(?=[0-9a-f]{2}\b)", "0x", said)  # gcc extends the sign of a byte
    output = subprocess.run(command, check=True, input=said, capture_output=True, text=True).stdout
    return [int(found) / ROUNDS for found in re.findall(r"Total Cycles:\s+(\d+)", output)]


def modelled(target: Target, family: Family, sizes: Sequence[Size], compiler: str, program: str) -> Core:
    """What llvm-mca says of a family on the core of a target."""
    functions = assembly(family.functions(sizes), compiler, target.flags("gcc"))
    dense = [inner_loop(lines, family.instructions[-1].split()[0]) for lines in functions[: len(sizes)]]
    depthwise = [inner_loop(lines, family.depthwise) for lines in functions[len(sizes) :]]
    loads = [f"ldr q{i}, [x0, {16 * i}]" for i in range(MANY)]
    alone = [family.independent(), loads, [family.instructions[-1].format(i=0)]]
    add, load, latency, *found = cycles([*alone, *dense, *depthwise], target.core, program)
    work = [*map(family.multiply_adds, dense), *(family.taps * _count(loop, family.depthwise) for loop in depthwise)]
    each = [round(one / many, 2) for one, many in zip(found, work, strict=True)]
    named = list(zip((f"{first}x{second}" for first, second in (*sizes, *family.windows)), each, strict=True))
    rates = float(f"{MANY / add:.2g}"), round(MANY / load, 1), round(latency, 1)
    return Core(target.core, family.name, *rates, dict(named[: len(sizes)]), dict(named[len(sizes) :]))
