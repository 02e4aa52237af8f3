"""The operators with graphs inside, by name."""

from __future__ import annotations

from collections.abc import Callable

from .onnx_branches import branch, sequence_map
from .onnx_loops import loop, scan
from .onnx_scope import Known
from .onnx_site import Site

WITH_GRAPHS: dict[str, Callable[[Site], list[Known]]] = {
    "If": branch, "Loop": loop, "Scan": scan, "SequenceMap": sequence_map,
}  # fmt: skip
"""ONNX operators whose attributes hold graphs."""
