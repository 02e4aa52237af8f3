"""As harness.py, for arrays of any type: compiles kernels per ISA, runs them and returns the bytes they wrote."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from .harness import KERNELS, MACHINES, WARNINGS, Machine, _run

Array = NDArray[Any]
GUARD = 0xA5
EDGE = 64  # guard bytes on both sides of an array


@dataclass(frozen=True)
class IntegerMachine:
    """A machine with the features that the int8 layer looks for."""

    machine: Machine
    features: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "-".join((self.machine.name, *self.features))

    @property
    def isa(self) -> str:
        """The name that selects the headers."""
        return "neon" if self.machine.name == "armv7" else self.machine.name


def _with(name: str, features: tuple[str, ...], *flags: str, needs: str = "") -> IntegerMachine:
    base = next(machine for machine in MACHINES if machine.name == name)
    extended = Machine(
        base.name, base.lanes, base.flags + flags, base.compiler, base.emulator, needs or base.needs, base.flushes
    )
    return IntegerMachine(extended, features)


INTEGER_MACHINES = (
    *(IntegerMachine(machine) for machine in MACHINES),
    _with("avx2", ("avxvnni",), "-mavx512vnni", "-mavx512vl", needs="avx512_vnni"),
    _with("avx512", ("avx512vnni",), "-mavx512vnni", needs="avx512_vnni"),
    _with("neon", ("dotprod",), "-march=armv8.2-a+dotprod"),
    _with("neon", ("dotprod", "i8mm"), "-march=armv8.2-a+dotprod+i8mm"),
)
WITH_BYTE_PERMUTES = _with("avx512", ("avx512vbmi",), "-mavx512vbmi", needs="avx512vbmi")
integer_machines = pytest.mark.parametrize("target", INTEGER_MACHINES, ids=lambda target: target.name)


@dataclass(frozen=True)
class Case:
    """C statements that read `in[0]`, `in[1]` ... and write `out`, an array of `size` elements of `dtype`."""

    body: str
    inputs: Sequence[Array]
    size: int
    dtype: DTypeLike = np.uint8
    name: str = field(default="", compare=False)


def run_cases(
    target: IntegerMachine, headers: Sequence[str], cases: Sequence[Case], declarations: str = ""
) -> list[Array]:
    """The output of each case; fails when a byte beside it was written, skips where the tools are missing."""
    machine = target.machine
    if machine.missing:
        pytest.skip(machine.missing)
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "cases.c"), str(Path(folder, "cases"))
        source.write_text(_program(headers, cases, declarations))
        flags = (*WARNINGS, "-O2", f"-I{KERNELS}", *machine.flags)
        _run([machine.compiler, *flags, str(source), "-o", program, "-lm"])
        arrays = [array for case in cases for array in case.inputs]
        data = _run([*machine.emulator, program], b"".join(_placed(array) for array in arrays))
    return _split(data, cases)


def _placed(array: Array) -> bytes:
    """The bytes between guards; arrays of bytes start at odd addresses, others at multiples of 4 alone."""
    shift = 1 if array.dtype.itemsize == 1 else 4
    data = np.ascontiguousarray(array).tobytes()
    return bytes([GUARD]) * (EDGE + shift) + data + bytes([GUARD]) * _rest(shift + len(data))


def _rest(size: int) -> int:
    return -size % EDGE + EDGE


def _length(size: int, itemsize: int) -> tuple[int, int]:
    """Where an array of so many bytes starts in its guards, and the bytes of all of it."""
    shift = 1 if itemsize == 1 else 4
    return EDGE + shift, EDGE + shift + size + _rest(shift + size)


def _program(headers: Sequence[str], cases: Sequence[Case], declarations: str) -> str:
    functions, calls, read, written = [], [], 0, 0
    for index, case in enumerate(cases):
        functions.append(f"static void case_{index}(const void *const *in, void *out)\n{{\n(void)in;\n{case.body}\n}}")
        pointers = []
        for array in case.inputs:
            start, length = _length(array.nbytes, array.dtype.itemsize)
            pointers.append(f"input + {read + start}")
            read += length
        start, length = _length(case.size * np.dtype(case.dtype).itemsize, np.dtype(case.dtype).itemsize)
        calls.append(
            f"case_{index}((const void *const[]){{{', '.join(pointers) or 'input'}}}, output + {written + start});"
        )
        written += length
    return "\n".join([
        "#include <stdio.h>", *(f'#include "{header}"' for header in headers), declarations, *functions,
        f"static _Alignas(64) unsigned char input[{read + 1}], output[{written}];",
        "int main(void)\n{", f"if (fread(input, 1, {read}, stdin) != {read})\nreturn 1;",
        f"memset(output, {GUARD}, {written});", *calls,
        f"return fwrite(output, 1, {written}, stdout) != {written};\n}}\n",
    ])  # fmt: skip


def _split(data: bytes, cases: Sequence[Case]) -> list[Array]:
    outputs, first = [], 0
    for case in cases:
        dtype = np.dtype(case.dtype)
        start, length = _length(case.size * dtype.itemsize, dtype.itemsize)
        whole = np.frombuffer(data, np.uint8)[first : first + length]
        end = start + case.size * dtype.itemsize
        assert (whole[:start] == GUARD).all(), f"wrote before the output of {case.name or case.body}"
        assert (whole[end:] == GUARD).all(), f"wrote beyond the output of {case.name or case.body}"
        outputs.append(
            whole[start:end].view(dtype) if dtype.itemsize == 1 else np.frombuffer(whole[start:end].tobytes(), dtype)
        )
        first += length
    return outputs
