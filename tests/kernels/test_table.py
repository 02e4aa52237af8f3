"""Tiles, blocks and header lists."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgec.kernels import ISAS, KERNELS, Tile, choose_blocks, choose_tile, headers, needed
from edgec.kernels.table import depthwise_pixels, estimate, get_isa, tiles

SHAPES = [(56, 64, 576), (7, 512, 4608), (1, 1000, 1280), (49, 320, 960), (112, 96, 16), (1, 1, 1), (13, 7, 27)]


@pytest.mark.parametrize("name", ISAS)
@pytest.mark.parametrize(("out_w", "out_c", "k"), SHAPES)
def test_chosen_tile_fits_the_registers(name: str, out_w: int, out_c: int, k: int) -> None:
    tile = choose_tile(name, out_w, out_c, k)
    assert get_isa(name).fits(tile.mr, tile.nv) or out_w == 1
    assert tile.mr <= out_w
    assert tile.panel - out_c < 2 * tile.lanes


@pytest.mark.parametrize(
    ("name", "out_w", "out_c", "k", "expected"),
    [
        ("avx512", 14, 256, 2304, (14, 2)),
        ("avx512", 28, 40, 144, (7, 3)),
        ("avx2", 48, 64, 576, (6, 2)),
        ("avx2", 56, 24, 144, (4, 3)),
        ("neon", 56, 64, 576, (8, 2)),
    ],
)
def test_usual_tiles(name: str, out_w: int, out_c: int, k: int, expected: tuple[int, int]) -> None:
    tile = choose_tile(name, out_w, out_c, k)
    assert (tile.mr, tile.nv) == expected


def test_half_a_vector_costs_half_where_the_machine_has_halves() -> None:
    def cycles(name: str, channels: int) -> float:
        return estimate(get_isa(name), Tile(7, 2, get_isa(name).lanes), 56, channels, 144)

    assert cycles("avx512", 24) < 0.8 * cycles("avx512", 32) < 0.8 * cycles("avx512", 25) * 1.01
    assert cycles("avx2", 12) == cycles("avx2", 16)


def test_pixels_that_share_a_set_of_the_cache_are_not_read_at_once() -> None:
    assert choose_tile("avx512", 14, 256, 1024).mr > 8
    assert choose_tile("avx512", 14, 256, 1024, pixel=4096).mr <= 8


def test_armv7_has_half_the_registers() -> None:
    assert max(tile.mr * tile.nv for tile in tiles(get_isa("neon", 16)) if tile.mr > 1) <= 13


def test_blocks_divide_evenly_and_feed_the_threads() -> None:
    tile = Tile(14, 2, 16)
    alone = choose_blocks(tile, 56, 56, 64, 576, row_bytes=58 * 64 * 4, kernel_h=3)
    assert 1 <= alone.rows <= 56
    assert alone.panels == 2
    shared = choose_blocks(tile, 56, 56, 64, 576, row_bytes=58 * 64 * 4, kernel_h=3, tasks=32)
    assert -(-56 // shared.rows) * -(-2 // shared.panels) >= 32


def test_every_kernel_header_exists() -> None:
    assert {kernel.header for kernel in KERNELS} <= set(headers())


def test_needed_headers_hold_one_isa() -> None:
    names = list(needed(["ec_pool_f32.h"], "avx2"))
    assert names == [
        "ec_common.h",
        "ec_pool_f32.h",
        "ec_shape.h",
        "ec_simd.h",
        "simd/avx2.h",
        "simd/derived.h",
        "simd/transpose8.h",
    ]
    of_conv = set(needed(["ec_conv_f32.h"], "avx2"))
    assert {"ec_weights.h", "simd/half.h", "simd/i8_avx2.h"} <= of_conv
    assert not {name for name in of_conv if name.endswith(("sse2.h", "neon.h", "avx512.h", "_scalar.h"))}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_needed_headers_compile_alone(kernel, compiler: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    for name, text in needed([kernel.header], "scalar").items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    source = tmp_path / "alone.c"
    source.write_text(f'#include "{kernel.header}"\n')
    flags = [
        "-std=c11",
        "-pedantic",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-function",
        "-DEC_ISA_SCALAR",
        f"-I{tmp_path}",
    ]
    subprocess.run([compiler, *flags, "-c", str(source), "-o", str(tmp_path / "alone.o")], check=True)


@pytest.mark.parametrize(
    ("isa", "taps", "width", "pixels"),
    [("avx2", 25, 14, 8), ("avx512", 25, 7, 7), ("avx512", 9, 14, 4), ("neon", 25, 14, 4), ("avx2", 9, 3, 3)],
)
def test_depthwise_tiles_are_longer_where_the_filter_is_read_anew(isa: str, taps: int, width: int, pixels: int) -> None:
    assert depthwise_pixels(isa, taps, width) == pixels
