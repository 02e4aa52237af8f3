"""What this machine can do at most, measured: the roof over every layer's speed."""

from __future__ import annotations

import ctypes
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..kernels import needed
from ..targets import Target
from ..toolchain import Compiler
from .native import aligned
from .support import FOLDER

STREAMS = {"copy": 2, "scale": 2, "add": 3, "triad": 3, "update": 2}
"""Arrays that each of them reads and writes; the last scales an array in its place."""

CALL_BYTES = 4 << 20
"""Bytes that one call moves at least, so that calling costs nothing."""

LEVELS = ("L1", "L2", "L3", "memory")
SECONDS = 0.02
"""How long one rate is measured; the best of many runs counts."""

SPARE_L3 = 16 << 20
"""Bytes of a last cache where the row of the target names none."""


@dataclass(frozen=True)
class Level:
    """A cache or the memory: the bytes that it holds, and gigabytes a second by the name of the stream."""

    name: str
    bytes: int
    rates: dict[str, float]

    @property
    def best(self) -> float:
        return max(self.rates.values())


@dataclass(frozen=True)
class Machine:
    """Peaks of one core: floating point operations and int8 operations in billions a second, and bytes by level.

    A product and its sum are two operations.
    """

    float_gops: float
    int8_gops: float
    levels: tuple[Level, ...]

    def seconds(self, macs: int, moved: int, integers: bool) -> tuple[float, float]:
        """The least time of a layer's products, and that of its bytes in the nearest level that holds them."""
        level = next((one for one in self.levels if moved <= one.bytes), self.levels[-1])
        return 2e-9 * macs / (self.int8_gops if integers else self.float_gops), 1e-9 * moved / level.best


def measure_machine(target: Target, compiler: Compiler) -> Machine:
    """Measure one core of this machine with the vectors of a target that it runs; takes about half a second."""
    with tempfile.TemporaryDirectory(prefix="edgec-") as name:
        library = _library(Path(name), target, compiler)
        levels = tuple(_level(library, *pair) for pair in zip(LEVELS, _sizes(target), strict=True))
        return Machine(_float_peak(library), _integer_peak(library), levels)


def _library(folder: Path, target: Target, compiler: Compiler) -> ctypes.CDLL:
    source = folder / "machine.c"
    source.write_bytes((FOLDER / "machine.c").read_bytes())
    for name, text in needed(["ec_simd_i8.h"], target.isa).items():
        path = folder / "kernels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    library = ctypes.CDLL(str(compiler.compile([source], folder / "machine.so", "shared", [folder])))
    for one in ("machine_fma_products", "machine_dot_products"):
        getattr(library, one).restype = ctypes.c_size_t
    return library


def _sizes(target: Target) -> tuple[int, int, int, int]:
    last = target.l3_bytes or SPARE_L3
    return target.l1_bytes, target.l2_bytes, last, 8 * last


def _float_peak(library: ctypes.CDLL) -> float:
    x = np.full(32, 0.5, np.float32)
    rounds = 20_000
    products: int = rounds * library.machine_fma_products()
    call = _call(library.machine_fma, ctypes.c_void_p(x.ctypes.data), ctypes.c_size_t(rounds))
    return 2e-9 * products / _least_seconds(call)


def _integer_peak(library: ctypes.CDLL) -> float:
    x, w = np.full(4, 3, np.uint8), np.full(64, 2, np.int8)
    rounds = 20_000
    products: int = rounds * library.machine_dot_products()
    pointers = ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(w.ctypes.data)
    call = _call(library.machine_dot, *pointers, ctypes.c_size_t(rounds))
    return 2e-9 * products / _least_seconds(call)


def _level(library: ctypes.CDLL, name: str, held: int) -> Level:
    """Rates of arrays that fill half a level together; those of the memory are larger than every cache."""
    length = held // 2 // 3072 * 3072  # bytes, for whole vectors in each of three arrays
    whole = aligned(length)
    whole[:] = 0
    return Level(name, held, {stream: _stream(library, stream, whole) for stream in STREAMS})


def _stream(library: ctypes.CDLL, stream: str, whole: np.ndarray) -> float:
    """Gigabytes a second of one stream over memory that it divides into the arrays that it uses."""
    parts = 1 if stream == "update" else STREAMS[stream]
    count = len(whole) // parts // 1024 * 256
    times = -(-CALL_BYTES // (4 * count))
    pointers = [ctypes.c_void_p(whole.ctypes.data + 4 * count * (i % parts)) for i in range(3)]
    call = _call(getattr(library, f"machine_{stream}"), *pointers, *map(ctypes.c_size_t, (count, times)))
    return 1e-9 * STREAMS[stream] * 4 * count * times / _least_seconds(call)


def _call(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: function(*arguments)


def _least_seconds(call: Callable[[], object]) -> float:
    """The least time of one call."""
    call()
    least, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - start)
    return least
