"""Functions of one 8-bit tensor as tables of 256 entries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...ir import Op, Rule, Skip, Value
from ...ir.ops import Dequantize, Elementwise, Lookup, Quantize, array_of, constant
from ...ir.ops.quantize import limits
from ...ir.scalar import nodes_of
from .quantized import dequantized

MAX_CHAIN = 32
PLATFORM = frozenset({"exp", "log", "tanh", "erf", "sigmoid", "sin", "cos", "pow"})
"""Primitives whose last bits differ from one platform to another."""


def tabulated(quantize: Quantize) -> Value | Skip:
    """quantize(f(dequantize(x))) -> lookup(x, table)"""
    found = _function_of_bytes(quantize)
    return found.lookup() if found is not None and quantize.to.bits == 8 else Skip()


def tabulated_float(op: Elementwise) -> Value | Skip:
    """f(dequantize(x)) -> lookup(x, table of floats) where platforms compute f to different bits

    The table is computed once, by the compiler, so that all targets agree.
    """
    if not depends_on_platform(op):
        return Skip()
    found = _function_of_bytes(op)
    return found.lookup() if found is not None else Skip()


def depends_on_platform(op: Elementwise) -> bool:
    """Whether the result of an elementwise op on floats has other bits on another platform."""
    return any(node.primitive in PLATFORM for node in nodes_of(op.expression)[0])


@dataclass(frozen=True)
class FunctionOfBytes:
    """Elementwise ops, in order, that compute their last one's result from one dequantized tensor x alone."""

    x: Value
    ops: tuple[Op, ...]

    def lookup(self) -> Value:
        """The same function as a table."""
        low, high = limits(self.x.dtype)
        arrays = {self.x: np.arange(low, high + 1).astype(self.x.dtype.numpy)}
        for op in self.ops:
            known = {v: a.reshape(()) for v in op.operands if (a := array_of(v)) is not None}
            arrays[op.results[0]] = op.compute({**arrays, **known}.__getitem__)[0]
        return Lookup(self.x, constant(arrays[self.ops[-1].results[0]])).result


def _function_of_bytes(op: Op) -> FunctionOfBytes | None:
    """What an op computes, followed back to a dequantize with one scaling; None where more than that takes part."""
    found: dict[Op, None] = {}
    work = [op]
    while work and len(found) < MAX_CHAIN:
        current = work.pop()
        found.pop(current, None)
        found[current] = None
        if not isinstance(current, Dequantize):
            if not _is_step(current):
                return None
            work += [v.producer for v in _computed(current) if v.producer is not None]
    sources = [each for each in found if isinstance(each, Dequantize)]
    if work or len(sources) != 1 or dequantized(sources[0].result) is None:
        return None
    x = sources[0].x
    if x.dtype.bits != 8 or array_of(x) is not None:
        return None
    return FunctionOfBytes(x, tuple(reversed(found)))


def _is_step(op: Op) -> bool:
    """Whether an op computes each element of its result from computed values of the same shape and single numbers."""
    if not isinstance(op, Elementwise):
        return False
    computed = _computed(op)
    single = all(v.type.size == 1 for v in op.operands if array_of(v) is not None)
    return bool(computed) and single and all(v.producer and v.shape == op.result.shape for v in computed)


def _computed(op: Op) -> list[Value]:
    return [v for v in op.operands if array_of(v) is None]


RULES: tuple[Rule, ...] = (tabulated,)
