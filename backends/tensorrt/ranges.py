"""The calibrated ranges as a table, for those who quantize in TensorRT themselves."""

from __future__ import annotations

from collections.abc import Mapping

from ...ir import Graph
from ...ir.ops import Quantize, array_of
from ...ir.ops.quantize import limits

RANGES = "ranges.csv"


def ranges(graph: Graph) -> Mapping[str, bytes]:
    """One row for each quantized tensor; no file where nothing is quantized."""
    rows = [_row(place, op) for place, op in enumerate(graph) if isinstance(op, Quantize)]
    return {RANGES: "".join(["tensor,scale,low,high\n", *rows]).encode()} if any(rows) else {}


def _row(place: int, op: Quantize) -> str:
    scale, (low, high) = array_of(op.scale), limits(op.to)
    if scale is None:
        return ""
    name, largest = (op.x.name or f"op {place}").replace('"', '""'), float(scale.max())
    return f'"{name}",{largest:.9g},{low * largest:.9g},{high * largest:.9g}\n'
