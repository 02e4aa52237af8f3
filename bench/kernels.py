"""Speed of the C kernels on this host: GFLOP/s and share of the measured fma peak, per shape.

Rates of Winograd's convolution count the products of the direct one, so that they may exceed the peak.

python bench/kernels.py --isa avx512
python bench/kernels.py --isa avx2 --tiles 6x2,4x3 --only 3x3
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgec.kernels import ISAS, Blocks, Tile, choose_blocks, choose_tile
from edgec.kernels.table import depthwise_pixels
from edgec.kernels.table_winograd import EDGES, Layer, Machine, choose_winograd, weight_rate

ROOT = Path(__file__).resolve().parents[1]
FLAGS = {
    "avx512": ("-DEC_ISA_AVX512", "-march=x86-64-v4"),
    "avx2": ("-DEC_ISA_AVX2", "-march=x86-64-v3"),
    "sse2": ("-DEC_ISA_SSE2",),
    "scalar": ("-DEC_ISA_SCALAR",),
}


@dataclass(frozen=True)
class Shape:
    """A kernel on NHWC data: family, output size, channels in and out, kernel edge, stride."""

    family: str
    name: str
    out_h: int
    out_w: int
    in_c: int
    out_c: int
    edge: int = 1
    stride: int = 1

    @property
    def form(self) -> int:
        """The edge of a tile of Winograd's convolution, 0 for other kernels."""
        return int(self.family[8:]) if self.family.startswith("winograd") else 0

    @property
    def flops(self) -> int:
        """Those of direct convolution."""
        taps = self.edge * self.edge * (self.in_c if self.family == "conv" or self.form else 1)
        return (1 if self.family == "pool" else 2) * self.out_h * self.out_w * self.out_c * taps


SHAPES = (
    Shape("conv", "1x1 784x128->256", 28, 28, 128, 256),
    Shape("conv", "3x3 56x56x64->64", 56, 56, 64, 64, 3),
    Shape("conv", "3x3 28x28x128->128", 28, 28, 128, 128, 3),
    Shape("conv", "3x3 14x14x256->256", 14, 14, 256, 256, 3),
    Shape("conv", "3x3 7x7x512->512", 7, 7, 512, 512, 3),
    Shape("conv", "1x1 112x112x16->96", 112, 112, 16, 96),
    Shape("conv", "1x1 56x56x144->24", 56, 56, 144, 24),
    Shape("conv", "1x1 7x7x960->160", 1, 49, 960, 160),
    Shape("conv", "1x1 7x7x960->320", 1, 49, 960, 320),
    Shape("conv", "1x1 14x14x64->384", 4, 49, 64, 384),
    Shape("conv", "1x1 14x14x384->96", 4, 49, 384, 96),
    Shape("conv", "1x1 14x14x96->576", 14, 14, 96, 576),
    Shape("conv", "1x1 14x14x1024->256", 14, 14, 1024, 256),
    Shape("conv", "1x1 14x14x512->256", 14, 14, 512, 256),
    Shape("conv", "3x3s2 112x112x3->32", 112, 112, 3, 32, 3, 2),
    Shape("conv", "7x7s2 112x112x3->64", 112, 112, 3, 64, 7, 2),
    Shape("conv", "matmul 197x768->768", 1, 197, 768, 768),
    Shape("conv", "fc 512->512 (in L2)", 1, 1, 512, 512),
    Shape("conv", "fc 1280->1000", 1, 1, 1280, 1000),
    *(
        Shape(f"winograd{edge}", f"3x3 {size}x{size}x{channels}->{channels}", size, size, channels, channels, 3)
        for size, channels in ((56, 64), (28, 128), (14, 256), (7, 512), (80, 32), (16, 32))
        for edge in EDGES
    ),
    Shape("depthwise", "3x3 56x56x144", 56, 56, 1, 144, 3),
    Shape("depthwise", "3x3 14x14x576", 14, 14, 1, 576, 3),
    Shape("depthwise", "3x3s2 56x56x96", 56, 56, 1, 96, 3, 2),
    Shape("depthwise", "5x5 14x14x240", 14, 14, 1, 240, 5),
    Shape("pool", "max 3x3s2 56x56x64", 56, 56, 1, 64, 3, 2),
    Shape("pool", "sum 7x7 1x1x1280", 1, 1, 1, 1280, 7),
)


def fields(shape: Shape, blocks: Blocks) -> str:
    """The initializer of ec_conv_shape."""
    conv = shape.family == "conv" or shape.form > 0
    groups, out_c = (1, shape.out_c) if conv else (shape.out_c, 1)
    channels = shape.in_c if conv else shape.out_c
    x_h, x_w = ((out - 1) * shape.stride + shape.edge for out in (shape.out_h, shape.out_w))
    sizes = (1, groups, shape.out_h, shape.out_w, out_c, shape.in_c)
    window = (shape.edge, shape.edge, shape.stride, shape.stride, 1, 1)
    x_strides = (x_h * x_w * channels, x_w * channels, channels)
    y_strides = (shape.out_h * shape.out_w * shape.out_c, shape.out_w * shape.out_c, shape.out_c)
    values = (*sizes, *window, *x_strides, *y_strides, blocks.rows, blocks.panels)
    return "{" + ", ".join(map(str, values)) + "}"


def winograd_case(index: int, shape: Shape, isa: str) -> str:
    """The line for a convolution on transformed tiles."""
    machine = Machine(isa, None, 1 << 20, 32 << 20, weight_rate(1 << 20, 1 << 20, 32 << 20))
    plan, _ = choose_winograd(machine, Layer(1, shape.out_h, shape.out_w, shape.out_c, shape.in_c), shape.form)
    tile = plan.tile
    numbers = f"{plan.edge}, {tile.mr}, {tile.nv}"
    call = f"ec_winograd_f32(b->x, b->w, b->bias, b->y, b->scratch, &s, {numbers}, relu, NULL, 1, 0, 1)"
    return f"CASE({index}, {call}, {fields(shape, Blocks(plan.block, plan.panels))}) // {tile.mr}x{tile.nv}"


def case(index: int, shape: Shape, isa: str, tile: Tile | None) -> str:
    """One line of cases.inc."""
    if shape.form:
        return winograd_case(index, shape, isa)
    k = shape.edge * shape.edge * shape.in_c
    pixel = 4 * shape.stride * (shape.in_c if shape.family == "conv" else shape.out_c)
    tile = tile or choose_tile(isa, shape.out_w, shape.out_c, k, pixel=pixel)
    width = (shape.out_w - 1) * shape.stride + shape.edge
    blocks = choose_blocks(
        tile, shape.out_h, shape.out_w, shape.out_c, k, row_bytes=width * shape.in_c * 4,
        kernel_h=shape.edge, stride_h=shape.stride,
    )  # fmt: skip
    pixels = depthwise_pixels(isa, shape.edge**2, shape.out_w)
    calls = {
        "conv": f"ec_conv_f32(b->x, b->w, b->bias, b->y, &s, {tile.mr}, {tile.nv}, relu, NULL, 0, "
        f"ec_conv_tasks(&s, {tile.nv} * EC_LANES))",
        "depthwise": f"ec_depthwise_f32(b->x, b->w, b->bias, b->y, &s, {pixels}, relu, NULL, 0, "
        "ec_depthwise_f32_tasks(&s))",
        "pool": f"ec_pool_f32(b->x, b->y, &s, EC_POOL_{shape.name[:3].upper()}, ec_epilogue_none, NULL, 0, "
        "ec_pool_f32_tasks(&s))",
    }
    return f"CASE({index}, {calls[shape.family]}, {fields(shape, blocks)}) // {tile.mr}x{tile.nv}"


def measure(isa: str, lines: list[str], compiler: str) -> list[tuple[float, float]]:
    """[(nanoseconds, flops or 0)] of the peak and then of each case."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "cases.inc").write_text("\n".join(lines) + "\n")
        program = str(Path(folder, "kernels"))
        flags = ["-O3", "-std=c11", "-ffp-contract=off", *FLAGS[isa], f"-I{folder}", f"-I{ROOT / 'kernels'}"]
        subprocess.run([*compiler.split(), *flags, str(ROOT / "bench" / "kernels.c"), "-o", program, "-lm"], check=True)
        text = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in text.splitlines()]
    return [(float(row[1]), float(row[2]) if len(row) > 2 else 0.0) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", choices=FLAGS, default="avx512")
    parser.add_argument("--only", default="", help="run only shapes whose name contains this")
    parser.add_argument("--tiles", default="", help="tiles to try instead of the chosen one, such as 14x2,7x4")
    parser.add_argument("--cc", default="gcc")
    options = parser.parse_args()
    sizes = [text.split("x") for text in options.tiles.split(",") if text]
    tiles = [Tile(int(mr), int(nv), ISAS[options.isa].lanes) for mr, nv in sizes] or [None]
    jobs = [(shape, tile) for shape in SHAPES if options.only in f"{shape.family} {shape.name}" for tile in tiles]
    lines = [case(index, shape, options.isa, tile) for index, (shape, tile) in enumerate(jobs)]
    (peak_time, peak_flops), *times = measure(options.isa, lines, options.cc)
    peak = peak_flops / peak_time
    most = peak * (8 if options.isa == "scalar" else 1.05)  # compilers turn some scalar tiles into vectors
    rates = [shape.flops / time / (9 if shape.form else 1) for (shape, _), (time, _) in zip(jobs, times, strict=True)]
    if any(rate > most for rate in rates) or peak > 1000:
        raise SystemExit("error: a kernel was timed above the peak: the compiler removed the work")
    print(f"{options.isa}: peak {peak:.1f} GFLOP/s")
    for (shape, _), line, (time, _) in zip(jobs, lines, times, strict=True):
        rate = shape.flops / time
        name = f"{shape.family:9} {shape.name:22} {line.split()[-1]:>5}"
        print(f"{name} {time / 1e3:9.1f} us {rate:7.1f} GFLOP/s {rate / peak:4.0%}")


if __name__ == "__main__":
    main()
