"""Hold an engine that asks the CPU what it can to the instruction set of a target, on Linux on x86-64.

Such engines have no switch for it. Their library is loaded first, its cpuid instructions are replaced by ones that
trap, and a handler answers them without the bits of AVX-512 (`holding.c`). Whether an engine keeps to it is then seen
by samples of the instructions that it executes.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...errors import ToolchainError
from ...escaping import escape
from ...targets import get_target, host
from ...toolchain import WARNING_FLAGS, find_compiler
from .cpuid import cpuid_addresses


def _bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


class Hidden(ctypes.Structure):
    """Bits of one answer of cpuid, in eax, ebx, ecx and edx."""

    _fields_ = (("leaf", ctypes.c_uint32), ("subleaf", ctypes.c_uint32), ("bits", ctypes.c_uint32 * 4))

    @classmethod
    def of(cls, leaf: int, subleaf: int, eax: int = 0, ebx: int = 0, ecx: int = 0, edx: int = 0) -> Hidden:
        """Make one."""
        return cls(leaf, subleaf, (ctypes.c_uint32 * 4)(eax, ebx, ecx, edx))


AVX512 = (
    Hidden.of(
        7, 0, ebx=_bits(16, 17, 21, 26, 27, 28, 30, 31), ecx=_bits(1, 6, 11, 12, 14), edx=_bits(2, 3, 8, 22, 23, 24, 25)
    ),
    Hidden.of(7, 1, eax=_bits(4, 5, 21, 23), edx=_bits(4, 5, 10, 19)),
    Hidden.of(0xD, 0, eax=_bits(5, 6, 7, 17, 18)),
)
"""What a CPU has beyond x86-64-v3 for numbers: AVX-512, AMX, AVX10, the later AVX, and the registers of each."""
EVEX = 0x62
"""The first byte of every AVX-512 instruction, and of no other in 64-bit code."""
HELD = {"avx2": AVX512}
"""What to hide to hold an engine to an instruction set."""
WATCHED_SECONDS = 0.3


def held_to(isa: str) -> str:
    """Return the instruction set if this CPU has more and engines can be held to it, on Linux; else nothing."""
    machine = host()
    return isa if isa in HELD and machine.system == "Linux" and "avx512f" in machine.features else ""


def hold(library: str, isa: str) -> None:
    """Load an engine's library, a path below `sys.path` with a pattern, as a CPU of that instruction set would see it.

    To be called before its package is imported; without an instruction set nothing is done.
    """
    if isa:
        path = _find(library)
        ctypes.CDLL(str(path))
        replace_cpuid(path, HELD[isa])


def replace_cpuid(library: Path, hidden: Sequence[Hidden]) -> None:
    """Hide bits of cpuid's answers from a library that this process has loaded."""
    addresses = cpuid_addresses(library)
    if not addresses:
        raise ToolchainError(f"'{escape(library.name)}' has no cpuid instruction to hold it by")
    _check(_tool().edgec_hide((Hidden * len(hidden))(*hidden), ctypes.c_size_t(len(hidden))))
    for address in addresses:
        _check(_tool().edgec_replace(ctypes.c_void_p(address)))


def check_held(run: Callable[[], Any], isa: str) -> None:
    """Run for a while; ToolchainError if instructions beyond an instruction set are executed."""
    met, all_samples = watch(run, EVEX, WATCHED_SECONDS)
    if met:
        raise ToolchainError(f"it is not held to {isa}: {met} of {all_samples} samples are AVX-512 instructions")


def watch(run: Callable[[], Any], first_byte: int, seconds: float) -> tuple[int, int]:
    """Run again and again; return how many samples met an instruction with that first byte, and how many there are."""
    met, all_samples = ctypes.c_long(), ctypes.c_long()
    end = time.perf_counter() + seconds
    _check(_tool().edgec_watch(first_byte))
    while time.perf_counter() < end:
        run()
    _tool().edgec_watched(ctypes.byref(met), ctypes.byref(all_samples))
    return met.value, all_samples.value


def _find(library: str) -> Path:
    for entry in sys.path:
        for path in sorted(Path(entry).glob(library)):
            return path
    raise ToolchainError(f"there is no {library} to hold to an instruction set")


@functools.cache
def _tool() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix="edgec-") as folder:
        made = Path(folder) / "holding.so"
        source = Path(__file__).with_name("holding.c")
        find_compiler(get_target("x86-64-v3")).compile([source], made, flags=WARNING_FLAGS)
        return ctypes.CDLL(str(made))


def _check(error: int) -> None:
    if error:
        raise ToolchainError(f"cannot hold an engine: {os.strerror(error)}")
