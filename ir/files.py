"""Graphs from files, by their kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ModelError, UsageError
from ..escaping import escape
from .graph import Graph


def load(path: Path, **options: Any) -> Graph:
    """Read an .onnx or .ir file; options as `onnx_import.load` takes them (an .ir file takes none)."""
    if not path.is_file():
        raise UsageError(f"there is no file '{escape(str(path))}'")
    if path.suffix == ".ir":
        try:
            return Graph.parse(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise ModelError(f"'{escape(path.name)}' is not a text file") from None
    from .onnx_import import load as load_onnx

    return load_onnx(path, **options)
