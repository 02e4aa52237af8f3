"""Functions of tensor IR whose loops are written out, for ops that no schedule could change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...ir import Op, Value
from .elements import physical_shape
from .packages import Expr, builder, statements, tirx
from .region import Region
from .spelling import DTYPES
from .stages import with_element_alignment

Array = np.ndarray
Buffer = Any


@dataclass(frozen=True)
class Loops:
    """A function without a schedule; the fields are those of `Stages`."""

    region: Region
    operands: list[tuple[Value, Buffer]]
    constants: list[tuple[Buffer, Array]]
    made: Any

    def function(self) -> Any:
        """The function of tensor IR."""
        return self.made


Forms = Mapping[str, tuple[Value, Array]]
"""Constants that are read in another form than the graph holds: which operands, and what takes their place."""


class Memory:
    """The tensors of an op inside its function: operands, constants in another form by name, the result."""

    def __init__(self, op: Op) -> None:
        self.op, self.region = op, Region.of(op)
        self.buffers: dict[Value, Buffer] = {}
        self.forms: dict[str, Buffer] = {}

    def written(self, body: Callable[[], None], forms: Forms) -> Loops:
        """The function whose statements `body` adds."""
        replaced = [value for value, _ in forms.values()]
        read = [v for v in self.region.operands if v not in replaced and self.reads(v)]
        with builder.IRBuilder() as maker:
            with statements.prim_func(s_tir=True):
                statements.func_name("main")
                for place, value in enumerate(read):
                    self.buffers[value] = argument(f"x{place}", physical_shape(value.type), DTYPES[value.dtype.name])
                for name, (_, array) in forms.items():
                    self.forms[name] = argument(name, array.shape, str(array.dtype))
                result = self.region.result
                self.buffers[result] = argument("result", physical_shape(result.type), DTYPES[result.dtype.name])
                body()
            made = with_element_alignment(maker.get()).with_attr("tirx.noalias", True)
        constants = [(self.forms[name], np.ascontiguousarray(array)) for name, (_, array) in forms.items()]
        return Loops(self.region, [(v, self.buffers[v]) for v in read], constants, made)

    def reads(self, value: Value) -> bool:
        """Whether an operand is an argument."""
        return True

    def at(self, value: Value, *index: Expr) -> Expr:
        """An element of a tensor, by its logical index."""
        return self.buffers[value][tuple(index[axis] for axis in value.type.physical)]

    def store(self, value: Expr, *index: Expr) -> None:
        """Write an element of the result."""
        result = self.region.result
        statements.buffer_store(self.buffers[result], value, [index[axis] for axis in result.type.physical])


def argument(name: str, shape: Sequence[int], dtype: str) -> Buffer:
    """A tensor that the function takes."""
    return statements.arg(name, statements.buffer(tuple(shape), dtype, layout=None))


@contextmanager
def loop(name: str, extent: int | Expr, kind: Any = None) -> Iterator[Expr]:
    """A loop from 0, in order unless `kind` says otherwise."""
    with (kind or statements.serial)(0, extent) as variable:
        builder.IRBuilder.name(name, variable)
        yield variable


@contextmanager
def over(shape: Sequence[int], name: str = "i") -> Iterator[tuple[Expr, ...]]:
    """Loops over all places of a shape."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(loop(f"{name}{axis}", extent)) for axis, extent in enumerate(shape))


@contextmanager
def where(condition: Expr) -> Iterator[None]:
    """Statements that run where a condition holds."""
    with statements.If(condition), statements.Then():
        yield


def whole(value: int) -> Expr:
    """An index."""
    return tirx.const(value, "int32")
