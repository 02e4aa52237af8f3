"""Functions from one 8-bit tensor to another as tables of 256 entries."""

from __future__ import annotations

import numpy as np

from ...ir import Op, Rule, Skip, Value
from ...ir.ops import Dequantize, Elementwise, Lookup, Quantize, array_of, constant
from ...ir.ops.quantize import limits
from .quantized import dequantized

MAX_CHAIN = 32


def tabulated(quantize: Quantize) -> Value | Skip:
    """quantize(f(dequantize(x))) -> lookup(x, table)"""
    chain = _chain(quantize)
    if chain is None:
        return Skip()
    source = chain[-1]
    assert isinstance(source, Dequantize)
    if source.x.dtype.bits != 8 or quantize.to.bits != 8 or array_of(source.x) is not None:
        return Skip()
    table = _evaluated(chain, source.x)
    return Lookup(source.x, constant(table)).result


def _chain(quantize: Quantize) -> list[Op] | None:
    """The ops from a quantize back to a dequantize with one scaling, each reading one computed value."""
    chain: list[Op] = [quantize]
    while len(chain) < MAX_CHAIN:
        computed = [v for v in chain[-1].operands if array_of(v) is None]
        if len(set(computed)) != 1:
            return None
        op = computed[0].producer
        if isinstance(op, Dequantize):
            return [*chain, op] if dequantized(computed[0]) is not None else None
        scalars = op is not None and all(v.type.size == 1 for v in op.operands if array_of(v) is not None)
        if not isinstance(op, Elementwise) or not scalars or not op.result.has_one_use:
            return None
        chain.append(op)
    return None


def _evaluated(chain: list[Op], x: Value) -> np.ndarray:
    low, high = limits(x.dtype)
    arrays: dict[Value, np.ndarray] = {x: np.arange(low, high + 1).astype(x.dtype.numpy)}
    for op in reversed(chain):
        known = {v: a.reshape(()) for v in op.operands if (a := array_of(v)) is not None}
        arrays[op.results[0]] = op.compute(lambda v, known=known: known[v] if v in known else arrays[v])[0]  # type: ignore[misc]
    return arrays[chain[0].results[0]]


RULES: tuple[Rule, ...] = (tabulated,)
