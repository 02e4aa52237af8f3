"""Put an artifact in its place all at once, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..escaping import escape
from .report import is_artifact


def check_output(output: Path) -> Path:
    """Return the real path of `output`; UsageError unless it is free, an empty folder or an artifact."""
    try:
        real = Path(output).resolve()
        taken = real.exists() and not (real.is_dir() and (not any(real.iterdir()) or is_artifact(real)))
    except (OSError, ValueError, RuntimeError) as error:
        raise _unwritable(Path(output), error) from error
    if taken:
        what = "a folder with something else in it" if real.is_dir() else "a file"
        raise UsageError(f"output '{escape(str(output))}' is {what}", hint="name another folder with -o")
    return real


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files by their paths inside a folder."""
    for name, content in sorted(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@dataclass
class Stage:
    """A folder being filled; when the body is through it is published if `keep` is still set."""

    folder: Path
    keep: bool = True


@contextmanager
def staged(output: Path) -> Iterator[Stage]:
    """Yield a new folder near `output` that takes its place when the body is through.

    If the body raises, even KeyboardInterrupt, the folder vanishes and `output` is as it was.
    """
    real = check_output(output)
    try:
        stage = Stage(_new_folder(_existing_parent(real), real.name, "partial"))
    except OSError as error:
        raise _unwritable(output, error) from error
    try:
        yield stage
        if stage.keep:
            _publish(stage.folder, check_output(real))
    finally:
        shutil.rmtree(stage.folder, ignore_errors=True)


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.is_dir())


def _new_folder(parent: Path, name: str, kind: str) -> Path:
    number = 0
    while True:
        folder = parent / f".{name[:100]}.{os.getpid()}.{number}.{kind}"
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


def _publish(stage: Path, real: Path) -> None:
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        if real.exists() and any(real.iterdir()):
            _exchange(stage, real)
        else:
            os.replace(stage, real)
    except OSError as error:
        raise _unwritable(real, error) from error


def _exchange(stage: Path, real: Path) -> None:
    """Put `stage` in the place of the artifact `real`; whatever happens, one of the two stands there."""
    aside = _new_folder(real.parent, real.name, "old")
    os.replace(real, aside)
    try:
        os.replace(stage, real)
    except BaseException:
        os.replace(aside, real)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _unwritable(output: Path, error: Exception) -> UsageError:
    reason = getattr(error, "strerror", None) or "it is not a usable path"
    return UsageError(f"cannot write to '{escape(str(output))}': {reason}", hint="name another folder with -o")
