"""The table of modelled cores: complete, as its file says, and what chooses the tiles of a CPU that is named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgec.kernels import ISAS, choose_tile
from edgec.kernels.cores import FILE, depthwise_cycles, read_cores, text
from edgec.kernels.table import DEPTHWISE_PIXELS, Tile, depthwise_pixels, estimate, get_isa, tiles
from edgec.targets import cpu_names, get_target

NAMES = [f"{tile.mr}x{tile.nv}" for tile in tiles(ISAS["neon"])]
IN_ORDER = ("cortex-a53", "cortex-a55")
ROWS = ("arm-neon", "arm-neon-dot")


def test_the_file_is_written_as_it_is_read() -> None:
    content = FILE.read_text(encoding="utf-8")
    about = json.loads(content.splitlines()[0])
    assert set(about) == {"llvm-mca", "gcc", "made by"}
    assert text(about, read_cores().values()) == content


@pytest.mark.parametrize("name", read_cores())
def test_every_tile_of_every_core_is_modelled(name: str) -> None:
    core = read_cores()[name]
    assert list(core.tiles) == NAMES
    assert list(core.depthwise) == [f"{stride}x{mr}" for stride in (1, 2) for mr in range(1, DEPTHWISE_PIXELS + 1)]
    assert min(core.tiles.values()) >= round(1 / core.fma, 2)
    assert core.tiles["1x1"] == max(core.tiles.values())


def test_cpus_name_cores_that_are_known() -> None:
    named = {get_target(row, cpu).core for row in ROWS for cpu in cpu_names(row)}
    assert named == {"", *read_cores()}


@pytest.mark.parametrize(
    ("row", "cpu", "core"),
    [
        ("arm-neon", None, "cortex-a57"),  # that of the row's default CPU
        ("arm-neon", "cortex-a53", "cortex-a53"),
        ("arm-neon", "cortex-a72", "cortex-a57"),
        ("arm-neon", "cortex-a73", ""),
        ("arm-neon-dot", None, "neoverse-n1"),
        ("arm-neon-dot", "cortex-a55", "cortex-a55"),
        ("armv7-neon", None, ""),
        ("x86-64-v3", None, ""),
    ],
)
def test_the_core_of_a_target(row: str, cpu: str | None, core: str) -> None:
    assert get_target(row, cpu).core == core


def test_cores_in_order_pay_for_loads_and_others_do_not() -> None:
    for name, core in read_cores().items():
        assert (core.tiles["8x2"] > 1.2 / core.fma) == (name in IN_ORDER)


def test_a_core_without_a_tile_is_estimated() -> None:
    row = get_isa("neon", core="cortex-a53")
    assert row.core is not None
    bare = replace(row, core=replace(row.core, tiles={}))
    sizes = Tile(8, 2, 4), 56, 64, 576
    assert estimate(bare, *sizes) < estimate(row, *sizes)


def test_the_usual_core_knows_no_tiles() -> None:
    assert get_isa("neon").core is None
    assert get_isa("neon", 16, "cortex-a53") == get_isa("neon", 16)


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        ("cortex-a53", ("7x3", "7x3", "7x3")),
        ("cortex-a55", ("7x3", "7x3", "7x3")),
        ("cortex-a73", ("8x2", "7x2", "4x6")),
        ("cortex-a76", ("8x2", "7x2", "4x6")),
    ],
)
def test_tiles_of_a_cpu_that_is_named(cpu: str, expected: tuple[str, ...]) -> None:
    core = get_target("arm-neon", cpu).core
    shapes = (56, 64, 576), (7, 512, 4608), (112, 96, 16)
    found = (choose_tile("neon", *shape, core=core) for shape in shapes)
    assert tuple(f"{tile.mr}x{tile.nv}" for tile in found) == expected


def test_pixels_of_depthwise_tiles() -> None:
    assert depthwise_pixels("neon", 9, 56, 1, "cortex-a53") > depthwise_pixels("neon", 9, 56) == 4
    assert depthwise_pixels("neon", 9, 3, 1, "cortex-a53") == 3
    assert depthwise_pixels("neon", 25, 56, 1, "cortex-a53") == depthwise_pixels("neon", 25, 56)


def test_the_rest_of_a_row_counts() -> None:
    """Of eight pixels, 7 and 1 would be slower than twice four or once eight."""
    core = replace(read_cores()["cortex-a53"], depthwise={"1x1": 9.0, "1x4": 3.0, "1x7": 2.5})
    assert depthwise_cycles(core, 1, 7, 8) == 9 * (7 * 2.5 + 9.0)
    assert depthwise_cycles(core, 1, 4, 8) == 9 * 8 * 3.0
