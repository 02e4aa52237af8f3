"""Tiles of the 8-bit kernels and the headers they need."""

from __future__ import annotations

import pytest

from edgec.kernels import needed
from edgec.kernels.table_i8 import (
    INTEGER_ISAS,
    IntegerIsa,
    choose_blocks_i8,
    choose_tile_i8,
    get_isa_i8,
    tiles_i8,
)

SHAPES = [(56, 64, 576), (7, 512, 4608), (1, 1000, 1280), (49, 320, 960), (112, 96, 16), (1, 1, 1), (13, 7, 27)]


@pytest.mark.parametrize("isa", INTEGER_ISAS, ids=lambda isa: f"{isa.name} {isa.feature}".strip())
@pytest.mark.parametrize(("out_w", "out_c", "k"), SHAPES)
def test_chosen_tile_fits_the_registers(isa: IntegerIsa, out_w: int, out_c: int, k: int) -> None:
    tile = choose_tile_i8(isa.name, (isa.feature,), out_w, out_c, k)
    assert isa.fits(tile.mr, tile.nv) or out_w == 1
    assert tile.mr <= out_w
    assert tile.panel - out_c < 2 * tile.lanes


@pytest.mark.parametrize(
    ("name", "feature", "out_w", "out_c", "k", "expected"),
    [
        ("avx512", "avx512vnni", 7, 512, 4608, (7, 2)),
        ("avx2", "", 56, 64, 576, (4, 2)),
        ("avx2", "avxvnni", 56, 64, 576, (3, 2)),
    ],
)
def test_usual_tiles(name: str, feature: str, out_w: int, out_c: int, k: int, expected: tuple[int, int]) -> None:
    tile = choose_tile_i8(name, (feature,), out_w, out_c, k)
    assert (tile.mr, tile.nv) == expected


def test_armv7_has_half_the_registers() -> None:
    armv7 = get_isa_i8("neon", (), 16)
    assert armv7.registers == 16
    assert max(tile.mr * tile.nv for tile in tiles_i8(armv7) if tile.mr > 1) <= 7


def test_blocks_count_bytes() -> None:
    tile = choose_tile_i8("avx512", ("avx512vnni",), 14, 256, 2304)
    blocks = choose_blocks_i8(tile, 14, 14, 256, 2304, row_bytes=16 * 256, kernel_h=3)
    assert 1 <= blocks.rows <= 14
    assert blocks.panels * tile.panel * 2304 <= 1 << 19


def test_needed_headers_hold_one_isa() -> None:
    names = [name for name in needed(["ec_conv_i8.h"], "avx2") if name.startswith("simd/")]
    assert names == [
        "simd/avx2.h", "simd/derived.h", "simd/i16_avx2.h", "simd/i8_avx2.h", "simd/i8_derived.h", "simd/transpose8.h"
    ]  # fmt: skip
