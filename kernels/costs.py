"""What a layer costs in float and in 8 bits: the estimates of both tables in one unit, cycles of one core."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .table import choose_tile, estimate, get_isa
from .table_i8 import choose_tile_i8, estimate_i8, get_isa_i8

FEW_CHANNELS = 4
"""Input channels of a first layer: they leave bytes of each four-byte dot, and vectors of a pixel, unused."""


@dataclass(frozen=True)
class Pair:
    """Something in float and in 8-bit integers."""

    floats: float
    integers: float

    @property
    def ratio(self) -> float:
        """How much longer integers take."""
        return self.integers / self.floats


@dataclass(frozen=True)
class Shape:
    """A contraction: `rows` rows of `out_w` pixels, `out_c` channels a group, sums of `in_c` times `taps` products.

    `merged` taps of few channels lie behind one another, so that their bytes are read together.
    """

    rows: int
    out_w: int
    out_c: int
    in_c: int
    taps: int = 1
    groups: int = 1
    depthwise: bool = False
    product: bool = False
    merged: int = 1

    @property
    def fours(self) -> int:
        """Products of one sum as byte kernels do them: in fours."""
        return self.taps // self.merged * -(-self.in_c * self.merged // 4) * 4

    @property
    def kind(self) -> str:
        """The column of `FACTORS`."""
        if self.depthwise:
            return "depthwise"
        if self.product:
            return "vector" if self.rows * self.out_w == 1 else "matmul"
        if self.in_c <= FEW_CHANNELS:
            return "first"
        return "pointwise" if self.taps == 1 else "dense"


@dataclass(frozen=True)
class Conversion:
    """Cycles an element: of `quantize` and `dequantize`, and of an elementwise op on floats and on bytes."""

    quantize: float
    dequantize: float
    elementwise: Pair


Factors = Mapping[str, Pair]


def _factors(dense: Pair, pointwise: Pair, depthwise: Pair, first: Pair, matmul: Pair, vector: Pair) -> Factors:
    return {
        "dense": dense, "pointwise": pointwise, "depthwise": depthwise, "first": first, "matmul": matmul,
        "vector": vector,
    }  # fmt: skip


# Cycles that kernels took for each cycle of the estimates (of depthwise ones: for each vector of products): medians of
# some shapes on one core of a Zen 4, gcc 12, with an epilogue that activates and stores. For neon instructions were
# counted, two and a half of them a cycle, and floats take no less than their estimate.
AVX2_VNNI = _factors(
    Pair(0.92, 0.90), Pair(0.90, 0.74), Pair(0.72, 0.86), Pair(0.78, 0.73), Pair(0.92, 0.82), Pair(0.54, 0.97)
)
FACTORS: Mapping[tuple[str, str], Factors] = {
    ("scalar", ""): _factors(
        Pair(0.73, 1.61), Pair(0.69, 1.32), Pair(0.94, 1.38), Pair(0.69, 1.12), Pair(0.71, 1.59), Pair(1.04, 1.13)
    ),
    ("sse2", ""): _factors(
        Pair(0.94, 0.56), Pair(0.87, 0.58), Pair(1.04, 1.99), Pair(0.87, 0.70), Pair(0.90, 0.58), Pair(0.75, 0.56)
    ),
    ("avx2", ""): _factors(
        Pair(0.92, 0.91), Pair(0.91, 0.82), Pair(0.71, 1.32), Pair(0.87, 0.87), Pair(0.91, 0.83), Pair(0.54, 0.89)
    ),
    ("avx2", "avxvnni"): AVX2_VNNI,
    ("avx2", "avx512vnni"): AVX2_VNNI,
    ("avx512", ""): _factors(
        Pair(0.98, 1.10), Pair(0.96, 1.12), Pair(1.25, 1.71), Pair(0.92, 1.24), Pair(0.96, 1.11), Pair(0.54, 0.97)
    ),
    ("avx512", "avx512vnni"): _factors(
        Pair(0.98, 0.95), Pair(0.97, 0.90), Pair(1.25, 1.07), Pair(0.92, 0.87), Pair(0.96, 0.90), Pair(0.54, 0.98)
    ),
    ("neon", ""): _factors(
        Pair(1.00, 1.32), Pair(1.00, 1.27), Pair(1.00, 1.82), Pair(1.00, 1.43), Pair(1.00, 1.28), Pair(1.00, 1.00)
    ),
    ("neon", "dotprod"): _factors(
        Pair(1.00, 0.71), Pair(1.00, 0.63), Pair(1.00, 1.19), Pair(1.00, 0.89), Pair(1.00, 0.63), Pair(1.00, 1.00)
    ),
}
"""By ISA and the feature of its row in `INTEGER_ISAS`."""

# Cycles an element on tensors of half a megabyte; those of neon are what the instructions suggest.
CONVERSIONS: Mapping[str, Conversion] = {
    "scalar": Conversion(4.3, 0.6, Pair(0.5, 0.5)),
    "sse2": Conversion(1.9, 0.6, Pair(0.5, 0.12)),
    "avx2": Conversion(0.7, 0.35, Pair(0.5, 0.12)),
    "avx512": Conversion(0.5, 0.35, Pair(0.5, 0.12)),
    "neon": Conversion(1.5, 0.8, Pair(0.8, 0.2)),
}


def contraction_cost(shape: Shape, isa: str, features: Collection[str], registers: int | None = None) -> Pair:
    """Cycles of a whole layer."""
    factor = FACTORS[_row(isa, features, registers)][shape.kind]
    if shape.depthwise:
        vectors = shape.rows * shape.out_w * -(-shape.groups // get_isa(isa, registers).lanes) * shape.taps
        return Pair(factor.floats * vectors, factor.integers * vectors)
    rows = shape.rows * shape.groups
    sizes = shape.out_w, shape.out_c, shape.in_c * shape.taps
    in_floats = estimate(get_isa(isa, registers), choose_tile(isa, *sizes, registers), *sizes)
    sizes = shape.out_w, shape.out_c, shape.fours
    row, tile = get_isa_i8(isa, features, registers), choose_tile_i8(isa, features, *sizes, registers)
    return Pair(factor.floats * rows * in_floats, factor.integers * rows * estimate_i8(row, tile, *sizes))


def _row(isa: str, features: Collection[str], registers: int | None) -> tuple[str, str]:
    row = get_isa_i8(isa, features, registers)
    return row.name, row.feature
