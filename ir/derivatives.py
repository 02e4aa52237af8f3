"""Derivatives: what ops compute, differentiated backwards from a result, as further ops.

Elementwise ops are differentiated through their scalar expressions, views, reductions and products by rules of their
own, composite ops through their expansions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .op import Op
from .ops import (
    Abs,
    Acos,
    Add,
    And,
    Asin,
    Atan,
    Cast,
    Ceil,
    Concat,
    Cos,
    Div,
    Elementwise,
    Equal,
    Erf,
    Exp,
    Expand,
    Floor,
    Less,
    LessEqual,
    Log,
    MatMul,
    Max,
    Min,
    Mul,
    Neg,
    Not,
    Or,
    Pad,
    Pow,
    Reduce,
    Reshape,
    Round,
    Sigmoid,
    Sign,
    Sin,
    Slice,
    Sqrt,
    Sub,
    Tanh,
    Transpose,
    Where,
    Xor,
    like,
)
from .ops.reduction import reduced_shape
from .scalar import Scalar, nodes_of
from .value import Value

Pairs = Iterable[tuple[Value, Value]]
"""Operands, and what each of them adds to its derivative."""


class NoDerivative(Exception):
    """There is no rule for an op; it is named."""

    def __init__(self, op: Op, what: str = "") -> None:
        self.op = op
        super().__init__(f"the derivative of {op.name}{what}")


def between(y: Value, xs: Iterable[Value]) -> list[Op]:
    """The ops through which y depends on values, operands first; how these are computed does not count."""
    reached, placed = set(xs), set[Op]()
    order: list[Op] = []
    stack: list[tuple[Value, bool]] = [(y, False)]
    while stack:
        value, ready = stack.pop()
        op = value.producer
        if op is None or op in placed or value in reached:
            continue
        if not ready:
            stack += [(value, True), *((v, False) for v in op.operands)]
            continue
        placed.add(op)
        if any(v in reached for v in op.operands):
            reached.update(op.results)
            order.append(op)
    return order


def replayed(y: Value, given: Mapping[Value, Value]) -> Value:
    """What y is where some of the values that it depends on are others."""
    table = dict(given)
    for op in between(y, given):
        made = op.with_operands(lambda v: table.get(v, v))
        table.update(zip(op.results, made.results, strict=True))
    return table.get(y, y)


def derivatives(y: Value, xs: Sequence[Value], above: Value | None = None) -> list[Value]:
    """The derivatives of the sum of y by values, each of the type of its value.

    `above` is the derivative of something else by y. `NoDerivative` where an op on the way has no rule.
    """
    wanted = set(xs)
    ways = between(y, wanted)
    wanted.update(result for op in ways for result in op.results)
    found = {y: Expand(like(y, 1), y.shape).result if above is None else above}
    for op in reversed(ways):
        results = [found[r] for r in op.results if r in found]
        if not results:
            continue
        if len(op.results) > 1:
            raise NoDerivative(op)
        for operand, more in _pulled_back(op, results[0]):
            if operand in wanted:
                found[operand] = Add(found[operand], more).result if operand in found else more
    return [found[x] if x in found else Expand(like(x, 0), x.shape).result for x in xs]


def _pulled_back(op: Op, above: Value) -> Pairs:
    if not op.result.dtype.is_float:
        return ()
    if isinstance(op, Elementwise):
        return _through_expression(op, above)
    if type(op) in _RULES:
        return _RULES[type(op)](op, above)
    simpler = op.expand()
    if simpler is None:
        raise NoDerivative(op)
    operands = list(dict.fromkeys(v for v in op.operands if v.dtype.is_float))
    return zip(operands, derivatives(simpler, operands, above), strict=True)


# --- elementwise ops ----------------------------------------------------------------------------------------------


def _through_expression(op: Elementwise, above: Value) -> Pairs:
    order, _ = nodes_of(op.expression)
    values: dict[int, Value] = {}
    for node in order:
        values[id(node)] = _computed(op, node, [values[id(a)] for a in node.args])
    found = {id(op.expression): above}
    for node in reversed(order):
        if node.primitive == "arg" and id(node) in found:
            operand = op.operands[int(node.literal)]
            yield operand, _summed(found[id(node)], operand.shape)
        if not node.args or id(node) not in found:
            continue
        if node.primitive not in _PARTIAL:
            raise NoDerivative(op, f" ({node.primitive})")
        args = [values[id(a)] for a in node.args]
        parts = _PARTIAL[node.primitive](found[id(node)], values[id(node)], *args)
        for arg, part in zip(node.args, parts, strict=False):
            if part is not None:
                found[id(arg)] = Add(found[id(arg)], part).result if id(arg) in found else part


def _computed(op: Elementwise, node: Scalar, args: list[Value]) -> Value:
    if node.primitive == "arg":
        return op.operands[int(node.literal)]
    if node.primitive == "const":
        return like(op.operands[-1], node.literal)
    if node.primitive not in _SPELLED:
        raise NoDerivative(op, f" ({node.primitive})")
    made: Value = _SPELLED[node.primitive](*args).result
    return made


_SPELLED: dict[str, Callable[..., Any]] = {
    "add": Add, "sub": Sub, "mul": Mul, "div": Div, "pow": Pow, "min": Min, "max": Max, "neg": Neg, "abs": Abs,
    "sqrt": Sqrt, "exp": Exp, "log": Log, "tanh": Tanh, "sigmoid": Sigmoid, "erf": Erf, "sin": Sin, "cos": Cos,
    "floor": Floor, "ceil": Ceil, "round": Round, "lt": Less, "le": LessEqual, "eq": Equal, "and": And, "or": Or,
    "xor": Xor, "not": Not, "select": Where, "asin": Asin, "acos": Acos, "atan": Atan,
}  # fmt: skip
"""The operator that computes a primitive."""


def _times(x: Value, y: Value | float) -> Value:
    return Mul(x, y if isinstance(y, Value) else like(x, y)).result


def _over(x: Value, y: Value) -> Value:
    return Div(x, y).result


def _from_one(x: Value) -> Value:
    return Sub(like(x, 1), x).result


def _where(condition: Value, x: Value, holds: bool = True) -> Value:
    """x where a condition holds, or where it does not, else 0."""
    zero = like(x, 0)
    return Where(condition, x, zero).result if holds else Where(condition, zero, x).result


def _pow(g: Value, y: Value, a: Value, b: Value) -> tuple[Value, Value]:
    slope = _times(b, Pow(a, Sub(b, like(b, 1)).result).result)
    return _times(g, slope), _times(g, _times(y, Log(a).result))


_PARTIAL: dict[str, Callable[..., Sequence[Value | None]]] = {
    "add": lambda g, y, a, b: (g, g),
    "sub": lambda g, y, a, b: (g, Neg(g).result),
    "mul": lambda g, y, a, b: (_times(g, b), _times(g, a)),
    "div": lambda g, y, a, b: (_over(g, b), Neg(_over(_times(g, y), b)).result),
    "pow": _pow,
    "min": lambda g, y, a, b: (_where(Less(b, a).result, g, False), _where(Less(b, a).result, g)),
    "max": lambda g, y, a, b: (_where(Less(a, b).result, g, False), _where(Less(a, b).result, g)),
    "neg": lambda g, y, x: (Neg(g).result,),
    "abs": lambda g, y, x: (_times(g, Sign(x).result),),
    "sqrt": lambda g, y, x: (_over(g, _times(y, 2)),),
    "exp": lambda g, y, x: (_times(g, y),),
    "log": lambda g, y, x: (_over(g, x),),
    "tanh": lambda g, y, x: (_times(g, _from_one(_times(y, y))),),
    "sigmoid": lambda g, y, x: (_times(g, _times(y, _from_one(y))),),
    "erf": lambda g, y, x: (_times(g, _times(Exp(Neg(_times(x, x)).result).result, 2 / math.sqrt(math.pi))),),
    "sin": lambda g, y, x: (_times(g, Cos(x).result),),
    "cos": lambda g, y, x: (Neg(_times(g, Sin(x).result)).result,),
    "asin": lambda g, y, x: (_over(g, Sqrt(_from_one(_times(x, x))).result),),
    "acos": lambda g, y, x: (Neg(_over(g, Sqrt(_from_one(_times(x, x))).result)).result,),
    "atan": lambda g, y, x: (_over(g, Add(_times(x, x), like(x, 1)).result),),
    "select": lambda g, y, c, a, b: (None, _where(c, g), _where(c, g, False)),
    **dict.fromkeys(("floor", "ceil", "round", "lt", "le", "eq", "and", "or", "xor", "not"), lambda g, y, *xs: ()),
}
"""By primitive: what the derivative g by a result y says of its operands."""


def _summed(g: Value, shape: tuple[int, ...]) -> Value:
    """A derivative summed over the dimensions along which an operand of some shape was broadcast."""
    extra = g.rank - len(shape)
    axes = (*range(extra), *(extra + i for i, d in enumerate(shape) if d == 1 and g.shape[extra + i] != 1))
    total = Reduce(g, "sum", axes).result if axes else g
    return Reshape(total, shape).result if total.shape != shape else total


# --- other ops ----------------------------------------------------------------------------------------------------


def _matmul(op: MatMul, g: Value) -> Pairs:
    a = Reshape(op.a, (1, *op.a.shape)).result if op.a.rank == 1 else op.a
    b = Reshape(op.b, (*op.b.shape, 1)).result if op.b.rank == 1 else op.b
    rows, columns = (() if op.a.rank == 1 else a.shape[-2:-1]), (() if op.b.rank == 1 else b.shape[-1:])
    batch = g.shape[: g.rank - len(rows) - len(columns)]
    above = Reshape(g, (*batch, a.shape[-2], b.shape[-1])).result
    by_a = _summed(MatMul(above, _turned(b)).result, a.shape)
    by_b = _summed(MatMul(_turned(a), above).result, b.shape)
    return ((op.a, Reshape(by_a, op.a.shape).result), (op.b, Reshape(by_b, op.b.shape).result))


def _turned(x: Value) -> Value:
    return Transpose(x, (*range(x.rank - 2), x.rank - 1, x.rank - 2)).result


def _reduce(op: Reduce, g: Value) -> Pairs:
    """Equal largest or smallest elements share."""
    if op.kind == "mean":
        simpler = op.expand()
        assert simpler is not None
        return ((op.x, derivatives(simpler, [op.x], g)[0]),)
    if op.kind == "prod":
        raise NoDerivative(op, " (prod)")
    kept = reduced_shape(op.x.shape, op.axes, True)
    above = Reshape(g, kept).result
    if op.kind != "sum":
        best = Cast(Equal(op.x, Reshape(op.result, kept).result).result, op.x.dtype).result
        above = _times(best, _over(above, Reduce(best, "sum", op.axes).result))
    return ((op.x, Expand(above, op.x.shape).result),)


def _slice(op: Slice, g: Value) -> Pairs:
    if any(step != 1 for step in op.steps):
        raise NoDerivative(op, f" in steps {list(op.steps)}")
    behind = (d - s - n for d, s, n in zip(op.x.shape, op.starts, op.sizes, strict=True))
    return ((op.x, Pad(g, (*op.starts, *behind)).result),)


def _transpose(op: Transpose, g: Value) -> Pairs:
    return ((op.x, Transpose(g, tuple(op.perm.index(i) for i in range(len(op.perm)))).result),)


def _concat(op: Concat, g: Value) -> Iterator[tuple[Value, Value]]:
    starts = itertools.accumulate((x.shape[op.axis] for x in op.xs), initial=0)
    for x, start in zip(op.xs, starts, strict=False):
        yield x, Slice(g, tuple(start if a == op.axis else 0 for a in range(g.rank)), x.shape).result


_RULES: dict[type[Op], Callable[[Any, Value], Pairs]] = {
    MatMul: _matmul, Reduce: _reduce, Slice: _slice, Transpose: _transpose, Concat: _concat,
    Reshape: lambda op, g: ((op.x, Reshape(g, op.x.shape).result),),
    Expand: lambda op, g: ((op.x, _summed(g, op.x.shape)),),
    Pad: lambda op, g: ((op.x, Slice(g, op.pads[: op.x.rank], op.x.shape).result),),
    Cast: lambda op, g: ((op.x, Cast(g, op.x.dtype).result),) if op.x.dtype.is_float else (),
}  # fmt: skip
