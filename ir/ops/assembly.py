"""Assemblies: tensors put together from others, each placed in a box of the result.

The planner lets the producer of an operand write straight into its box, so that a concatenation or a padding costs no
copy where that is possible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import EXACT, Array, Op, arg, operator
from ..types import TensorType, f32, normal_axis
from ..value import Value


@dataclass(frozen=True)
class Box:
    """Where an operand lies in the result: element `start + i * step` along each dimension."""

    starts: tuple[int, ...]
    steps: tuple[int, ...]


class Assembly(Op):
    """Places operands in boxes of the result; what no box covers holds `fill`."""

    tolerance = EXACT
    moves = True

    def boxes(self) -> tuple[Box, ...]:
        """One box for each operand."""
        raise NotImplementedError

    @property
    def filling(self) -> float | None:
        """What the rest of the result holds; None where the boxes cover it all."""
        return None

    def evaluate(self, *arrays: Any) -> Array:
        parts: tuple[Array, ...] = arrays[0] if isinstance(arrays[0], tuple) else arrays
        found = np.zeros(self.type.shape, parts[0].dtype)
        if self.filling:
            found[...] = self.filling
        for part, box in zip(parts, self.boxes(), strict=True):
            spans = zip(box.starts, box.steps, part.shape, strict=True)
            found[tuple(slice(a, a + t * n, t) for a, t, n in spans)] = part
        return found


@operator("concat")
class Concat(Assembly):
    """Operands one after another along an axis."""

    xs: tuple[Value, ...]
    axis: int
    takes_text = True

    def infer(self, *xs: Any) -> TensorType:
        types: tuple[TensorType, ...] = xs[0]
        if not types:
            raise ModelError("needs at least one operand")
        first = types[0]
        self.axis = normal_axis(self.axis, first.rank)
        rest = {(*t.shape[: self.axis], -1, *t.shape[self.axis + 1 :]) for t in types}
        if len(rest) > 1 or len({t.dtype for t in types}) > 1:
            raise ModelError(f"operands do not fit along axis {self.axis}: {', '.join(map(str, types))}")
        total = sum(t.shape[self.axis] for t in types)
        return first.with_shape((*first.shape[: self.axis], total, *first.shape[self.axis + 1 :]))

    def boxes(self) -> tuple[Box, ...]:
        rank, found, start = self.type.rank, [], 0
        for x in self.xs:
            found.append(Box(tuple(start if a == self.axis else 0 for a in range(rank)), (1,) * rank))
            start += x.shape[self.axis]
        return tuple(found)

    @classmethod
    def samples(cls) -> Any:
        yield cls((arg(f32, 2, 3, 4), arg(f32, 2, 1, 4), arg(f32, 2, 5, 4)), 1)
        yield cls((arg(f32, 2, 3), arg(f32, 2, 18)), -1)


@operator("pad")
class Pad(Assembly):
    """The operand with a border of one value; `pads` holds all begins, then all ends."""

    x: Value
    pads: tuple[int, ...]
    value: float = 0.0

    def infer(self, x: TensorType) -> TensorType:
        if len(self.pads) != 2 * x.rank or min(self.pads, default=0) < 0:
            raise ModelError(f"needs {2 * x.rank} pads that are not negative, has {list(self.pads)}")
        ends = self.pads[x.rank :]
        return x.with_shape(tuple(b + d + e for b, d, e in zip(self.pads, x.shape, ends, strict=False)))

    def boxes(self) -> tuple[Box, ...]:
        return (Box(self.pads[: self.type.rank], (1,) * self.type.rank),)

    @property
    def filling(self) -> float | None:
        return self.value if any(self.pads) else None

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 1, 3, 4, 5), (0, 0, 1, 2, 0, 0, 3, 0), -1.5)
        yield cls(arg(f32, 5), (2, 0))


@operator("interleave")
class Interleave(Assembly):
    """Operands laid between one another: operand i starts at `starts[i]` and goes in steps of `steps`.

    What a single operand leaves holds `value`; several fill the shape.
    """

    xs: tuple[Value, ...]
    shape: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]
    steps: tuple[int, ...]
    value: float = 0.0

    def infer(self, *xs: Any) -> TensorType:
        types: tuple[TensorType, ...] = xs[0]
        if len(types) != len(self.starts) or not types:
            raise ModelError("needs one start for each operand")
        for t, starts in zip(types, self.starts, strict=True):
            spans = zip(starts, t.shape, self.steps, self.shape, strict=True)
            if any(n and a + (n - 1) * s >= d for a, n, s, d in spans):
                raise ModelError(f"operand {t} from {list(starts)} leaves shape {list(self.shape)}")
        if len(types) > 1 and sum(t.size for t in types) != math.prod(self.shape):
            raise ModelError(f"{len(types)} operands do not fill shape {list(self.shape)}", hint="one, or all places")
        return types[0].with_shape(self.shape)

    def boxes(self) -> tuple[Box, ...]:
        return tuple(Box(tuple(s), tuple(self.steps)) for s in self.starts)

    @property
    def filling(self) -> float | None:
        covered = sum(x.type.size for x in self.xs)
        return None if covered >= self.type.size else self.value

    @classmethod
    def samples(cls) -> Any:
        yield cls((arg(f32, 1, 3), arg(f32, 1, 2)), (1, 5), ((0, 0), (0, 1)), (1, 2))
        yield cls((arg(f32, 3, 2),), (8, 6), ((1, 2),), (3, 2), 0.5)
