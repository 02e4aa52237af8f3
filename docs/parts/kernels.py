"""Kernels, their tiles, and the vector layer."""

from __future__ import annotations

import re

from parts.writing import code, part, table

from edgec.kernels import ISAS, KERNELS, choose_tile, read
from edgec.kernels.table import ARMV7


@part
def kernels() -> str:
    rows = [(f"`{k.name}`", f"[{k.header}](../kernels/{k.header})", ", ".join(k.serves)) for k in KERNELS]
    return table(("kernel", "header", "serves"), rows)


SHAPES = ((56, 64, 576), (7, 512, 4608), (1, 1000, 1280), (49, 320, 960), (112, 96, 16))


@part
def tiles() -> str:
    shapes = [f"{w} x {c}, k {k}" for w, c, k in SHAPES]
    isas = [*ISAS.values(), ARMV7]
    names = [*ISAS, "neon (ARMv7)"]
    rows = [
        (name, str(isa.lanes), str(isa.registers), *(_tile(isa.name, isa.registers, shape) for shape in SHAPES))
        for name, isa in zip(names, isas, strict=True)
    ]
    return table(("vectors", "lanes", "registers", *shapes), rows)


def _tile(isa: str, registers: int, shape: tuple[int, int, int]) -> str:
    tile = choose_tile(isa, *shape, registers)
    return f"{tile.mr}x{tile.nv}"


@part
def accuracy() -> str:
    """The comment at the head of ec_math.h."""
    comment = read("ec_math.h").partition("*/")[0].removeprefix("/*")
    return code("\n".join(line.removeprefix(" *").removeprefix(" ") for line in comment.strip("\n").splitlines()))


@part
def vector_layer() -> str:
    names = [f"`{name}`" for header in ("simd/scalar.h", "simd/derived.h") for name in _functions(read(header))]
    return ", ".join(sorted(set(names)))


def _functions(source: str) -> list[str]:
    return re.findall(r"^EC_INLINE \w+ (ec_[fim]32\w*)\(", source, re.MULTILINE)
