"""How an operator is declared, and what is derived from its declaration.

An operator is one class in one file:

    @operator("hardswish", onnx="HardSwish")
    class HardSwish(Elementwise):
        x: Value

        def scalar(self, x):
            return x * minimum(1.0, maximum(0.0, x / 6 + 0.5))

        @classmethod
        def samples(cls):
            yield cls(arg(f32, 1, 3, 5, 7))

Fields annotated `Value` are operands (`Value | None` optional, `tuple[Value, ...]` any number); every other field is
an attribute. Text form, verification, round-trip tests, evaluate-against-infer tests, kernel tests and the tables in
the docs follow from the class.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np

from ..errors import EdgecError, ModelError
from ..escaping import escape
from ._compat import dataclass_transform
from .dims import Symbol, Undecided
from .types import TensorType, dtype_of
from .value import Value

Array = np.ndarray


class NoText(ModelError):
    """An op has strings for operands or results and is not made for them."""


@dataclass(frozen=True)
class Origin:
    """Which node of the model an op comes from."""

    index: int
    name: str
    onnx_type: str = ""

    def __str__(self) -> str:
        return f"ONNX node {self.index} {escape(self.onnx_type)} '{escape(self.name)}'".replace("  ", " ")


@dataclass(frozen=True)
class Tolerance:
    """How far a kernel may stand from `evaluate`: |a - b| <= absolute + relative * max|b|."""

    relative: float = 1e-6
    absolute: float = 1e-6


EXACT = Tolerance(0.0, 0.0)


class Op:
    """An operation of a graph: operands and attributes as fields, results as values.

    Subclasses declare `infer` (operand types to result types) and `evaluate` (numpy arrays to numpy arrays, the
    oracle that everything else is tested against). Both are called with one argument per operand field.
    """

    name: ClassVar[str] = ""
    onnx: ClassVar[str] = ""
    domain: ClassVar[str] = ""
    kernel: ClassVar[str] = ""
    tolerance: ClassVar[Tolerance] = EXACT
    pure: ClassVar[bool] = True
    checks_run: ClassVar[bool] = False
    """Whether a run fails where this op finds a number that it must not."""
    folds: ClassVar[bool] = True
    """Whether constant folding may evaluate it; a dequantize of weights stays: kernels want the integers."""
    bodies: ClassVar[tuple[str, ...]] = ()
    """Attributes that hold graphs on which every pass runs too; the body of a fused region is none of them."""

    takes_text: ClassVar[bool] = False
    """Whether operands and results may be strings."""

    moves: ClassVar[bool] = False
    """Whether it only moves or casts elements, so that it works on any element type as it is."""

    results: tuple[Value, ...]
    origin: Origin | None

    def infer(self, *types: Any) -> TensorType | tuple[TensorType, ...]:
        """Result types from operand types; `ModelError` where they do not fit."""
        raise NotImplementedError(f"{type(self).__name__}.infer")

    def evaluate(self, *arrays: Any) -> Array | tuple[Array, ...]:
        """Result arrays from operand arrays."""
        raise NotImplementedError(f"{type(self).__name__}.evaluate")

    def found_sizes(self) -> tuple[Symbol, ...]:
        """The open sizes that a run finds when it computes this op; an op that finds any is not `pure`."""
        return ()

    def expand(self) -> Value | None:
        """The same computation in simpler ops, or None where there is none."""
        return None

    def macs(self) -> int:
        """Multiply-accumulates of one run."""
        return 0

    @classmethod
    def samples(cls) -> Iterable[Op]:
        """Small instances for the derived tests: odd sizes, size 1, extremes."""
        return ()

    def __post_init__(self) -> None:
        self.origin = None
        self._refresh()

    def _refresh(self) -> None:
        types = self.inferred()
        self.results = tuple(Value(t, self, i) for i, t in enumerate(types))

    def inferred(self) -> tuple[TensorType, ...]:
        """Result types computed afresh; errors say which op they concern."""
        self._check_strings("take", (v.type for v in self.operands))
        try:
            types = self.infer(*self._arguments(lambda v: v.type))
        except EdgecError as error:
            kind = Undecided if isinstance(error, Undecided) else ModelError
            raise kind(f"{self.name}: {error.what}", where=error.where, hint=error.hint) from None
        types = types if isinstance(types, tuple) else (types,)
        self._check_strings("make", types)
        return types

    def _check_strings(self, verb: str, types: Iterable[TensorType]) -> None:
        strings = () if self.takes_text else tuple(kind.dtype.name for kind in types if kind.dtype.is_text)
        if strings:
            raise NoText(f"{self.name} does not {verb} strings ({strings[0]})")

    def compute(self, lookup: Callable[[Value], Array]) -> tuple[Array, ...]:
        """Result arrays, each operand looked up through a function.

        Numbers of narrow types (f16, bf16, i4, ...) are computed in wide ones, and the results rounded.
        """
        if self.computes_wide:
            wide = {v: as_wide(lookup(v)) for v in self.operands}
            found = self._evaluated(wide.__getitem__)
            return tuple(a.astype(r.dtype.numpy) for a, r in zip(found, self.results, strict=True))
        return self._evaluated(lookup)

    def _evaluated(self, lookup: Callable[[Value], Array]) -> tuple[Array, ...]:
        arrays = self.evaluate(*self._arguments(lookup))
        return arrays if isinstance(arrays, tuple) else (arrays,)

    @property
    def computes_wide(self) -> bool:
        """Whether it computes numbers of a narrow type: in a wide one, so that each result is rounded once."""
        return not self.moves and any(v.dtype.is_narrow for v in (*self.operands, *self.results))

    def _arguments(self, of: Callable[[Value], Any]) -> list[Any]:
        return [_map_field(getattr(self, f.name), of) for f in self.operand_fields()]

    @classmethod
    def operand_fields(cls) -> tuple[dataclasses.Field[Any], ...]:
        return _layout(cls)[0]

    @classmethod
    def attribute_fields(cls) -> tuple[dataclasses.Field[Any], ...]:
        return _layout(cls)[1]

    @property
    def operands(self) -> tuple[Value, ...]:
        """All operand values in order, absent optional ones left out."""
        return tuple(_flatten(getattr(self, f.name) for f in self.operand_fields()))

    @property
    def result(self) -> Value:
        """The only result."""
        (value,) = self.results
        return value

    @property
    def type(self) -> TensorType:
        """The type of the only result."""
        return self.result.type

    def replace(self, **changes: Any) -> Any:
        """A new op with some fields changed, of the same origin."""
        current = {f.name: getattr(self, f.name) for f in dataclasses.fields(typing.cast(Any, self))}
        new = type(self)(**{**current, **changes})
        new.origin = self.origin
        return new

    def with_operands(self, swap: Callable[[Value], Value]) -> Any:
        """A new op that reads `swap(v)` wherever this one reads v."""
        return self.replace(**{f.name: _map_field(getattr(self, f.name), swap) for f in self.operand_fields()})

    def swap_operands(self, swap: Callable[[Value], Value]) -> None:
        """Change operands in place; only the graph calls this, for it keeps the users."""
        for f in self.operand_fields():
            setattr(self, f.name, _map_field(getattr(self, f.name), swap))

    @property
    def where(self) -> str:
        """Where this op stands, for messages."""
        operands = ", ".join(str(v.type) for v in self.operands)
        return f"{self.name}({operands})" + (f" ({self.origin})" if self.origin else "")


def as_wide(array: Array) -> Array:
    """Numbers of a narrow type in the wide one."""
    kind = dtype_of(array)
    with np.errstate(invalid="ignore"):
        return array.astype(kind.wide.numpy) if kind.is_narrow else array


def _flatten(fields: Iterable[Any]) -> Iterator[Value]:
    for value in fields:
        if isinstance(value, tuple):
            yield from value
        elif value is not None:
            yield value


def _map_field(value: Any, of: Callable[[Value], Any]) -> Any:
    if isinstance(value, tuple):
        return tuple(of(v) for v in value)
    return None if value is None else of(value)


def _is_operand(annotation: Any) -> bool:
    return annotation in (Value, typing.Optional[Value], tuple[Value, ...])  # noqa: UP045


_LAYOUTS: dict[type, tuple[tuple[dataclasses.Field[Any], ...], tuple[dataclasses.Field[Any], ...]]] = {}


def _layout(cls: type) -> tuple[tuple[dataclasses.Field[Any], ...], tuple[dataclasses.Field[Any], ...]]:
    if cls not in _LAYOUTS:
        hints = typing.get_type_hints(cls)
        fields = dataclasses.fields(cls)
        operands = tuple(f for f in fields if _is_operand(hints[f.name]))
        _LAYOUTS[cls] = operands, tuple(f for f in fields if f not in operands)
    return _LAYOUTS[cls]


REGISTRY: dict[str, type[Op]] = {}
"""Every declared operator by its name in the text form."""

RENDERED: dict[tuple[str, str], type[Op]] = {}
"""Operators that render one of ONNX as it is, by its domain and name."""

Declared = TypeVar("Declared", bound=type)


@dataclass_transform(eq_default=False)
def operator(name: str, onnx: str = "", domain: str = "") -> Callable[[Declared], Declared]:
    """Declare an operator: make its class a dataclass and register it under its name.

    `onnx` names the ONNX operator that it renders one to one; with no `onnx` the importer has a rule for it or it is
    a form that only passes create.
    """

    def declare(cls: Declared) -> Declared:
        if name in REGISTRY and REGISTRY[name].__qualname__ != cls.__qualname__:
            raise ModelError(f"operator '{name}' is declared twice", where=f"{cls.__module__}.{cls.__name__}")
        made: Any = dataclass(eq=False, repr=False)(cls)
        made.name, made.onnx, made.domain = name, onnx, domain
        REGISTRY[name] = made
        if onnx:
            RENDERED[(domain, onnx)] = made
        return typing.cast(Declared, made)

    return declare


def arg(dtype: Any, *shape: int) -> Value:
    """An operand for `samples()`: a value of a type, with no producer."""
    return Value(TensorType(dtype, shape))


__all__ = ["EXACT", "REGISTRY", "RENDERED", "Array", "Op", "Origin", "Tolerance", "arg", "field", "operator"]
