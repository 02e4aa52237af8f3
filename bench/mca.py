"""Cycles of the inner loop of each tile of the float kernel on Arm CPUs, as llvm-mca models them: no board is needed.

Figures are cycles of a vector multiply-add, of four floats or eight numbers of f16; `bound` is what multiply-adds alone
would take. Caches are not modelled.
Needs llvm-mca (apt-get install llvm) and a cross compiler; several names of CPUs may share one model of LLVM.

python bench/mca.py --cpus cortex-a53,cortex-a55,cortex-a72
python bench/mca.py --precision f16 --cpus cortex-a55,cortex-a76
python bench/mca.py --tiles 8x2,7x3 --cc "python -m ziglang cc -target aarch64-linux-gnu -mcpu=cortex_a72"
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from edgec.kernels.table import HALVES, ISAS, tiles

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-DEC_ISA_NEON")
ROUNDS = 100
BOUNDS = {
    "f32": [f"fmla v{i}.4s, v30.4s, v31.s[0]" for i in range(24)],
    "f16": [f"fmla v{i}.8h, v30.8h, v15.h[0]" for i in range(16, 30)],
}
MACHINES = {"f32": ISAS["neon"], "f16": HALVES}
TYPES = {"f32": "float", "f16": "uint16_t"}
SOURCE = """
#include "ec_conv_{precision}.h"
void tile(const {type} *x, const {type} *w, float *y)
{{
    static const ec_conv_shape s = {{.batch = 1, .groups = 1, .out_h = 1, .out_w = {mr}, .out_c = {channels},
                                    .in_c = 512, .kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1,
                                    .dilation_h = 1, .dilation_w = 1, .x_w = 512, .y_w = {channels}, .block_h = 1,
                                    .block_c = 1}};
    ec_conv_{precision}(x, w, NULL, y, &s, {mr}, {nv}, ec_epilogue_none, NULL, 0, 1);
}}
"""
BRANCH = re.compile(r"(?:b\.?(?:ne|lo|hi|cc|cs|ls|lt|mi|pl)|cbnz\s+\w+,)\s+(\.\w+)")


def assembly(mr: int, nv: int, precision: str, compiler: str) -> list[str]:
    """The lines of a tile, without comments."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "tile.c"), Path(folder, "tile.s")
        numbers = {"mr": mr, "nv": nv, "channels": nv * MACHINES[precision].lanes}
        source.write_text(SOURCE.format(precision=precision, type=TYPES[precision], **numbers))
        command = [*compiler.split(), *FLAGS, f"-I{ROOT / 'kernels'}", "-S", str(source), "-o", str(made)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return [re.sub(r"\s*(//|#).*", "", line).strip() for line in made.read_text().splitlines()]


def inner_loop(lines: list[str]) -> list[str]:
    """The instructions of the loop with the most multiply-adds, without its branch."""
    loops = []
    for end, line in enumerate(lines):
        label = BRANCH.match(line)
        starts = [i for i in range(end) if label and lines[i] == f"{label[1]}:"]
        body = lines[starts[-1] + 1 : end + 1] if starts else []
        loops.append([text for text in body if text and not text.startswith(".") and not text.endswith(":")])
    return max(loops, key=multiply_adds)[:-1]


def multiply_adds(loop: list[str]) -> int:
    return sum(line.startswith("fmla") for line in loop)


def cycles(loop: list[str], cpu: str, program: str) -> float:
    """Cycles of one round."""
    command = [program, "-mtriple=aarch64-linux-gnu", f"-mcpu={cpu}", f"-iterations={ROUNDS}", "-"]
    text = subprocess.run(command, check=True, input="\n".join(loop), capture_output=True, text=True).stdout
    found = re.search(r"Total Cycles:\s+(\d+)", text)
    assert found is not None
    return int(found[1]) / ROUNDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpus", default="cortex-a53,cortex-a55,cortex-a72,cortex-a76")
    parser.add_argument("--tiles", default="", help="such as 8x2,7x3; else all that have at least 12 sums")
    parser.add_argument("--precision", choices=MACHINES, default="f32")
    parser.add_argument(
        "--cc", default="aarch64-linux-gnu-gcc -O3 -mtune=cortex-a72 -fno-schedule-insns -fno-schedule-insns2"
    )
    parser.add_argument("--mca", default=shutil.which("llvm-mca") or shutil.which("llvm-mca-14") or "llvm-mca")
    options = parser.parse_args()
    sizes = [tuple(map(int, text.split("x"))) for text in options.tiles.split(",") if text]
    sizes = sizes or [(t.mr, t.nv) for t in tiles(MACHINES[options.precision]) if t.mr * t.nv >= 12]
    cpus, bound = options.cpus.split(","), BOUNDS[options.precision]
    print(f"{'tile':6} {'instructions':>12} " + " ".join(f"{cpu:>11}" for cpu in cpus))
    print(f"{'bound':6} {1:12.2f} " + " ".join(f"{cycles(bound, cpu, options.mca) / len(bound):11.2f}" for cpu in cpus))
    for mr, nv in sizes:
        loop = inner_loop(assembly(mr, nv, options.precision, options.cc))
        count = multiply_adds(loop)
        figures = " ".join(f"{cycles(loop, cpu, options.mca) / count:11.2f}" for cpu in cpus)
        print(f"{f'{mr}x{nv}':6} {(len(loop) + 1) / count:12.2f} {figures}")


if __name__ == "__main__":
    main()
