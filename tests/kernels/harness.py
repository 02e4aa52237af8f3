"""Compiles kernels into a program per ISA, runs it (under qemu where the ISA is foreign) and returns what it wrote."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

Floats = NDArray[np.float32]
KERNELS = Path(__file__).resolve().parents[2] / "kernels"
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
GUARD = np.float32(-12345.675)
GAP = 37  # guard elements between two outputs; odd, so that pointers are not aligned to vectors


@dataclass(frozen=True)
class Machine:
    """An ISA: how to compile for it and how to run the result."""

    name: str
    lanes: int
    flags: tuple[str, ...]
    compiler: str = "gcc"
    emulator: tuple[str, ...] = ()
    needs: str = ""  # a flag in /proc/cpuinfo
    flushes: bool = False  # subnormals become zero

    @property
    def missing(self) -> str:
        """Why this machine cannot be used here, or nothing."""
        for tool in (self.compiler, *self.emulator[:1]):
            if shutil.which(tool) is None:
                return f"{tool} is not installed"
        if not self.emulator and self.name != "scalar" and platform.machine() != "x86_64":
            return f"{self.name} needs an x86-64 host"
        if self.needs and self.needs not in Path("/proc/cpuinfo").read_text().split():
            return f"this CPU has no {self.needs}"
        return ""


MACHINES = (
    Machine("scalar", 1, ("-DEC_ISA_SCALAR",)),
    Machine("sse2", 4, ("-DEC_ISA_SSE2",)),
    Machine("avx2", 8, ("-DEC_ISA_AVX2", "-march=x86-64-v3"), needs="avx2"),
    Machine("avx512", 16, ("-DEC_ISA_AVX512", "-march=x86-64-v4"), needs="avx512dq"),
    Machine("neon", 4, ("-DEC_ISA_NEON", "-static"), "aarch64-linux-gnu-gcc", ("qemu-aarch64",)),
    Machine(
        "armv7", 4, ("-DEC_ISA_NEON", "-march=armv7-a", "-mfpu=neon-vfpv4", "-static"),
        "arm-linux-gnueabihf-gcc", ("qemu-arm",), flushes=True,
    ),
)  # fmt: skip
machines = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)


@dataclass(frozen=True)
class Case:
    """C statements that read `in[0]`, `in[1]` ... and write `out`, an array of `size` floats."""

    body: str
    inputs: Sequence[Floats]
    size: int
    name: str = field(default="", compare=False)


def run_cases(machine: Machine, headers: Sequence[str], cases: Sequence[Case], declarations: str = "") -> list[Floats]:
    """The output of each case; fails when an element beside it was written, skips where the tools are missing."""
    if machine.missing:
        pytest.skip(machine.missing)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "cases.c")
        source.write_text(_program(headers, cases, declarations))
        program = str(Path(folder, "cases"))
        flags = (*WARNINGS, "-O2", f"-I{KERNELS}", *machine.flags)
        _run([machine.compiler, *flags, str(source), "-o", program, "-lm"])
        data = _run([*machine.emulator, program], _with_gaps([array for case in cases for array in case.inputs]))
    return _split(np.frombuffer(data, np.float32), cases)


def shape_literal(**fields: int | str) -> str:
    """An initializer of ec_conv_shape."""
    return "{" + ", ".join(f".{name} = {value}" for name, value in fields.items()) + "}"


def _run(command: list[str], data: bytes = b"") -> bytes:
    result = subprocess.run(command, input=data, capture_output=True, timeout=300)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stderr.decode()[:4000]}"
    return result.stdout


def _with_gaps(arrays: Sequence[Floats]) -> bytes:
    gap = np.full(GAP, np.nan, np.float32)
    return b"".join(gap.tobytes() + np.ascontiguousarray(array, np.float32).tobytes() for array in arrays)


def _program(headers: Sequence[str], cases: Sequence[Case], declarations: str) -> str:
    lines = ["#include <stdio.h>", *(f'#include "{header}"' for header in headers), declarations]
    calls, read, written = [], 0, GAP
    for index, case in enumerate(cases):
        lines.append(
            f"static void case_{index}(const float *const *in, float *out)\n{{\n    (void)in;\n{case.body}\n}}"
        )
        pointers = []
        for array in case.inputs:
            pointers.append(f"input + {read + GAP}")
            read += GAP + array.size
        calls.append(
            f"    case_{index}((const float *const[]){{{', '.join(pointers) or 'input'}}}, output + {written});"
        )
        written += case.size + GAP
    lines.append(f"static float input[{read + 1}], output[{written}];")
    lines.append("int main(void)\n{")
    lines.append(f"    if (fread(input, 4, {read}, stdin) != {read})\n        return 1;")
    lines.append(f"    for (size_t i = 0; i < {written}; i++)\n        output[i] = {GUARD:.4f}f;")
    lines += calls
    lines.append(f"    return fwrite(output, 4, {written}, stdout) != {written};\n}}\n")
    return "\n".join(lines)


def _split(values: Floats, cases: Sequence[Case]) -> list[Floats]:
    outputs, start = [], GAP
    assert (values[:GAP] == GUARD).all(), "wrote before the first output"
    for case in cases:
        outputs.append(values[start : start + case.size])
        start += case.size + GAP
        assert (values[start - GAP : start] == GUARD).all(), f"wrote beyond the output of {case.name or case.body}"
    return outputs
