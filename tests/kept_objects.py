"""Compiles the same C once for all tests: the models, threads and self-tests that they build are often the same.

The compilers' own headers of vector instructions, a fifth of the work, are compiled once too, for gcc; the objects are
the same bytes.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from edgec.toolchain import Compiler
from edgec.toolchain.process import check, execute

TAKEN_IN = re.compile(rb'#\s*include\s+"([^"]+)"|\.incbin\s+\\?"([^"\\]+)')
PLACES = ("-I", "-ffile-prefix-map=")
"""Options that name folders; the bytes of an object do not depend on them, see `Compiler.compile`."""

INTRINSICS = {"avx2": "immintrin.h", "avx512": "immintrin.h", "neon": "arm_neon.h"}

Compile = Callable[[Any, Sequence[str], int, Path], str]


def keeping(folder: Path, compile_one: Compile) -> Compile:
    """How a build compiles a source, except that an object which stands in `folder` is taken from there."""

    @functools.wraps(compile_one)
    def compile_or_take(build: Any, command: Sequence[str], number: int, source: Path) -> str:
        if source.suffix != ".c":
            return compile_one(build, command, number, source)
        kept = folder / key(build.compiler.version, command, source)
        if not kept.is_file():
            ready = [*command, *precompiled(folder, build.compiler, command, source)]
            made = build.folder / compile_one(build, ready, number, source)
            _publish(kept, lambda path: shutil.copyfile(made, path))
        shutil.copyfile(kept, build.folder / f"{number}.o")
        return f"{number}.o"

    return compile_or_take


def key(version: str, command: Sequence[str], source: Path) -> str:
    """A name for all that an object is made from: compiler, options, the source and what it takes in."""
    found = hashlib.sha256(f"{shutil.which(command[0])} {version} {source.name}".encode())
    for word in command:
        found.update(b"" if word.startswith(PLACES) else word.encode() + b"\0")
    for path in taken_in(source, [Path(word[2:]) for word in command if word.startswith("-I")]):
        found.update(path.read_bytes() + b"\0")
    return found.hexdigest()


def precompiled(folder: Path, compiler: Compiler, command: Sequence[str], source: Path) -> list[str]:
    """Options by which gcc takes the headers of vector instructions that a source needs from `folder`."""
    header = INTRINSICS.get(compiler.target.isa)
    sanitized = any(word.startswith("-fsanitize") for word in command)
    if compiler.kind != "gcc" or sanitized or not header or b'"kernels/' not in source.read_bytes():
        return []
    options = [word for word in command if not word.startswith(PLACES)]
    text = folder / hashlib.sha256(f"{compiler.version} {options}".encode()).hexdigest() / "vectors.h"
    if not text.with_suffix(".h.gch").is_file():
        text.parent.mkdir(exist_ok=True)
        _publish(text, lambda path: path.write_text(f"#include <{header}>\n"))
        make = [*options, "-x", "c-header", str(text), "-o"]
        _publish(text.with_suffix(".h.gch"), lambda path: check(execute([*make, str(path)]), "no precompiled header"))
    return ["-include", str(text)]


def taken_in(source: Path, folders: Sequence[Path]) -> Iterator[Path]:
    """A source and the files that stand beside it or in `folders` and become a part of it."""
    waiting, seen = [source], {source}
    while waiting:
        path = waiting.pop()
        yield path
        for pair in TAKEN_IN.findall(path.read_bytes()) if path.suffix in (".c", ".h") else ():
            name = os.fsdecode(b"".join(pair))
            beside = (folder / name for folder in (path.parent, *folders))
            new = {one for one in beside if one.is_file()} - seen
            seen |= new
            waiting += sorted(new)


def _publish(path: Path, make: Callable[[Path], object]) -> None:
    """Make a file appear, all of it at once: several processes may make the same."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    make(partial)
    partial.replace(path)
