"""Speed of the 8-bit C kernels on this host: GOP/s and share of the measured peak of products in registers, per shape.

python bench/kernels_i8.py --isa avx512vnni
python bench/kernels_i8.py --isa avx2 --tiles 6x2,4x3 --only 3x3
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from edgec.kernels import Blocks, Tile
from edgec.kernels.table_i8 import choose_blocks_i8, choose_tile_i8, depthwise_pixels_i8, get_isa_i8
from kernels import ROOT, Shape, fields  # bench/kernels.py

AVX512 = ("-DEC_ISA_AVX512", "-march=x86-64-v4", "-mprefer-vector-width=512")
MACHINES = {  # ISA, features, compiler flags
    "avx512vnni": ("avx512", ("avx512vnni",), (*AVX512, "-mavx512vnni", "-mavx512vbmi")),
    "avx512": ("avx512", (), AVX512),
    "avxvnni": ("avx2", ("avxvnni",), ("-DEC_ISA_AVX2", "-march=x86-64-v3", "-mavx512vl", "-mavx512vnni")),
    "avx2": ("avx2", (), ("-DEC_ISA_AVX2", "-march=x86-64-v3")),
    "sse2": ("sse2", (), ("-DEC_ISA_SSE2",)),
    "scalar": ("scalar", (), ("-DEC_ISA_SCALAR",)),
}
SHAPES = (
    Shape("conv", "1x1 784x128->256", 1, 784, 128, 256),
    Shape("conv", "matmul 200x512->512", 1, 200, 512, 512),
    Shape("conv", "3x3 56x56x64->64", 56, 56, 64, 64, 3),
    Shape("conv", "3x3 28x28x128->128", 28, 28, 128, 128, 3),
    Shape("conv", "3x3 14x14x256->256", 14, 14, 256, 256, 3),
    Shape("conv", "3x3 7x7x512->512", 7, 7, 512, 512, 3),
    Shape("conv", "1x1 112x112x16->96", 112, 112, 16, 96),
    Shape("conv", "1x1 56x56x144->24", 56, 56, 144, 24),
    Shape("conv", "1x1 7x7x960->160", 1, 49, 960, 160),
    Shape("conv", "1x1 7x7x960->320", 1, 49, 960, 320),
    Shape("conv", "3x3s2 112x112x3->32", 112, 112, 3, 32, 3, 2),
    Shape("conv", "7x7s2 112x112x3->64", 112, 112, 3, 64, 7, 2),
    Shape("conv", "fc 512->512 (in L2)", 1, 1, 512, 512),
    Shape("conv", "fc 1280->1000", 1, 1, 1280, 1000),
    Shape("depthwise", "3x3 56x56x144", 56, 56, 1, 144, 3),
    Shape("depthwise", "3x3 14x14x576", 14, 14, 1, 576, 3),
    Shape("depthwise", "3x3s2 56x56x96", 56, 56, 1, 96, 3, 2),
    Shape("depthwise", "5x5 14x14x240", 14, 14, 1, 240, 5),
    Shape("pool", "max 3x3s2 56x56x64", 56, 56, 1, 64, 3, 2),
    Shape("pool", "sum 7x7 1x1x1280", 1, 1, 1, 1280, 7),
    Shape("table", "table 100352", 1, 1, 1, 100352),
)


def blocks_of(shape: Shape, tile: Tile) -> Blocks:
    width = (shape.out_w - 1) * shape.stride + shape.edge
    k = shape.edge * shape.edge * shape.in_c
    return choose_blocks_i8(
        tile, shape.out_h, shape.out_w, shape.out_c, k, row_bytes=width * shape.in_c, kernel_h=shape.edge,
        stride_h=shape.stride,
    )  # fmt: skip


def case(index: int, shape: Shape, machine: str, tile: Tile | None, y_kind: str) -> str:
    """One line of cases_i8.inc."""
    isa, features, _ = MACHINES[machine]
    tile = tile or choose_tile_i8(isa, features, shape.out_w, shape.out_c, shape.edge * shape.edge * shape.in_c)
    epilogue = "ec_epilogue_none" if y_kind == "F32" else "requantize"
    pixels = depthwise_pixels_i8(isa, features)
    kinds = f"EC_U8, EC_{y_kind}, {epilogue}, b->scale"
    calls = {
        "conv": f"ec_conv_i8(b->x, b->w, b->bias, b->y, &s, {tile.mr}, {tile.nv}, {kinds}, 0, "
        f"ec_conv_tasks(&s, {tile.nv} * EC_LANES))",
        "depthwise": f"ec_depthwise_i8(b->x, b->w, b->bias, b->y, &s, {pixels}, {kinds}, 0, ec_depthwise_i8_tasks(&s))",
        "pool": "ec_pool_i8_max(b->x, b->y, &s, EC_U8, 0, ec_pool_i8_tasks(&s))"
        if "max" in shape.name
        else f"ec_pool_i8_sum(b->x, b->y, &s, {kinds}, 0, ec_pool_i8_tasks(&s))",
        "table": f"ec_table_i8(b->x, b->w, b->y, {shape.out_c})",
    }
    return f"CASE({index}, {calls[shape.family]}, {fields(shape, blocks_of(shape, tile))}) // {tile.mr}x{tile.nv}"


def measure(machine: str, lines: list[str], compiler: str) -> list[tuple[float, float]]:
    """[(nanoseconds, operations or 0)] of the peak and then of each case."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "cases_i8.inc").write_text("\n".join(lines) + "\n")
        program = str(Path(folder, "kernels"))
        flags = ["-O3", "-std=c11", "-ffp-contract=off", *MACHINES[machine][2], f"-I{folder}", f"-I{ROOT / 'kernels'}"]
        source = str(ROOT / "bench" / "kernels_i8.c")
        subprocess.run([*compiler.split(), *flags, source, "-o", program, "-lm"], check=True)
        text = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in text.splitlines()]
    return [(float(row[1]), float(row[2]) if len(row) > 2 else 0.0) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", choices=MACHINES, default="avx512vnni")
    parser.add_argument("--only", default="", help="run only shapes whose name contains this")
    parser.add_argument("--tiles", default="", help="tiles to try instead of the chosen one, such as 8x2,6x4")
    parser.add_argument("--y", choices=("U8", "S8", "F32"), default="U8", help="what the kernels store")
    parser.add_argument("--cc", default="gcc")
    options = parser.parse_args()
    isa, features, _ = MACHINES[options.isa]
    lanes = get_isa_i8(isa, features).lanes
    sizes = [text.split("x") for text in options.tiles.split(",") if text]
    tiles = [Tile(int(mr), int(nv), lanes) for mr, nv in sizes] or [None]
    jobs = [(shape, tile) for shape in SHAPES if options.only in f"{shape.family} {shape.name}" for tile in tiles]
    lines = [case(index, shape, options.isa, tile, options.y) for index, (shape, tile) in enumerate(jobs)]
    (peak_time, peak_operations), *times = measure(options.isa, lines, options.cc)
    peak = peak_operations / peak_time
    most = peak * (8 if options.isa == "scalar" else 1.05)  # compilers turn some scalar tiles into vectors
    products = [(shape, time) for (shape, _), (time, _) in zip(jobs, times, strict=True) if shape.family == "conv"]
    if any(shape.flops / time > most for shape, time in products):
        raise SystemExit("error: a kernel was timed above the peak: the peak or the kernel was compiled wrongly")
    print(f"{options.isa}: peak {peak:.1f} GOP/s")
    for (shape, _), line, (time, _) in zip(jobs, lines, times, strict=True):
        rate = shape.flops / time
        name = f"{shape.family:9} {shape.name:22} {line.split()[-1]:>5}"
        print(f"{name} {time / 1e3:9.1f} us {rate:7.1f} GOP/s {rate / peak:4.0%}")


if __name__ == "__main__":
    main()
