"""How physical orders pass through ops: which order each operand must have for a result in a given order.

`None` in the place of an operand's order means that any order will do.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..ir import CHANNELS_LAST, Op, Order, TensorType, Value, row_major
from ..ir.dims import upper
from ..ir.ops import (
    Assembly,
    Attention,
    Cast,
    Constant,
    Conv,
    ConvInteger,
    Elementwise,
    Expand,
    Gather,
    Lookup,
    MatMul,
    MatMulInteger,
    PackPanels,
    PanelMatMul,
    Pool,
    Reduce,
    Reshape,
    Slice,
    Transpose,
)

Demand = list[Order | None]


def reshape_order(shape: tuple[int, ...], order: Order, new: tuple[int, ...]) -> Order | None:
    """The order of a reshaped tensor that leaves every element in place; None where there is none.

    Dimensions are matched in groups of equal product; every group must lie in memory as one row-major run.
    """
    groups = _matched(shape, new)
    if groups is None:
        return None
    position = {axis: i for i, axis in enumerate(a for a in order if shape[a] != 1)}
    placed: list[tuple[int, tuple[int, ...]]] = []
    for before, after in groups:
        places = [position[a] for a in before if shape[a] != 1]
        if places != list(range(places[0], places[0] + len(places))) if places else False:
            return None
        placed.append((places[0] if places else -1, after))
    flat = [axis for _, after in sorted(placed, key=lambda p: p[0]) for axis in after]
    return tuple(flat)


def _matched(shape: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]] | None:
    if 0 in shape:
        return None
    groups: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    i = j = 0
    while i < len(shape) or j < len(new):
        first_i, first_j, left, right = i, j, 1, 1
        while left != right or (i == first_i and j == first_j):
            if (upper(left) <= upper(right) and i < len(shape)) or j >= len(new):
                left, i = left * shape[i], i + 1
            else:
                right, j = right * new[j], j + 1
        groups.append((tuple(range(first_i, i)), tuple(range(first_j, j))))
    return groups


def candidates(op: Op) -> Iterator[Order]:
    """Orders worth trying for the result: what operands and readers have now, mapped through this op."""
    rank = op.type.rank
    if isinstance(op, Conv | ConvInteger | Pool) and rank == 4:
        yield CHANNELS_LAST
        return
    for value in op.operands:
        yield from _forward(op, value)
    for user in op.result.users:
        for order in _demanded(user, op.result):
            if order is not None and _allowed(op, order):
                yield order
    yield row_major(rank)


def _forward(op: Op, value: Value) -> Iterator[Order]:
    order = value.type.physical
    if isinstance(op, Transpose):
        yield tuple(op.perm.index(axis) for axis in order)
    elif isinstance(op, Reshape):
        found = reshape_order(value.shape, order, op.shape)
        if found is not None:
            yield found
    elif isinstance(op, Gather):
        if value is op.x:
            yield _gathered_order(op, order)
    elif value.rank == op.type.rank and _allowed(op, order) and not isinstance(value.producer, Constant):
        yield order


def _gathered_order(op: Gather, order: Order) -> Order:
    """The indexed axis gives way to the dimensions of the indices."""
    extra = op.indices.rank
    mapped: list[int] = []
    for axis in order:
        if axis == op.axis:
            mapped.extend(range(op.axis, op.axis + extra))
        else:
            mapped.append(axis if axis < op.axis else axis + extra - 1)
    return tuple(mapped)


def _demanded(user: Op, value: Value) -> Iterator[Order | None]:
    if not user.results:
        yield row_major(value.rank)
        return
    for operand, order in zip(user.operands, demands(user, user.results[0].type.physical), strict=True):
        if operand is value:
            yield order


def _allowed(op: Op, order: Order) -> bool:
    if len(order) != op.type.rank:
        return False
    if isinstance(op, Attention | MatMul | MatMulInteger | PanelMatMul):
        return op.type.rank < 2 or order[-1] == op.type.rank - 1
    if isinstance(op, Reshape):
        return reshape_order(op.shape, order, op.x.shape) is not None
    return isinstance(op, Elementwise | Cast | Lookup | Assembly | Slice | Expand | Reduce | Transpose | Gather)


def demands(op: Op, order: Order) -> Demand:
    """The order that each operand must have for the result to come in `order`."""
    if isinstance(op, Conv | ConvInteger | Pool) and op.type.rank == 4:
        return [CHANNELS_LAST, *[None] * (len(op.operands) - 1)]
    if isinstance(op, Transpose):
        return [tuple(op.perm[axis] for axis in order)]
    if isinstance(op, Reshape):
        found = reshape_order(op.shape, order, op.x.shape)
        return [found if found is not None else row_major(op.x.rank)]
    if isinstance(op, MatMul | MatMulInteger | PanelMatMul):
        return [_innermost_last(op.operands[0].type), *[None] * (len(op.operands) - 1)]
    if isinstance(op, Attention):
        return [*(_innermost_last(v.type) for v in (op.q, op.k, op.v)), *_bias_order(op)]
    if isinstance(op, Gather):
        return [None, None]
    if isinstance(op, PackPanels):
        return [None]
    if isinstance(op, Elementwise | Cast | Lookup | Assembly | Slice | Expand | Reduce):
        return [order if v.rank == len(order) else None for v in op.operands]
    return [row_major(v.rank) for v in op.operands]


def _bias_order(op: Attention) -> Demand:
    """The lanes of the kernel lie side by side: queries, or the keys of few queries."""
    if op.bias is None:
        return []
    rank = op.bias.rank
    if rank < 4 or op.lanes_hold_keys or op.bias.shape[2] == 1:
        return [row_major(rank)]
    return [(0, 1, 3, 2)]


def _innermost_last(kind: TensorType) -> Order:
    """The present order where its last dimension is innermost already, else row-major."""
    order = kind.physical
    return order if not order or order[-1] == kind.rank - 1 else row_major(kind.rank)


def move_cost(value: Value, order: Order | None) -> int:
    """Bytes that move when a reader wants `order`; constants are stored as wanted, for nothing."""
    if order is None or isinstance(value.producer, Constant) or value.type.same_memory(order):
        return 0
    return value.type.most_bytes
