"""How each op comes into a random graph: a strategy of its own, or its samples on the values that are there."""

from __future__ import annotations

from collections.abc import Callable

from ...ir import REGISTRY, TensorType, Value
from ...ir.ops import Impossible, array_of
from . import contracting, moving, texts
from .elementwise import elementwise
from .elementwise import names as elementwise_names
from .growth import Growth

Strategy = Callable[[Growth], Value]
MADE_BY_PASSES = (
    "cascade", "constant", "fused", "impossible", "relayout", "find-size", "pack-panels", "panel-matmul", "sizes",
    "winograd-conv", "contract", "recurrent-integer", "grouped-conv-integer", "grouped-matmul-integer", "half-conv",
    "half-matmul",
)  # fmt: skip
"""What no model brings in; what a pass makes of the rest is tested with it."""

MOVING: dict[str, Strategy] = {
    "reshape": moving.reshape, "transpose": moving.transpose, "slice": moving.cut, "expand": moving.expand,
    "concat": moving.concat, "pad": moving.pad, "interleave": moving.interleave, "cast": moving.cast,
    "gather": moving.gather,
}  # fmt: skip
CONTRACTING: dict[str, Strategy] = {
    "reduce": contracting.reduce, "matmul": contracting.matmul, "conv": contracting.conv, "pool": contracting.pool,
    "softmax": contracting.softmax, "batch-norm": contracting.batch_norm, "layer-norm": contracting.layer_norm,
    "instance-norm": contracting.instance_norm, "resize": contracting.resize, "quantize": contracting.quantize,
    "dequantize": contracting.dequantize, "conv-transpose": contracting.conv_transpose,
}  # fmt: skip
RARE: dict[str, Strategy] = {
    "bit-cast": moving.bit_cast, "scatter-elements": moving.scatter_elements, "scatter-rows": moving.scatter_rows,
    "cumulative": moving.cumulative, "arg-reduce": moving.arg_reduce, "top-k": moving.top_k,
    "compress": moving.compress, "non-zero": moving.non_zero, "unique": moving.unique, "lrn": contracting.lrn,
    "max-places": contracting.max_places, "requantize": contracting.requantize, "lookup": contracting.lookup,
    "conv-integer": contracting.conv_integer, "matmul-integer": contracting.matmul_integer,
    "fourier": contracting.fourier,
}  # fmt: skip

TEXT: dict[str, Strategy] = {
    name: lambda g, name=name: texts.as_sampled(g, name)  # type: ignore[misc]
    for name in ("text-equal", "text-concat", "text-split", "text-normalize", "text-find", "text-match")
}


def as_sampled(g: Growth, name: str) -> Value:
    """A sample of an op, its operands made from values that are there."""
    op = g.one([o for o in REGISTRY[name].samples() if not isinstance(o, Impossible)])
    made = {v: _operand(g, v) for v in op.operands}
    return g.put(op.with_operands(made.__getitem__))


def _operand(g: Growth, sample: Value) -> Value:
    if array_of(sample) is not None or sample.producer is not None:
        return sample
    wanted = TensorType(sample.dtype, sample.shape)
    if sample.dtype.is_float:
        return g.limited(g.fit(g.value(), wanted), -4, 4)
    return g.fit(g.value(), wanted)


def families() -> list[tuple[float, dict[str, Strategy]]]:
    """Shares of all ops, and the strategies of a family by name."""
    simple: dict[str, Strategy] = {n: lambda g, n=n: elementwise(g, n) for n in elementwise_names()}  # type: ignore[misc]
    known = {*simple, *MOVING, *CONTRACTING, *RARE, *TEXT, *MADE_BY_PASSES}
    others: dict[str, Strategy] = {
        n: lambda g, n=n: as_sampled(g, n)  # type: ignore[misc]
        for n, cls in REGISTRY.items() if n not in known and cls.__module__.startswith("edgec.")
    }  # fmt: skip
    return [(0.35, simple), (0.3, MOVING), (0.2, CONTRACTING), (0.15, {**RARE, **TEXT, **others})]
