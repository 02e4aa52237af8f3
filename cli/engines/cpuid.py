"""Where the cpuid instructions of a loaded library lie in memory."""

from __future__ import annotations

import ctypes
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path

from ...errors import ToolchainError
from ...toolchain.process import check, execute

CPUID = b"\x0f\xa2"
LEAD = 1024
"""Bytes to disassemble before a place: an x86 listing that starts amid an instruction is right again after a few."""
_GAP = b"\x90" * 16  # nops, more than the longest instruction: each piece of a listing starts anew
_LISTED = re.compile(r"^\s*([0-9a-f]+):\s+cpuid\s*$", re.MULTILINE)


def cpuid_addresses(library: Path) -> list[int]:
    """Return the address of each cpuid in the code of a library that this process has loaded; needs objdump."""
    return [address for start, code in _mapped_code(library) for address in _instructions(start, code)]


def _mapped_code(library: Path) -> Iterator[tuple[int, bytes]]:
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        addresses, access, _, _, _, *name = line.split(maxsplit=5)
        if "x" in access and name == [str(library.resolve())]:
            start, end = (int(address, 16) for address in addresses.split("-"))
            yield start, ctypes.string_at(start, end - start)


def _instructions(start: int, code: bytes) -> list[int]:
    """The same two bytes also occur inside other instructions and as data: a disassembler tells them apart."""
    offsets = [found.start() for found in re.finditer(re.escape(CPUID), code)]
    pieces = [code[max(0, offset - LEAD) : offset + len(CPUID)] + _GAP for offset in offsets]
    ends = (end - len(_GAP) - len(CPUID) for end in accumulate(map(len, pieces)))
    listed = _listed(pieces)
    return [start + offset for offset, end in zip(offsets, ends, strict=True) if end in listed]


def _listed(pieces: Iterable[bytes]) -> set[int]:
    """Return the offsets of the cpuid instructions in the pieces, laid one behind the other."""
    program = shutil.which("objdump")
    if program is None:
        raise ToolchainError("no objdump to find an engine's cpuid instructions", hint="apt-get install binutils")
    with tempfile.TemporaryDirectory(prefix="edgec-") as folder:
        file = Path(folder) / "code.bin"
        file.write_bytes(b"".join(pieces))
        command = (program, "-D", "-b", "binary", "-m", "i386:x86-64", "--no-show-raw-insn", str(file))
        text = check(execute(command), "objdump cannot list an engine's code").stdout
    return {int(offset, 16) for offset in _LISTED.findall(text)}
