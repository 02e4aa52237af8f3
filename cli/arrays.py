"""Arrays in and out of .npz files."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import ModelError, UsageError
from ..escaping import escape

Array = np.ndarray
IN, OUT = "in:", "out:"
# What numpy and zipfile raise, between them, for files that are not what they should be.
DAMAGED = (OSError, ValueError, EOFError, AttributeError, TypeError, KeyError, zipfile.BadZipFile, zlib.error)


def read_arrays(path: Path) -> dict[str, Array]:
    """Return the arrays of an .npz file by name; ModelError if it is not one."""
    if not path.is_file():
        raise UsageError(f"there is no file '{escape(str(path))}'")
    try:
        with np.load(path, allow_pickle=False) as opened:
            return {name: opened[name] for name in opened.files}
    except DAMAGED as error:
        what = f"'{escape(path.name)}' is not an .npz file of plain arrays"
        raise ModelError(what, hint="write it with numpy.savez") from error


def inputs_in(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays that a reference file calls `in:<name>`."""
    return {name[len(IN) :]: array for name, array in arrays.items() if name.startswith(IN)}


def outputs_in(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays that a reference file calls `out:<name>`."""
    return {name[len(OUT) :]: array for name, array in arrays.items() if name.startswith(OUT)}


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write an .npz file, all at once or not at all; names may be anything."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with zipfile.ZipFile(partial, "w") as archive:
            for name, array in arrays.items():
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), _npy(array))
        os.replace(partial, path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot write '{escape(str(path))}': {reason}") from error
    finally:
        partial.unlink(missing_ok=True)


def _npy(array: Array) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=False)
    return stream.getvalue()
