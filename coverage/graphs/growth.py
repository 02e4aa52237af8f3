"""A graph that grows op by op. Every choice comes from the seed, and every value is computed as it comes in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from ...errors import EdgecError
from ...ir import Graph, Op, TensorType, Value
from ...ir.ops import (
    Abs,
    Add,
    ArgReduce,
    Cast,
    Clip,
    Elementwise,
    Expand,
    Max,
    Min,
    Pool,
    Reduce,
    Reshape,
    Slice,
    TopK,
    constant,
    like,
)
from ...ir.types import DTYPES, DType, boolean, f32
from .exceptions import ONNX, RUNTIME, exemption
from .known import Known, Unfit, as_double, computed, is_float, sharp

Array = np.ndarray
Item = TypeVar("Item")
DIMENSIONS = (1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 19, 33)
MOST_ELEMENTS = 3000
MOST_RANK = 6
COMMON = tuple(DTYPES[n] for n in ("f32", "f32", "f32", "f64", "i32", "i64", "u8", "i8", "bool", "f16"))
"""What inputs are mostly made of."""


class Growth:
    """The graph so far, what its values hold, and the chances that it grows by."""

    def __init__(
        self,
        seed: int,
        kinds: Sequence[DType] = COMMON,
        empty: bool = False,
        everywhere: bool = False,
        special: bool = False,
    ) -> None:
        self.random = np.random.default_rng(seed)
        self.graph = Graph(f"random{seed}")
        self.known: dict[Value, Known] = {}
        self.values: list[Value] = []
        self.inputs: list[Array] = []
        self.kinds = kinds
        self.empty = empty
        self.special = special
        """Whether there are infinities and NaN among the inputs."""
        self.everywhere = everywhere
        """Whether only what ONNX and ONNX Runtime have comes in."""

    # --- chances --------------------------------------------------------------------------------------------------

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def number(self, low: int, high: int) -> int:
        """A number from low to high, both included."""
        return int(self.random.integers(low, high + 1))

    def one(self, choices: Sequence[Item]) -> Item:
        if not choices:
            raise Unfit("nothing to choose from")
        return choices[self.number(0, len(choices) - 1)]

    def shape(self, low: int = 0, high: int = 4) -> tuple[int, ...]:
        """A shape of some rank, mostly of few elements."""
        found = [self.one(DIMENSIONS) for _ in range(self.number(low, high))]
        while math.prod(found) > MOST_ELEMENTS // 3:
            largest = found.index(max(found))
            found[largest] = self.one(DIMENSIONS[:8])
        if found and self.empty and self.chance(0.5):
            found[self.number(0, len(found) - 1)] = 0
        return tuple(found)

    def axis(self, rank: int) -> int:
        """An axis, half of the time counted from the end."""
        if not rank:
            raise Unfit("no axes")
        return self.number(-rank, rank - 1)

    def axes(self, rank: int) -> tuple[int, ...]:
        """Some axes, at least one if there are any."""
        chosen = [a for a in range(rank) if self.chance(0.5)] or list(range(rank))[-1:]
        return tuple(a - rank if self.chance(0.3) else a for a in chosen)

    def array(self, dtype: DType, shape: tuple[int, ...]) -> Array:
        """Numbers of few bits: halves about zero, small integers, now and then the ends of the range."""
        if dtype.is_text:
            return self._strings(dtype, shape)
        if dtype == boolean:
            return np.asarray(self.random.random(shape) > 0.5)
        if dtype.is_float:
            found = np.asarray(np.round(self.random.standard_normal(shape) * 4) / 2)
            return self._with_specials(found).astype(dtype.numpy) if self.special else found.astype(dtype.numpy)
        low = -8 if dtype.name.startswith("i") else 0
        most = 2 ** min(dtype.bits - (low < 0), 4) - 1
        small = self.random.integers(max(low, -most - 1), most + 1, shape)
        found = np.asarray(small).astype(dtype.numpy)
        return self._with_ends(found, dtype) if self.chance(0.15) else found

    def _strings(self, dtype: DType, shape: tuple[int, ...]) -> Array:
        """Strings of any length that has room, of few letters, so that many are alike."""
        letters = self.random.choice(np.frombuffer(b"aabAb \xc3\xa9", "S1"), (math.prod(shape), dtype.bytes))
        sizes = self.random.integers(0, dtype.bytes + 1, len(letters))
        found = [b"".join(row[:size]) for row, size in zip(letters, sizes, strict=True)]
        return np.array(found, dtype.numpy).reshape(shape)

    def _with_specials(self, found: Array) -> Array:
        drawn = self.random.choice([np.nan, np.inf, -np.inf, -0.0], found.shape)
        return np.where(self.random.random(found.shape) < 0.1, drawn, found)

    def _with_ends(self, found: Array, dtype: DType) -> Array:
        if dtype.is_narrow:
            return found
        about = np.iinfo(dtype.numpy)
        ends = np.where(self.random.random(found.shape) < 0.5, about.min, about.max).astype(dtype.numpy)
        return np.where(self.random.random(found.shape) < 0.2, ends, found).astype(dtype.numpy)

    def constant(self, dtype: DType, shape: tuple[int, ...] = ()) -> Value:
        """A constant that no op reads yet."""
        found = constant(self.array(dtype, shape))
        self._know(found)
        return found

    # --- values ---------------------------------------------------------------------------------------------------

    def input(self, dtype: DType, shape: tuple[int, ...]) -> Value:
        array = self.array(dtype, shape)
        value = self.graph.input(TensorType(dtype, shape), f"x{len(self.inputs)}")
        self.inputs.append(array)
        self.values.append(value)
        self.known[value] = sharp(array)
        return value

    def put(self, op: Op) -> Value:
        """Add an op to the graph; its first result. `Unfit` where its results cannot be compared."""
        return self.put_all(op)[0]

    def put_all(self, op: Op) -> tuple[Value, ...]:
        for value in op.operands:
            self._know(value)
        self._compute(op)
        self.graph.add(op)
        self.values += op.results
        return op.results

    def _know(self, value: Value) -> Known:
        """What a value holds; one that is not in the graph yet is computed."""
        if value not in self.known and value.producer is not None:
            for operand in value.producer.operands:
                self._know(operand)
            self._compute(value.producer)
        return self.known[value]

    def _compute(self, op: Op) -> None:
        if any(r.type.size > MOST_ELEMENTS or r.rank > MOST_RANK for r in op.results):
            raise Unfit("too many elements")
        if self.everywhere and (exemption(op, ONNX) or exemption(op, RUNTIME)):
            raise Unfit("not everywhere")
        if self.special and not takes_specials(op) and not all(map(self.is_finite, op.operands)):
            raise Unfit("not finite")
        found = computed(op, self.known, self.random, finite=not self.special)
        self.known.update(zip(op.results, found, strict=True))

    def value(self, holds: Callable[[Value], bool] = lambda value: True) -> Value:
        """A value of some kind, mostly a late one."""
        fitting = [v for v in self.values if holds(v)]
        if not fitting:
            raise Unfit("no such value")
        return fitting[max(self.number(0, len(fitting) - 1), self.number(0, len(fitting) - 1))]

    def of_rank(self, low: int, high: int = MOST_RANK) -> Value:
        """A value of some rank, and if need be of another shape."""
        x = self.value()
        if low <= x.rank <= high:
            return x
        if x.rank < low:
            ones = [1] * (low - x.rank)
            return self.put(Reshape(x, (*x.shape, *ones) if self.chance(0.5) else (*ones, *x.shape)))
        return self.put(Reshape(x, (*x.shape[: high - 1], math.prod(x.shape[high - 1 :]))))

    # --- making values fit ------------------------------------------------------------------------------------------

    def of_kind(self, x: Value, kinds: Sequence[DType]) -> Value:
        """The value, or one of as many dimensions, cast if its element type is none of those."""
        if x.dtype in kinds:
            return x
        alike = [v for v in self.values if v.rank == x.rank and v.dtype in kinds]
        if alike and self.chance(0.7):
            return self.one(alike)
        wide = [k for k in kinds if k in self.kinds] or list(kinds)
        return self.cast(x, f32 if f32 in wide and (x.dtype.is_float or self.chance(0.3)) else self.one(wide))

    def cast(self, x: Value, to: DType) -> Value:
        """A value in another element type; what does not fit into it is limited first."""
        if x.dtype == to:
            return x
        if is_float(self.known[x].exact) and not to.is_float and to != boolean:
            low, high = limits(to)
            if x.type.size and not self.lies(x, low, high):
                x = self.put(Clip(x, low, high))
            if not self.is_finite(x):
                raise Unfit("NaN is no integer")
        return self.put(Cast(x, to))

    def is_finite(self, x: Value) -> bool:
        """Whether a value holds neither infinities nor NaN."""
        array = self._know(x).exact
        return not is_float(array) or bool(np.isfinite(as_double(array)).all())

    def lies(self, x: Value, low: float, high: float) -> bool:
        """Whether all numbers of a value lie between two, in all runs."""
        known = self._know(x)
        arrays = (known.exact, *known.nudged)
        return all(bool(((a >= low) & (a <= high)).all()) for a in map(as_double, arrays))

    def limited(self, x: Value, low: float, high: float) -> Value:
        """The value with its numbers brought between two."""
        if not x.type.size or self.lies(x, low, high):
            return x
        if x.dtype.is_float:
            return self.put(Clip(x, low, high))
        return self.put(Max(self.put(Min(x, like(x, int(high)))), like(x, int(low))))

    def positive(self, x: Value) -> Value:
        """The value with its numbers made larger than a half."""
        if not x.type.size or self.lies(x, 0.5, np.inf):
            return x
        return self.put(Add(self.put(Abs(x)), like(x, 0.5 if x.dtype.is_float else 1)))

    def fit(self, x: Value, wanted: TensorType) -> Value:
        """A value of just that type, made of the elements of another one."""
        x = self.cast(x, wanted.dtype)
        return x if x.shape == wanted.shape else self._refilled(x, wanted.shape)

    def _refilled(self, x: Value, shape: tuple[int, ...]) -> Value:
        size = math.prod(shape)
        if not x.type.size:
            return self.constant(x.dtype, shape)
        flat = x if x.rank == 1 else self.put(Reshape(x, (x.type.size,)))
        if flat.type.size < size:
            times = -(-size // flat.type.size)
            flat = self.put(Reshape(self.put(Expand(flat, (times, flat.type.size))), (times * flat.type.size,)))
        if flat.type.size > size:
            flat = self.put(Slice(flat, (self.number(0, flat.type.size - size),), (size,)))
        return flat if flat.shape == shape else self.put(Reshape(flat, shape))

    def partner(self, x: Value, shape: tuple[int, ...]) -> Value:
        """A value of the element type of another and of a shape: one that is there, a constant, or one made to fit."""
        there = [v for v in self.values if v.shape == shape and v.dtype == x.dtype]
        if there and self.chance(0.6):
            return self.one(there)
        return (
            self.constant(x.dtype, shape) if self.chance(0.75) else self.fit(self.value(), TensorType(x.dtype, shape))
        )

    def broadcasting(self, x: Value) -> tuple[int, ...]:
        """A shape that broadcasts with that of x: into it, or now and then beyond it."""
        found = [d if self.chance(0.6) else 1 for d in x.shape]
        if self.chance(0.2):
            found = [self.one(DIMENSIONS[:6]) if d == 1 and self.chance(0.5) else e for d, e in zip(x.shape, found)]  # noqa: B905
        if self.chance(0.3):
            found = found[self.number(0, len(found)) :]
        return (self.one(DIMENSIONS[:5]), *found) if self.chance(0.1) and len(found) < MOST_RANK - 1 else tuple(found)

    def attempt(self, make: Callable[[], Any]) -> str:
        """Let something grow; why it does not, or nothing."""
        try:
            make()
        except (EdgecError, Unfit) as error:
            return f"{type(error).__name__}: {error}"
        except (ValueError, IndexError, OverflowError) as error:  # numpy's, of numbers that an op does not take
            return f"{type(error).__name__}: {error}"
        return ""


def takes_specials(op: Op) -> bool:
    """Whether infinities and NaN have a clear meaning for an op: where nothing is summed up."""
    chooses = getattr(op, "kind", "") in ("max", "min") and isinstance(op, Reduce | Pool | ArgReduce)
    return chooses or op.moves or isinstance(op, Elementwise | TopK)


def limits(kind: DType) -> tuple[float, float]:
    """Numbers within which an integer type has all floats."""
    bits = min(kind.bits, 24)
    signed = kind.name.startswith("i")
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
