"""A cascade in C: a table of its stages, whose functions compute rows from wherever their pointers lead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import EdgecError
from ...ir import Value
from ...ir.ops import Cascade, Constant
from ...passes.places import ARENA, INPUT, OUTPUT, WEIGHT, Buffer, Place, broadcast_strides
from ...passes.plan import MemoryPlan
from ...passes.rolling import Rolling, Stage, rolling_of, slides_over
from ...passes.storage import Storage
from .affine import Affine
from .code import Call, Do, Element, Expression, Function, Infix, Listed, Name, Statement, Structure, size
from .sizes import number

if TYPE_CHECKING:
    from .steps import Access, Step

WHOLE, READ, WRITTEN = "EC_CASCADE_WHOLE", "EC_CASCADE_READ", "EC_CASCADE_WRITTEN"
MOST_PARTS = 32
"""As EC_CASCADE_PARTS."""


@dataclass(frozen=True)
class Pointer:
    """Where a pointer of a stage leads, and how many bytes it moves for a row of the stage's result."""

    kind: str
    row: int = 0


def body_plan(op: Cascade, place: dict[Value, Place]) -> MemoryPlan:
    """Places in the body: operands and result as they lie outside, all between in rolling buffers of rows."""
    storage = Storage()
    for i, (inner, outer) in enumerate(zip(op.body.inputs, op.xs, strict=True)):
        buffer = Buffer(INPUT, inner.type.most_bytes, inner.dtype, i)
        storage.places[inner] = Place(buffer, 0, place[outer].strides)
    for value in op.body.values:
        if isinstance(value.producer, Constant):
            at = Buffer(WEIGHT, value.type.most_bytes, value.dtype)
            storage.places[value] = Place(at, 0, value.type.strides)
    *rolling, last = rolling_of(op).stages
    for stage in rolling:
        seen = stage.pad.result if stage.pad else stage.op.results[0]
        ring = Place(Buffer(ARENA, seen.type.most_bytes, seen.dtype), 0, seen.type.strides)
        storage.places.update({seen: ring, stage.op.results[0]: ring})
    (result,) = last.op.results
    buffer = Buffer(OUTPUT, result.type.most_bytes, result.dtype)
    storage.places[result] = Place(buffer, 0, place[op.result].strides)
    return MemoryPlan(storage, 0, 0)


def pointers_of(stage: Stage, step: Step) -> list[Pointer]:
    """How the pointers of a stage move; its tasks must be rows."""
    if step.tasks != stage.rows:
        raise EdgecError(f"{step.kernel} has {step.tasks} tasks for {stage.rows} rows", where=stage.op.where)
    if len(step.parts) > MOST_PARTS:
        raise EdgecError(f"a stage of {len(step.parts)} pointers is too large for a cascade", where=stage.op.where)
    return [_pointer(stage, access) for access in step.accesses]


def _pointer(stage: Stage, access: Access | None) -> Pointer:
    if access is None:
        return Pointer(WHOLE)
    value, place = access.value, access.place
    if place.buffer.kind == ARENA:
        return Pointer(READ if access.reading else WRITTEN)
    if value is slides_over(stage.op):
        return Pointer(WHOLE, place.strides[2] * stage.stride * value.dtype.bytes)
    return Pointer(
        WHOLE, broadcast_strides(value.shape, place.strides, stage.op.results[0].shape)[2] * value.dtype.bytes
    )


def driver(rolling: Rolling, pointers: Sequence[Sequence[Pointer]]) -> Function:
    """The function of the step: bands begin .. end - 1."""
    body: list[Statement] = []
    for i, (stage, held) in enumerate(zip(rolling.stages, [*rolling.held(), 0], strict=True)):
        body += [_parts(i, pointers[i]), _stage(i, stage, held, len(pointers[i]))]
    listed = tuple(("", Name(f"&stage{i}")) for i in range(len(rolling.stages)))
    body.append(Structure("static const ec_cascade_stage *const", "stages[]", listed))
    first, last = (Infix("*", Name(name), size(rolling.band_rows)) for name in ("begin", "end"))
    scratch = Element("p", Affine(sum(map(len, pointers))))
    args = (
        Name("stages"), size(len(rolling.stages)), Name("p"),
        Infix("+", scratch, Infix("*", Name("begin"), size(rolling.offsets()[-1]))), size(rolling.rows), first,
        Call("ec_min_size", (last, size(rolling.stages[-1].rows))),
    )  # fmt: skip
    body.append(Do(Call("ec_cascade", args)))
    return Function("void", "step", ("char *const *p", "size_t begin", "size_t end"), body)


def _parts(index: int, pointers: Sequence[Pointer]) -> Structure:
    listed = tuple(("", Listed((Name(p.kind), number(p.row)))) for p in pointers)
    return Structure("static const ec_cascade_part", f"parts{index}[]", listed)


def _stage(index: int, stage: Stage, held: int, count: int) -> Structure:
    numbers = {
        "count": count, "rows": stage.rows, "span": stage.span, "stride": stage.stride, "above": stage.above,
        "left": stage.left, "right": stage.right, "row": stage.row, "held": held,
    }  # fmt: skip
    fields: list[tuple[str, Expression]] = [("run", Name(f"step_stage{index}")), ("parts", Name(f"parts{index}"))]
    fields += [(name, number(n)) for name, n in numbers.items()]
    return Structure("static const ec_cascade_stage", f"stage{index}", (*fields, *_border(stage)))


def _border(stage: Stage) -> list[tuple[str, Expression]]:
    """The element that the border holds, as bytes; one byte where all are the same."""
    if stage.pad is None:
        return []
    value = np.array(stage.pad.value).astype(stage.pad.type.dtype.numpy).tobytes()
    value = value[:1] if len(set(value)) == 1 else value
    return [("element", number(len(value))), ("value", Listed(tuple(map(number, value))))]
