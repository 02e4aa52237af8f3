"""Arrays in .npy files and in members of .npz files, read row by row: only the row at hand is in memory."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy_format

from ..errors import ModelError
from ..escaping import escape

Array = np.ndarray
Opener = Callable[[], AbstractContextManager[IO[bytes]]]
DAMAGED = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Npy:
    """An array that is known but not read: its shape, its element type, and `rows()` along the first axis."""

    shape: tuple[int, ...]
    dtype: np.dtype
    rows: Callable[[], Iterator[Array]]


def npy_file(path: Path) -> Npy:
    """An array in a .npy file; ModelError if it is damaged or holds Python objects."""
    return _npy(lambda: open(path, "rb"), f"'{escape(str(path))}'")


def npy_member(path: Path, member: str) -> Npy:
    """An array in an .npz file, compressed or not."""
    return _npy(lambda: zipfile.ZipFile(path).open(member), f"'{escape(member)}' of '{escape(str(path))}'")


def _npy(opener: Opener, where: str) -> Npy:
    try:
        with opener() as stream:
            shape, fortran, dtype = _header(stream)
    except DAMAGED as error:
        raise ModelError(f"{where} is not an array in numpy's format", hint="write it with numpy.save") from error
    if dtype.hasobject:
        raise ModelError(f"{where} holds Python objects, which are never read", hint="store plain numbers")
    if fortran and len(shape) > 1:
        raise ModelError(f"{where} is stored in Fortran order", hint="save numpy.ascontiguousarray(array)")
    return Npy(shape, dtype, lambda: _rows(opener, where))


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy_format.read_magic(stream)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    return read(stream)


def _taken(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError("the array ends early")
    return data


def _rows(opener: Opener, where: str) -> Iterator[Array]:
    try:
        with opener() as stream:
            shape, _, dtype = _header(stream)
            size = math.prod(shape[1:]) * dtype.itemsize
            for _ in range(shape[0] if shape else 1):
                yield np.frombuffer(_taken(stream, size), dtype).reshape(shape[1:])
    except DAMAGED as error:
        raise ModelError(f"{where} is damaged: {error}") from error
