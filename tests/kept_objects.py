"""Compiles the same C once for all tests: the models, threads and self-tests that they build are often the same."""

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

TAKEN_IN = re.compile(rb'#\s*include\s+"([^"]+)"|\.incbin\s+\\?"([^"\\]+)')
PLACES = ("-I", "-ffile-prefix-map=")
"""Options that name folders; the bytes of an object do not depend on them, see `Compiler.compile`."""

Compile = Callable[[Any, Sequence[str], int, Path], str]


def keeping(folder: Path, compile_one: Compile) -> Compile:
    """How a build compiles a source, except that an object which stands in `folder` is taken from there."""

    @functools.wraps(compile_one)
    def compile_or_take(build: Any, command: Sequence[str], number: int, source: Path) -> str:
        if source.suffix != ".c":
            return compile_one(build, command, number, source)
        kept = folder / key(build.compiler.version, command, source)
        if not kept.is_file():
            _put(build.folder / compile_one(build, command, number, source), kept)
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


def _put(made: Path, kept: Path) -> None:
    """Keep an object, all of it at once: several processes may make the same."""
    partial = kept.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
    shutil.copyfile(made, partial)
    partial.replace(kept)
