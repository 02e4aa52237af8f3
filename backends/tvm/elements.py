"""The element of a value at an index, as one expression of tensor IR: views are index maps and cost nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from ...ir import Op, TensorType, Value
from ...ir.ops import (
    Assembly,
    BitCast,
    Cast,
    Dequantize,
    Elementwise,
    Expand,
    Gather,
    Lookup,
    Relayout,
    Reshape,
    Slice,
    Transpose,
)
from ...ir.ops.quantize import Requantizing
from ...ir.types import f32
from .packages import Expr, Tensor, kind_of, tirx
from .region import Region
from .spelling import DTYPES, literal, spelled

Index = tuple[Expr, ...]


class Variables:
    """An expression used more than once becomes a variable; `whole` puts the variables around the result."""

    def __init__(self) -> None:
        self.variables: list[tuple[Expr, Expr]] = []

    def whole(self, value: Expr) -> Expr:
        """An expression with its variables."""
        for variable, meaning in reversed(self.variables):
            value = tirx.Let(variable, meaning, value)
        return value

    def bind(self, value: Expr) -> Expr:
        """A variable that holds a value."""
        if isinstance(value, (tirx.Var, tirx.IntImm, tirx.FloatImm)):
            return value
        variable = tirx.Var(f"v{len(self.variables)}", kind_of(value))
        self.variables.append((variable, value))
        return variable


class Elements(Variables):
    """Makes expressions of a region's values inside one stage.

    `tensors` holds what is in memory: operands and the results of stages, each in its value's physical order.
    """

    def __init__(self, region: Region, tensors: Mapping[Value, Tensor]) -> None:
        super().__init__()
        self.region, self.tensors = region, tensors
        self.fixed: dict[Value, Callable[[Index], Expr]] = {}
        self.known: dict[tuple[Value, tuple[object, ...]], tuple[Index, Expr]] = {}

    def element(self, value: Value, index: Sequence[Expr]) -> Expr:
        """The element of a value at an index of its own shape."""
        place = tuple(tirx.const(0, "int32") if n == 1 else i for n, i in zip(value.shape, index, strict=True))
        key = (value, tuple(_key(i) for i in place))
        if key not in self.known:
            found = self._new(value, place)
            self.known[key] = place, self.bind(found) if self.shared(value) else found
        return self.known[key][1]

    def shared(self, value: Value) -> bool:
        """Whether more than one op of the region reads a value that is computed here, not loaded."""
        computed = value.producer in self.region.ops and value not in self.tensors
        return computed and sum(value.users.values()) > 1

    def _new(self, value: Value, index: Index) -> Expr:
        if value in self.fixed:
            return self.fixed[value](index)
        number = self.region.literal(value)
        if number is not None:
            return literal(number, value.dtype)
        if value in self.tensors:
            return load(self.tensors[value], value.type, index)
        assert value.producer is not None
        return self.computed(value.producer, index)

    def computed(self, op: Op, index: Index) -> Expr:
        """The element of an op's result."""
        if type(op) in VIEWS:
            return self.element(op.operands[0], VIEWS[type(op)](op, index))
        if isinstance(op, Assembly):
            return self.assembled(op, index)
        if isinstance(op, Gather):
            return self.element(op.x, self.gathered(op, index))
        if isinstance(op, Lookup):
            least = -128 if op.x.dtype.name == "i8" else 0
            return self.tensors[op.table](tirx.Cast("int32", self.element(op.x, index)) - least)
        operands = [self.element(v, aligned(v, index)) for v in op.operands]
        if isinstance(op, BitCast):
            return reread(operands[0], op.x.type, op.type)
        if isinstance(op, Cast):
            return converted(operands[0], op.x.type, op.type)
        assert isinstance(op, Elementwise)
        if not isinstance(op, Dequantize | Requantizing):
            return spelled(op.expression, operands, op.operands[-1].dtype, self.bind)
        floats = [e if v.dtype == f32 else tirx.Cast("float32", e) for v, e in zip(op.operands, operands, strict=True)]
        value = spelled(op.expression, floats, f32, self.bind)
        return value if op.type.dtype == f32 else tirx.Cast(DTYPES[op.type.dtype.name], value)

    def gathered(self, op: Gather, index: Index) -> Index:
        """The index of a gather's operand; one that is out of range stays inside."""
        count, extent = op.indices.rank, op.x.shape[op.axis]
        place = self.element(op.indices, index[op.axis : op.axis + count])
        place = tirx.Cast("int32", place)
        place = tirx.Select(place < 0, place + extent, place)
        inside = tirx.max(tirx.min(place, extent - 1), 0)  # no variable: indices stand outside of them
        return (*index[: op.axis], inside, *index[op.axis + count :])

    def assembled(self, op: Assembly, index: Index) -> Expr:
        """The operand whose box an index is in, or the filling."""
        boxes = list(zip(op.operands, op.boxes(), strict=True))
        if op.filling is not None:
            found = literal(op.filling, op.type.dtype)
        else:
            (last, box), boxes = boxes[-1], boxes[:-1]
            found = self.element(last, inside(box.starts, box.steps, index))
        for operand, box in reversed(boxes):
            part = self.element(operand, inside(box.starts, box.steps, index))
            found = tirx.if_then_else(covers(op.type.shape, operand.shape, box.starts, box.steps, index), part, found)
        return found


def load(tensor: Tensor, kind: TensorType, index: Sequence[Expr]) -> Expr:
    """An element in memory, by its logical index."""
    return tensor(*(index[axis] for axis in kind.physical))


def physical_shape(kind: TensorType) -> tuple[int, ...]:
    """The dimensions as they lie in memory, outermost first."""
    return tuple(kind.shape[axis] for axis in kind.physical)


def logical(kind: TensorType, place: Sequence[Expr]) -> Index:
    """The logical index of a place in memory."""
    by_axis = dict(zip(kind.physical, place, strict=True))
    return tuple(by_axis[axis] for axis in range(kind.rank))


def aligned(value: Value, index: Index) -> Index:
    """The part of a result's index that an operand of lower rank has."""
    return index[len(index) - value.rank :]


def inside(starts: Sequence[int], steps: Sequence[int], index: Index) -> Index:
    """The index in a box."""
    shifted = [i if not a else i - a for i, a in zip(index, starts, strict=True)]
    return tuple(i if t == 1 else tirx.floordiv(i, t) for i, t in zip(shifted, steps, strict=True))


def covers(
    whole: Sequence[int], part: Sequence[int], starts: Sequence[int], steps: Sequence[int], index: Index
) -> Expr:
    """Whether an index lies in a box."""
    faults: list[Expr] = []
    for extent, size, start, step, place in zip(whole, part, starts, steps, index, strict=True):
        end = start + (size - 1) * step + 1
        faults += [place >= start] if start else []
        faults += [place < end] if end < extent else []
        faults += [tirx.floormod(place - start, step).equal(0)] if step > 1 else []
    return tirx.all(*faults) if faults else tirx.const(True, "bool")


def converted(value: Expr, given: TensorType, wanted: TensorType) -> Expr:
    """A cast; bool is `!= 0`."""
    if wanted.dtype.name == "bool":
        return value if given.dtype.name == "bool" else value != literal(0, given.dtype)
    return tirx.Cast(DTYPES[wanted.dtype.name], value)


def reread(value: Expr, given: TensorType, wanted: TensorType) -> Expr:
    """The same bits as another type; TVM has none for those of a bool."""
    if "bool" in (given.dtype.name, wanted.dtype.name):
        return converted(value, given, wanted)
    return tirx.reinterpret(DTYPES[wanted.dtype.name], value)


def _reshaped(op: Reshape, index: Index) -> Index:
    given, wanted = op.x.shape, op.shape
    found: list[Expr] = []
    for old, new in _groups(given, wanted):
        offset: Expr = tirx.const(0, "int32")
        for axis in new:
            offset = offset * wanted[axis] + index[axis]
        places: list[Expr] = []
        for axis in reversed(old):
            first = axis == old[0]
            places.append(offset if first else tirx.floormod(offset, given[axis]))
            offset = offset if first else tirx.floordiv(offset, given[axis])
        found += reversed(places)
    return tuple(found)


def _groups(given: Sequence[int], wanted: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Runs of dimensions that hold the same elements in both shapes."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(given) or j < len(wanted):
        old, new = [i] if i < len(given) else [], [j] if j < len(wanted) else []
        i, j = i + len(old), j + len(new)
        while (a := math.prod(given[k] for k in old)) != (b := math.prod(wanted[k] for k in new)):
            if a < b:
                old, i = [*old, i], i + 1
            else:
                new, j = [*new, j], j + 1
        groups.append((old, new))
    return groups


def _expanded(op: Expand, index: Index) -> Index:
    return aligned(op.x, index)


def _transposed(op: Transpose, index: Index) -> Index:
    by_axis = dict(zip(op.perm, index, strict=True))
    return tuple(by_axis[axis] for axis in range(len(op.perm)))


def _sliced(op: Slice, index: Index) -> Index:
    return tuple(a + i * t for a, i, t in zip(op.starts, index, op.steps, strict=True))


VIEWS: dict[type, Callable[..., Index]] = {
    Reshape: _reshaped, Transpose: _transposed, Slice: _sliced, Expand: _expanded,
    Relayout: lambda op, index: index,
}  # fmt: skip
"""The index of a view's operand, from that of its result."""


def _key(index: Expr) -> object:
    """What tells indices apart: a number, a variable's name, or which expression it is."""
    if isinstance(index, tirx.IntImm):
        return int(index)
    return index.name if isinstance(index, tirx.Var) else id(index)
