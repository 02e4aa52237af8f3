"""Tensor bytes in files beside the model. A model comes from a stranger: it must not read anything else with them.

A location may name files below the model's folder only: no absolute path, no `..`, no link anywhere on the way, no
file with a second name, nothing but regular files. Each file is opened once and judged by what was opened.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx

from ..errors import ModelError
from ..escaping import escape

KEYS = frozenset({"location", "offset", "length", "checksum"})
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FILE = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class ExternalFiles:
    """The files below `base` that a model's tensors name; without a base there are none."""

    def __init__(self, base: Path | None) -> None:
        self.base = base
        self._open: dict[str, tuple[BinaryIO, int]] = {}

    def array(self, tensor: onnx.TensorProto, kind: np.dtype, count: int, what: str) -> np.ndarray:
        """`count` elements of a tensor, memory-mapped."""
        location, offset, length = _entry(tensor, what)
        wanted = count * kind.itemsize
        if length is not None and length != wanted:
            raise ModelError(f"{what} has {length} bytes in '{escape(location)}', its shape needs {wanted}")
        file, size = self._file(location, what)
        if offset + wanted > size:
            raise ModelError(f"{what} ends at byte {offset + wanted} of '{escape(location)}', which has {size}")
        if not count:
            return np.zeros(0, kind)
        mapped = np.asarray(np.memmap(file, kind.newbyteorder("<"), "r", offset, (count,)))
        return mapped.astype(kind, copy=not mapped.flags.aligned)

    def _file(self, location: str, what: str) -> tuple[BinaryIO, int]:
        if location not in self._open:
            self._open[location] = self._opened(location, what)
        return self._open[location]

    def _opened(self, location: str, what: str) -> tuple[BinaryIO, int]:
        if self.base is None:
            hint = "load it from a path"
            raise ModelError(f"{what} lies in an external file, but the model has no folder", hint=hint)
        parts = _parts(location, what)
        try:
            descriptor = _descend(self.base, parts)
        except OSError as error:
            linked = error.errno in (errno.ELOOP, errno.ENOTDIR)
            reason = "a link or no folder stands on its path" if linked else error.strerror
            raise ModelError(f"{what}: cannot read external file '{escape(location)}': {reason}") from None
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            os.close(descriptor)
            reason = "it has a second name (hard link)" if stat.S_ISREG(found.st_mode) else "it is not a regular file"
            raise ModelError(f"{what}: refused external file '{escape(location)}': {reason}", hint="copy the file")
        return os.fdopen(descriptor, "rb"), found.st_size


def _parts(location: str, what: str) -> list[str]:
    parts = [part for part in location.split("/") if part != "."]
    broken = not parts or any(p in ("", "..") or "\0" in p or "\\" in p for p in parts)
    if broken or os.path.isabs(location) or Path(location).drive:
        raise ModelError(
            f"{what}: refused external file '{escape(location)}'",
            hint="it must lie below the model's folder, named by a relative path without '..'",
        )
    return parts


def _descend(base: Path, parts: list[str]) -> int:
    """Open a file below a folder, one component at a time so that no link can stand in between."""
    folder = os.open(base, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        for part in parts[:-1]:
            inner = os.open(part, _DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)


def _entry(tensor: onnx.TensorProto, what: str) -> tuple[str, int, int | None]:
    """Location, offset and length (None where not given)."""
    entries: dict[str, str] = {}
    for entry in tensor.external_data:
        if entry.key not in KEYS or entry.key in entries:
            raise ModelError(f"{what}: unexpected external data entry '{escape(str(entry.key))}'")
        entries[entry.key] = entry.value
    if "location" not in entries:
        raise ModelError(f"{what} is external but names no file")
    length = _count(entries["length"], what) if "length" in entries else None
    return entries["location"], _count(entries.get("offset", "0"), what), length


def _count(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ModelError(f"{what}: '{escape(text)}' is not an offset or length")
    return int(text)
