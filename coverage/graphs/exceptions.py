"""What ONNX has no words for, and what ONNX Runtime cannot be compared with: by op and element type, with reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...ir import Op, Value
from ...ir.onnx_export_rules import too_new
from ...ir.ops import Reduce
from ...ir.types import DTYPES, boolean, i32
from .known import as_double, is_float

Array = np.ndarray
RUNTIME, ONNX = "onnxruntime", "onnx"


@dataclass(frozen=True)
class Exempt:
    """Ops that are exempt from a comparison; no element types are all of them."""

    who: str
    ops: str
    kinds: str
    reason: str
    when: Callable[[Op], bool] = lambda op: True
    some: str = ""
    """What `when` means, in words."""

    @property
    def shown(self) -> str:
        """The element types in words."""
        return self.kinds.replace(" ", ", ") or self.some or "all"

    def holds(self, op: Op) -> bool:
        names = {v.dtype.name for v in (*op.operands, *op.results)}
        return (
            op.name in self.ops.split() and (not self.kinds or bool(names & set(self.kinds.split()))) and self.when(op)
        )


def _is_empty(op: Op) -> bool:
    return any(not v.type.size for v in (*op.operands, *op.results))


NO_KERNEL = "ONNX Runtime has no CPU kernel for the element type"
NO_TEXT = "strings are not written as ONNX"
IN_DOUBLE = "ONNX Runtime computes in doubles, which do not hold large integers"
NO_WORDS = "ONNX says it in other shapes: results as long as what is found"
EXEMPT = (
    Exempt(ONNX, "compress non-max-suppression non-zero unique", "", NO_WORDS),
    Exempt(ONNX, "shift-left shift-right", "", "ONNX leaves shifts by more than the width open, and has unsigned ones"),
    Exempt(ONNX, "bit-cast", "", "ONNX has it in a later version than is written"),
    Exempt(ONNX, "deform-columns", "", "a part of DeformConv, which a later version than is written has"),
    Exempt(ONNX, "resize-axis", "", "a part of Resize by scales that are computed"),
    Exempt(
        ONNX,
        "cast",
        "",
        "ONNX has the element type in later versions than is written",
        too_new,
        "narrow ones but f16, bf16",
    ),
    Exempt(ONNX, "text-concat text-equal text-find text-match text-normalize text-split", "", NO_TEXT),
    Exempt(RUNTIME, "acos asin atan elu erf hard-sigmoid hard-swish leaky-relu mish prelu", "f64", NO_KERNEL),
    Exempt(RUNTIME, "selu softplus softsign thresholded-relu", "f64", NO_KERNEL),
    Exempt(RUNTIME, "gelu shrink", "f64", "ONNX Runtime computes it with constants of float32"),
    Exempt(RUNTIME, "clip max min", "i16 u16", NO_KERNEL),
    Exempt(RUNTIME, "relu", "i16 i64", NO_KERNEL),
    Exempt(RUNTIME, "prelu", "i32 u32 i64 u64", NO_KERNEL),
    Exempt(RUNTIME, "where", "i8 i16 u16 u32 u64 f16", NO_KERNEL),
    Exempt(RUNTIME, "where", "", NO_KERNEL, lambda op: op.results[0].dtype == boolean, "bool"),
    Exempt(RUNTIME, "reduce cumulative", "u32 u64", NO_KERNEL),
    Exempt(RUNTIME, "reduce", "i64", f"{IN_DOUBLE} (sums)", lambda op: getattr(op, "kind", "") in ("sum", "mean")),
    Exempt(RUNTIME, "arg-reduce", "i16 u16 u32 u64", NO_KERNEL),
    Exempt(RUNTIME, "fmod", "i64 u64", IN_DOUBLE),
    Exempt(RUNTIME, "pad top-k", "i16 u16", NO_KERNEL),
    Exempt(RUNTIME, "conv conv-transpose instance-norm lrn resize", "f64", NO_KERNEL),
    Exempt(RUNTIME, "pool", "f64", f"{NO_KERNEL} (averages)", lambda op: getattr(op, "kind", "") != "max"),
    Exempt(
        RUNTIME, "layer-norm matmul", "", "ONNX Runtime refuses tensors without elements", _is_empty, "without elements"
    ),
    Exempt(
        RUNTIME, "matmul-integer", "", "ONNX Runtime leaves sums over nothing unwritten", _is_empty, "without elements"
    ),
    Exempt(
        RUNTIME,
        "reduce",
        "",
        "ONNX Runtime keeps the shape of what has no elements",
        _is_empty,
        "without elements",
    ),
)
"""What is left of a graph without these ops is compared; most graphs are grown without."""

FOREIGN = tuple(kind.name for kind in DTYPES.values() if kind.is_narrow and kind.name != "f16")
"""Element types that ONNX Runtime on a CPU does not even take from numpy, or has nothing for but casts."""

NOT_A_NUMBER = "ONNX leaves open how infinities and NaN compare, and ONNX Runtime decides by op and type"
OVERFLOW = "ONNX leaves open what a sum of integers beyond their range is, and ONNX Runtime gives the largest"


def exemption(op: Op, who: str) -> str:
    """Why an op is exempt, by itself or by what its graphs hold; empty where it is not."""
    inner = (each for name in op.bodies for each in getattr(op, name).every_op)
    return next(filter(None, (_exemption(each, who) for each in (op, *inner))), "")


def _exemption(op: Op, who: str) -> str:
    found = next((e for e in EXEMPT if e.who == who and e.holds(op)), None)
    return foreign((*op.operands, *op.results), who) or (f"{op.name}: {found.reason}" if found else "")


def foreign(values: Sequence[Value], who: str) -> str:
    """Why the element types of values exempt what has them; empty where they do not."""
    if who == ONNX:
        return NO_TEXT if any(v.dtype.is_text for v in values) else ""
    found = [v.dtype.name for v in values if v.dtype.name in FOREIGN]
    return f"{found[0]}: {NO_KERNEL}" if found else ""


def by_numbers(op: Op, held: Mapping[Value, Array]) -> str:
    """Why the numbers that an op meets exempt it from ONNX Runtime's part; empty where they do not."""
    arrays = [held[v] for v in (*op.operands, *op.results)]
    if not op.moves and not all(np.isfinite(as_double(one)).all() for one in arrays if is_float(one)):
        return NOT_A_NUMBER
    return OVERFLOW if isinstance(op, Reduce) and op.kind in ("sum", "mean") and _exceeds(op, arrays[0]) else ""


def _exceeds(op: Reduce, x: Array) -> bool:
    if op.x.dtype != i32:
        return False
    return bool((abs(x.astype(np.int64)).sum(axis=op.axes) > np.iinfo(np.int32).max).any())
