"""Ops whose operands are all known at compile time, and those that make no elements."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..ir import Graph, Op, Value
from ..ir.ops import Cast, Constant, Reshape, Stored, array_of, constant
from ..ir.sizes import has_open_sizes
from .registry import register
from .tally import claim


@register
@dataclass(frozen=True)
class FoldConstants:
    """Evaluate ops of constants; tensors without elements count as such.

    Folding may not make the model large: an op is left alone when its result needs more than `slack` bytes beyond the
    constants that it makes superfluous, or when all folding together would add more than `max_bytes`. Integer weights
    stay integers unless `dequantize` is set.
    """

    name: ClassVar[str] = "fold-constants"
    max_bytes: int = 16 << 20
    slack: int = 64 << 10
    dequantize: bool = False

    def run(self, graph: Graph) -> Graph:
        folded: Counter[str] = Counter()
        grown = 0
        for op in graph:
            if (
                isinstance(op, Constant)
                or not op.operands
                or not (_makes_nothing(op) or all(map(_is_known, op.operands)))
            ):
                continue
            if (not op.folds and not self.dequantize) or op.bodies:
                continue
            growth = 0 if has_open_sizes(op) else _growth(op)
            reason = self._refusal(op, growth, grown)
            if reason:
                graph.note(self.name, reason, op)
                continue
            _fold(graph, op)
            grown += growth
            folded[op.name] += 1
        claim(graph, folded)
        return graph

    def _refusal(self, op: Op, growth: int, grown: int) -> str:
        if has_open_sizes(op):
            return "its result depends on sizes of the run"
        if not op.pure:
            return "the op has effects"
        if self.dequantize and (not op.folds or _widens_half(op)):
            return ""
        if growth > self.slack:
            return f"folding would add {growth} bytes, more than {self.slack}"
        if growth > 0 and grown + growth > self.max_bytes:
            return f"folding has already added {grown} bytes and may add {self.max_bytes}"
        return ""


def _is_known(value: Value) -> bool:
    """Whether all elements are known, as those of a tensor without any are."""
    return isinstance(value.producer, Constant) or value.type.size == 0


def _makes_nothing(op: Op) -> bool:
    """Whether no result has an element."""
    return all(r.type.size == 0 for r in op.results)


def _growth(op: Op) -> int:
    """Bytes that the model grows by when an op is replaced by its result."""
    freed = sum(v.type.bytes for v in dict.fromkeys(op.operands) if set(v.users) == {op})
    return sum(r.type.bytes for r in op.results) - freed


def _widens_half(op: Op) -> bool:
    """Whether an op makes floats of those of 16 bits, which are not computed in."""
    return isinstance(op, Cast) and op.x.dtype.name in ("f16", "bf16")


def _fold(graph: Graph, op: Op) -> None:
    with np.errstate(all="ignore"):
        empty = tuple(np.zeros(r.shape, r.dtype.numpy) for r in op.results) if _makes_nothing(op) else None
        arrays = op.compute(_known) if empty is None else empty
    sources = dict.fromkeys(v.producer for v in op.operands)
    graph.replace_op(op, [kept.result] if (kept := _reshaped(op)) else [constant(np.asarray(a)) for a in arrays])
    for source in sources:
        if isinstance(source, Constant) and not source.result.users:
            graph.remove(source)


def _reshaped(op: Op) -> Stored | None:
    """A reshape of stored weights as stored weights, where that is possible."""
    source = op.operands[0].producer
    return source.reshaped(op.shape) if isinstance(op, Reshape) and isinstance(source, Stored) else None


def _known(value: Value) -> np.ndarray:
    array = array_of(value)
    return np.zeros(value.shape, value.dtype.numpy) if array is None else array
