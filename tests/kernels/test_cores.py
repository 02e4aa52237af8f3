"""The table of modelled cores: complete, as its file says, and what chooses the tiles of a CPU that is named."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from edgec.kernels import ISAS, choose_tile
from edgec.kernels.cores import FILE, Core, depthwise_cycles, read_cores, read_rows, text
from edgec.kernels.table import DEPTHWISE_PIXELS, HALVES, Tile, depthwise_pixels, estimate, get_isa, tiles
from edgec.kernels.table_i8 import choose_tile_i8, depthwise_pixels_i8, estimate_i8, get_isa_i8, tiles_i8
from edgec.targets import cpu_names, get_target

IN_ORDER = ("cortex-a53", "cortex-a55")
ROWS = ("arm-neon", "arm-neon-dot")
TILES = {
    "f32": tuple(tiles(ISAS["neon"])),
    "f16": tuple(tiles(HALVES)),
    "i8": tuple(tiles_i8(get_isa_i8("neon", ()))),
    "i8-dotprod": tuple(tiles_i8(get_isa_i8("neon", ("dotprod",)))),
}


def row_name(row: Core) -> str:
    return f"{row.core} {row.family}"


def test_the_file_is_written_as_it_is_read() -> None:
    content = FILE.read_text(encoding="utf-8")
    about = json.loads(content.splitlines()[0])
    assert set(about) == {"llvm-mca", "gcc", "made by"}
    assert text(about, read_rows()) == content


def test_a_core_has_one_row_of_a_family() -> None:
    named = [(row.core, row.family) for row in read_rows()]
    assert len(named) == len(set(named))


@pytest.mark.parametrize("row", read_rows(), ids=row_name)
def test_every_tile_of_every_row_is_modelled(row: Core) -> None:
    assert list(row.tiles) == [f"{tile.mr}x{tile.nv}" for tile in TILES[row.family]]
    windows = [f"{stride}x{mr}" for stride in (1, 2) for mr in range(1, DEPTHWISE_PIXELS + 1)]
    assert list(row.depthwise) == ([] if row.family == "f16" else windows)
    assert min(row.tiles.values()) >= round(1 / row.fma, 2)
    assert row.tiles["1x1"] > min(row.tiles.values())


def test_every_core_that_is_named_has_the_rows_of_its_families() -> None:
    """And no row serves nobody."""
    cpus = [get_target(row, cpu) for row in ROWS for cpu in cpu_names(row)]
    families = {(cpu.core, get_isa_i8(cpu.isa, cpu.features).family) for cpu in cpus if cpu.core}
    families |= {(cpu.core, "f16") for cpu in cpus if cpu.core and "fp16" in cpu.features}
    named = {(cpu.core, "f32") for cpu in cpus if cpu.core} | families
    assert named == {(row.core, row.family) for row in read_rows()}


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


def test_tiles_of_bytes_follow_the_core() -> None:
    shape = 56, 64, 576
    for features, core in (((), "cortex-a53"), (("dotprod",), "cortex-a55")):
        row = get_isa_i8("neon", features, core=core)
        usual, own = choose_tile_i8("neon", features, *shape), choose_tile_i8("neon", features, *shape, core=core)
        assert estimate_i8(row, own, *shape) <= estimate_i8(row, usual, *shape)


def test_bytes_of_the_usual_core_know_no_tiles() -> None:
    assert get_isa_i8("neon", ()).core is None
    assert get_isa_i8("neon", (), 16, "cortex-a53") == get_isa_i8("neon", (), 16)


def test_pixels_of_depthwise_tiles_of_bytes() -> None:
    known = read_cores("i8")["cortex-a53"]
    pixels = depthwise_pixels_i8("neon", (), 32, 9, 7, 1, "cortex-a53")
    assert depthwise_cycles(known, 1, pixels, 7) == min(depthwise_cycles(known, 1, mr, 7) for mr in range(1, 8))
    assert depthwise_pixels_i8("neon", (), 32, 25, 56, 1, "cortex-a53") == depthwise_pixels_i8("neon", ()) == 8
    assert depthwise_pixels_i8("neon", (), 32, 9, 3, 1) == 3


@pytest.fixture(scope="module")
def loops() -> ModuleType:
    """What models rows, where the compiler and the model are those of the file."""
    path = Path(__file__).parents[2] / "bench" / "mca_loops.py"
    spec = importlib.util.spec_from_file_location("mca_loops", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    about = json.loads(FILE.read_text(encoding="utf-8").splitlines()[0])
    _need_version(module.COMPILER, "-dumpfullversion", about["gcc"])
    _need_version(module.find_program() or module.PROGRAMS[0], "--version", about["llvm-mca"])
    return module


def _need_version(program: str, option: str, version: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    said = subprocess.run([program, option], check=True, capture_output=True, text=True).stdout
    if not re.search(rf"(^|\s){re.escape(version)}($|\s)", said):
        pytest.skip(f"{program} is not {version}, by which the rows were modelled")


@pytest.mark.parametrize("row", [read_rows()[0], read_rows()[-1]], ids=row_name)
def test_rows_can_be_made_again(loops: ModuleType, row: Core) -> None:
    """Of an out-of-date table `python bench/mca.py --write` makes a new one."""
    family, sizes = loops.FAMILIES[row.family], [(1, 1), (4, 2)]
    found = loops.modelled(loops.targets()[row.core], family, sizes, loops.COMPILER, loops.find_program())
    assert found == replace(row, tiles={name: row.tiles[name] for name in found.tiles})
