"""Ops that only move or choose numbers do it on the integers: a dequantize sinks below them, a quantize rises above."""

from __future__ import annotations

from ...ir import Op, Rule, Skip, Value
from ...ir.ops import (
    Concat,
    Dequantize,
    Expand,
    Gather,
    Pad,
    Pool,
    Quantize,
    Reshape,
    Slice,
    Transpose,
    array_of,
    constant,
)
from .quantized import Scaling, dequantized, scaling_of


def _below(op: Op, x: Value) -> Value | Skip:
    """dequantize(x) > op  ->  op > dequantize"""
    found = dequantized(x)
    if found is None or array_of(found[0].x) is not None:
        return Skip()
    source, scaling = found
    changed = {f.name: source.x for f in op.operand_fields() if getattr(op, f.name) is x}
    return scaling.dequantized(op.replace(**changed).result)


def reshape_of_dequantized(op: Reshape) -> Value | Skip:
    return _below(op, op.x)


def transpose_of_dequantized(op: Transpose) -> Value | Skip:
    return _below(op, op.x)


def transpose_of_weights(op: Transpose) -> Value | Skip:
    """transpose(dequantize(constants)) -> dequantize of the transposed constants, scales per channel included"""
    source = op.x.producer
    if not isinstance(source, Dequantize):
        return Skip()
    arrays = [array_of(v) for v in source.operands]
    if any(a is None for a in arrays):
        return Skip()
    wide = (a.reshape((1,) * (op.x.rank - a.ndim) + a.shape) for a in arrays if a is not None)
    return Dequantize(*(constant(a.transpose(op.perm)) for a in wide)).result


def slice_of_dequantized(op: Slice) -> Value | Skip:
    return _below(op, op.x)


def expand_of_dequantized(op: Expand) -> Value | Skip:
    return _below(op, op.x)


def gather_of_dequantized(op: Gather) -> Value | Skip:
    return _below(op, op.x)


def max_pool_of_dequantized(op: Pool) -> Value | Skip:
    """The largest number has the largest integer, for scales are positive."""
    return _below(op, op.x) if op.kind == "max" else Skip()


def pad_of_dequantized(op: Pad) -> Value | Skip:
    """A border of zeros is one of zero points."""
    found = dequantized(op.x)
    if found is None:
        return Skip()
    source, scaling = found
    if op.value != 0:
        return Skip(f"pads with {op.value}, which need not be a number of the integer type")
    return scaling.dequantized(Pad(source.x, op.pads, float(scaling.zero)).result)


def concat_of_dequantized(op: Concat) -> Value | Skip:
    """Operands of one scaling are joined as integers."""
    found = [dequantized(x) for x in op.xs]
    scalings = {pair[1] for pair in found if pair is not None}
    if None in found or not scalings:
        return Skip()
    if len(scalings) > 1:
        return Skip(f"its operands have {len(scalings)} different scalings")
    joined = Concat(tuple(pair[0].x for pair in found if pair is not None), op.axis)
    return scalings.pop().dequantized(joined.result)


def quantize_of_concat(op: Quantize) -> Value | Skip:
    """quantize(concat(xs)) -> concat(quantize(x)...): each operand comes in the scaling of the result"""
    concat = op.x.producer
    if not isinstance(concat, Concat) or scaling_of(op) is None or not concat.result.has_one_use:
        return Skip()
    parts = tuple(op.replace(x=x).result for x in concat.xs)
    return Concat(parts, concat.axis).result


def quantize_of_dequantized(op: Quantize) -> Value | Skip:
    """quantize(dequantize(x)) -> x where both have one scaling"""
    found = dequantized(op.x)
    own: Scaling | None = scaling_of(op)
    return found[0].x if found is not None and found[1] == own else Skip()


def dequantize_of_view_of_quantized(op: Quantize) -> Value | Skip:
    """quantize(view(x)) -> view(quantize(x)), so that the view moves bytes"""
    view = op.x.producer
    if not isinstance(view, Reshape | Transpose | Slice) or scaling_of(op) is None or not view.result.has_one_use:
        return Skip()
    if isinstance(view.x.producer, Dequantize):
        return Skip()
    return view.replace(x=op.replace(x=view.x).result).result  # type: ignore[no-any-return]


RULES: tuple[Rule, ...] = (
    reshape_of_dequantized, transpose_of_dequantized, transpose_of_weights, slice_of_dequantized,
    expand_of_dequantized, gather_of_dequantized,
    max_pool_of_dequantized, pad_of_dequantized, concat_of_dequantized, quantize_of_concat, quantize_of_dequantized,
    dequantize_of_view_of_quantized,
)  # fmt: skip
