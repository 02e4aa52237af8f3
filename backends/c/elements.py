"""The element of a value at an index, as statements and an expression: on vectors of floats or on scalars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...ir import DType, Op, Value
from ...ir.dims import is_open
from ...ir.ops import BitCast, Cast, Dequantize, Elementwise, Gather, Lookup, Reduce, Relayout, Requantize
from ...ir.ops.quantize import Requantizing, limits
from ...ir.types import f16, f32
from ...passes.places import Place
from ...passes.region_rules import CARRIED
from . import spelling
from .affine import ZERO, Affine, Index, address
from .code import (
    Address,
    Assign,
    Call,
    Convert,
    Declare,
    Do,
    Element,
    Expression,
    Infix,
    Literal,
    Name,
    Statement,
    size,
)
from .region import Region
from .sizes import number as number_of
from .sizes import signed


@dataclass(frozen=True)
class Lanes:
    """How wide a step is: the loop variable that runs over lanes, and how many of them count (None: all)."""

    variable: str
    count: Expression | None = None


@dataclass
class Elements:
    """Writes statements that compute elements of a region's values.

    `pointers` names the pointer to each leaf's buffer part; with `lanes` the code is on vectors, without on scalars.
    """

    region: Region
    pointers: dict[Value, str]
    lanes: Lanes | None
    names: Names
    statements: list[Statement] = field(default_factory=list)
    known: dict[tuple[Value, Index], Expression] = field(default_factory=dict)
    fixed: dict[Value, Expression] = field(default_factory=dict)
    """Values that are in a variable already, whatever the index (results of reductions, a kernel's own result)."""
    stored: dict[Value, tuple[str, Place]] = field(default_factory=dict)
    """Values that an earlier pass has stored."""

    def element(self, value: Value, index: Index) -> Expression:
        """The element of a value at an index of its own shape; computed once."""
        if value in self.fixed:
            return self.fixed[value]
        index = tuple(ZERO if extent == 1 else i for extent, i in zip(value.shape, index, strict=True))
        key = (value, index)
        if key not in self.known:
            self.known[key] = self._new(value, index)
        return self.known[key]

    def _new(self, value: Value, index: Index) -> Expression:
        if value in self.stored:
            pointer, place = self.stored[value]
            return self.bind(self.load(pointer, place, index, value.dtype), value)
        number = self.region.literal(value)
        if number is not None:
            return self.number(number, value)
        if value in self.region.leaves:
            return self.bind(self.load(self.pointers[value], self.region.leaves[value], index, value.dtype), value)
        assert value.producer is not None
        return self.computed(value.producer, index)

    def computed(self, op: Op, index: Index) -> Expression:
        """The element of an op's result."""
        if isinstance(op, Relayout):
            return self.element(op.x, index)
        if isinstance(op, Gather):
            return self.element(op.x, self.gathered(op, index))
        if isinstance(op, Lookup):
            return self.bind(self.looked_up(op, index), op.result)
        if self.lanes and isinstance(op, Dequantize) and self.is_centred(op):
            return self.bind(self.centred(op, index), op.result)
        operands = [self.element(v, aligned(v, index)) for v in op.operands]
        if isinstance(op, Cast):
            return self.bind(self.cast(op, operands[0]), op.result)
        if isinstance(op, BitCast):
            return self.bind(spelling.bit_cast(operands[0], op.x.dtype, op.to), op.result)
        assert isinstance(op, Elementwise)
        return self.bind(self.spelled(op, operands), op.result)

    def spelled(self, op: Elementwise, operands: list[Expression]) -> Expression:
        """The value of an elementwise op; parts of its expression that occur more than once get a variable."""
        if self.lanes:
            return spelling.vector(op.expression, operands, self.share)
        if not isinstance(op, Dequantize | Requantizing):
            return spelling.scalar(op.expression, operands, op.operands[-1].dtype, self.share)
        floats = [e if v.dtype == f32 else Convert("float", e) for v, e in zip(op.operands, operands, strict=True)]
        value = spelling.scalar(op.expression, floats, f32, self.share)
        return value if op.type.dtype == f32 else Convert(self.ctype(op.result), value)

    def is_centred(self, op: Dequantize) -> bool:
        """Whether the zero point that an op takes off was added just before, with no float result to tell 0 from -0."""
        before = op.x.producer
        if not isinstance(before, Requantizing) or before not in self.region.ops or self.region.result.dtype == f32:
            return False
        zeros = [self.region.literal(v) for v in (before.zero, op.zero)]
        return zeros[0] is not None and zeros[0] == zeros[1]

    def centred(self, op: Dequantize, index: Index) -> Expression:
        """dequantize(requantize(x)): rounded and limited around zero, scaled."""
        before = op.x.producer
        assert isinstance(before, Requantizing)
        zero = self.region.literal(before.zero)
        assert zero is not None
        low, high = (bound - zero for bound in limits(before.to))
        rounded = Call("ec_f32_round", (self.exact(before, index),))
        inside = Call("ec_f32_max", (rounded, Call("ec_f32_set", (Literal(low),))))
        return self.times(Call("ec_f32_min", (Call("ec_f32_set", (Literal(high),)), inside)), op.scale, index)

    def exact(self, op: Requantizing, index: Index) -> Expression:
        """What an op rounds."""
        x, factor = op.operands[:-1]
        value = self.element(x, aligned(x, index))
        if isinstance(op, Requantize):
            return self.times(value, factor, index)
        return Call("ec_f32_div", (value, self.element(factor, aligned(factor, index))))

    def times(self, value: Expression, factor: Value, index: Index) -> Expression:
        if self.region.literal(factor) == 1:
            return value
        return Call("ec_f32_mul", (value, self.element(factor, aligned(factor, index))))

    def share(self, value: Expression, ctype: str) -> Expression:
        """A part of an expression in a variable of its own."""
        name = self.names.new("t")
        self.statements.append(Declare(ctype, name, value))
        return Name(name)

    def looked_up(self, op: Lookup, index: Index) -> Expression:
        """table[x], on scalars."""
        least = -128 if op.x.dtype.name == "i8" else 0
        position = Convert("size_t", Infix("-", Convert("int", self.element(op.x, index)), Literal(least, "int32_t")))
        place = self.names.new("at")
        self.statements.append(Declare("size_t", place, position))
        return Element(self.pointers[op.table], Affine.variable(place))

    def number(self, number: float, value: Value) -> Expression:
        if self.lanes:
            return Call("ec_f32_set", (Literal(number),))
        return spelling.number(number, value.dtype)

    def cast(self, op: Cast, operand: Expression) -> Expression:
        if self.lanes:
            one, zero = (Call("ec_f32_set", (Literal(n),)) for n in (1.0, 0.0))
            if op.to == f16 and op.result is not self.region.result:  # a store rounds by itself
                return Call("ec_f32_round_f16", (operand,))
            return operand if op.x.dtype.name != "bool" else Call("ec_f32_select", (operand, one, zero))
        return spelling.cast(operand, op.x.dtype, op.to, op.saturate, op.rounding)

    def gathered(self, op: Gather, index: Index) -> Index:
        """The index of a gather's operand: one dimension comes from the indices."""
        count = op.indices.rank
        inner = index[op.axis : op.axis + count]
        place = self._index_variable(op, tuple(inner))
        return (*index[: op.axis], place, *index[op.axis + count :])

    def _index_variable(self, op: Gather, index: Index) -> Affine:
        extent = op.x.shape[op.axis]
        if extent == 1:
            return ZERO
        number = self.region.literal(op.indices)
        if number is not None:
            return Affine(int(number) % extent if not is_open(extent) else int(number) + extent * (number < 0))
        key = (op.result, index)
        if key not in self.known:
            scalars = Elements(self.region, self.pointers, None, self.names, self.statements)
            wide = Convert("int64_t", scalars.element(op.indices, index))
            name = self.names.new("at")
            call = Call("ec_index", (wide, number_of(extent)))
            self.statements.append(Declare("size_t", name, call))
            self.known[key] = Name(name)
        known = self.known[key]
        assert isinstance(known, Name)
        return Affine.variable(known.text)

    def bind(self, value: Expression, of: Value) -> Expression:
        """The value in a variable of its own."""
        name = self.names.new("v")
        self.statements.append(Declare(self.ctype(of), name, value))
        return Name(name)

    def ctype(self, value: Value) -> str:
        if self.lanes:
            return "ec_m32" if value.dtype.name == "bool" else "ec_f32"
        return spelling.ctype_of(value.dtype)

    # --- memory ---------------------------------------------------------------------------------------------------

    def load(self, pointer: str, place: Place, index: Sequence[Affine], dtype: DType) -> Expression:
        where = address(index, place.strides)
        if self.lanes is None:
            return Element(pointer, where)
        stride = where.factor(self.lanes.variable)
        kind = _KINDS[dtype.name]
        if stride == 0:
            element = spelling.cast(Element(pointer, where), dtype, f32, False, "") if kind else Element(pointer, where)
            return Call("ec_f32_set", (element,))
        if kind and stride != 1:
            count = self.lanes.count or Name("EC_LANES")
            return Call(f"ec_f32_load{kind}_strided", (Address(pointer, where), signed(stride), count))
        if kind:
            args = (Address(pointer, where), *([self.lanes.count] if self.lanes.count else []))
            return Call(f"ec_f32_load{kind}{'_lanes' if self.lanes.count else ''}", args)
        args = (Address(pointer, where), *([] if stride == 1 else [signed(stride)]))
        strided = "" if stride == 1 else "_strided"
        if self.lanes.count is None:
            return Call(f"ec_f32_load{strided}", args)
        if stride == 1:
            return Call("ec_f32_load_lanes", (*args, self.lanes.count))
        return Call("ec_f32_load_strided_tail", (*args, self.lanes.count))

    def store(self, pointer: str, place: Place, index: Sequence[Affine], value: Expression) -> Statement:
        """Store an element of the region's result."""
        where = address(index, place.strides)
        if self.lanes is None:
            return Assign(Element(pointer, where), value)
        stride = where.factor(self.lanes.variable)
        kind = _KINDS[self.region.result.dtype.name]
        if kind and stride not in (0, 1):
            count = self.lanes.count or Name("EC_LANES")
            return Do(Call(f"ec_f32_put{kind}_strided", (Address(pointer, where), signed(stride), value, count)))
        if kind:
            lanes = size(1) if stride == 0 else self.lanes.count
            args = (Address(pointer, where), value, *([lanes] if lanes else []))
            return Do(Call(f"ec_f32_put{kind}{'_lanes' if lanes else ''}", args))
        if stride == 0:
            return Do(Call("ec_f32_store_tail", (Address(pointer, where), value, Literal(1, "int32_t"))))
        if stride == 1:
            full = Call("ec_f32_store", (Address(pointer, where), value))
            part = Call("ec_f32_store_lanes", (Address(pointer, where), value, self.lanes.count or Name("EC_LANES")))
            return Do(full if self.lanes.count is None else part)
        args = (Address(pointer, where), signed(stride), value)
        if self.lanes.count is None:
            return Do(Call("ec_f32_store_strided", args))
        return Do(Call("ec_f32_store_strided_tail", (*args, self.lanes.count)))


_KINDS = {"f32": "", "u8": "_u8", "i8": "_s8", "i16": "_s16", "f16": "_f16"}
"""Loads and stores of element types that vectors of floats carry; those of f16 round as they are stored."""


class Names:
    """Fresh variable names of one function."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def new(self, stem: str) -> str:
        self.counts[stem] = self.counts.get(stem, -1) + 1
        return f"{stem}{self.counts[stem]}"


def aligned(value: Value, index: Index) -> Index:
    """The part of an index that a broadcast operand sees."""
    return index[len(index) - value.rank :]


def is_float_region(region: Region) -> bool:
    """Whether a region can run on vectors of floats: floats, halves or bytes in memory, floats and masks in between.

    What only moves halves does not: it keeps the bits of what is no number.
    """
    indices = {op.indices for op in region.ops if isinstance(op, Gather)}
    kinds = {leaf.dtype.name for leaf in region.leaves if leaf not in indices} | {region.result.dtype.name}
    computes = any(isinstance(op, Elementwise | Reduce) for op in region.ops)
    casts = any(isinstance(op, Cast) and f16 in (op.x.dtype, op.to) for op in region.ops)
    allowed = (CARRIED if computes else {"f32"}) | ({"f16"} if casts else set())
    return kinds <= allowed and all(map(_is_vector_op, region.ops))


def _is_vector_op(op: Op) -> bool:
    if isinstance(op, Cast):
        return (op.x.dtype, op.to) == (f32, f16) or (op.to == f32 and op.x.dtype.name in {*CARRIED, "f16", "bool"})
    if isinstance(op, Dequantize | Requantizing):
        return op.type.dtype.name in CARRIED and all(v.dtype.name in CARRIED for v in op.operands)
    if isinstance(op, Elementwise):
        return spelling.is_vector(op.expression) and all(v.dtype.name in ("f32", "bool") for v in op.operands)
    return op.result.dtype.name in {*CARRIED, "f16"} and not isinstance(op, BitCast | Lookup)
