"""Schedules of layers: what of a layer they depend on, the numbers they are made of, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import ModelError
from ..escaping import escape

ABI = 1
"""Raised when a kernel changes so much that times measured before say nothing of it."""

Schedule = tuple[int, ...]
"""The numbers of a schedule, in the order of `NUMBERS`."""

_TILED = ("width", "mr", "nv", "rows", "panels")
NUMBERS: Mapping[str, tuple[str, ...]] = {
    "conv_f32": _TILED,
    "conv_f16": _TILED,
    "conv_i8": _TILED,
    "conv_i4": _TILED,
    "conv_i16": _TILED,
    "depthwise_f32": ("mr",),
    "winograd_f32": ("edge", "block"),
    "sparse_f32": ("sparse",),
}
"""What schedules say: pixels of a row, tile, rows and panels of a task; pixels of a depthwise tile; the edge and
number of Winograd's tiles, 0 and 0 for direct convolution; whether zeros among the weights are left out."""

_WINDOW = 18
SIZES: Mapping[str, int] = {
    **dict.fromkeys(("conv_f32", "conv_f16", "conv_i8", "conv_i4", "conv_i16", "depthwise_f32"), _WINDOW),
    "winograd_f32": 5,
    "sparse_f32": 4,
}
"""How many sizes a question about a kernel has."""


@dataclass(frozen=True)
class Question:
    """A layer, as far as its schedule depends on it.

    `sizes` are the fields of `ec_conv_shape` without its blocks (contractions, depthwise), batch, height, width,
    channels out and in (winograd), or pixels, channels in and out, weights that are not zero (sparse). `epilogue` names
    the ops that are fused behind, `vectors` the width of panels that are packed already (0: free), `flat` tells that
    rows lie behind one another and may be cut anew.
    """

    kernel: str
    sizes: tuple[int, ...]
    weights: str = "f32"
    epilogue: tuple[str, ...] = ()
    vectors: int = 0
    flat: bool = False

    def __str__(self) -> str:
        return f"{self.kernel} {'x'.join(map(str, self.sizes))}"


class Space(Protocol):
    """The schedules that a layer can have."""

    @property
    def question(self) -> Question:
        """The layer."""

    def default(self) -> Schedule:
        """What the cost model chooses."""

    def fits(self, schedule: Schedule) -> bool:
        """Whether the kernel computes the layer right with a schedule."""

    def candidates(self) -> Sequence[Schedule]:
        """The schedules that are worth measuring beside the default, by the cost model, the best first."""

    def variations(self, best: Schedule) -> Sequence[Schedule]:
        """What is worth measuring when `best` is the best so far."""


class Book(Protocol):
    """Where schedules come from."""

    def choose(self, space: Space) -> Schedule:
        """The schedule that a layer takes."""

    def times(self, question: Question) -> Mapping[Schedule, float]:
        """Microseconds by schedule, as far as they are known."""


@dataclass(frozen=True)
class Model:
    """The cost model alone."""

    def choose(self, space: Space) -> Schedule:
        return space.default()

    def times(self, question: Question) -> Mapping[Schedule, float]:
        return {}


MODEL = Model()


@dataclass(frozen=True)
class Known:
    """Measured schedules, and those of the cost model where there are none; `source` is for messages."""

    source: str
    measured: Mapping[Question, Mapping[Schedule, float]]

    def choose(self, space: Space) -> Schedule:
        """The fastest; ModelError where it does not fit the layer."""
        found = self.times(space.question)
        if not found:
            return space.default()
        best = fastest(found)
        if not space.fits(best):
            raise unfit(self.source, space.question, best)
        return best

    def times(self, question: Question) -> Mapping[Schedule, float]:
        return self.measured.get(question, {})


@dataclass(frozen=True)
class Both:
    """One book after the other: the first that knows a layer decides."""

    first: Book
    second: Book

    def choose(self, space: Space) -> Schedule:
        return (self.first if self.first.times(space.question) else self.second).choose(space)

    def times(self, question: Question) -> Mapping[Schedule, float]:
        return self.first.times(question) or self.second.times(question)


def fastest(times: Mapping[Schedule, float]) -> Schedule:
    """The schedule of the least time; of equal ones the first by its numbers."""
    return min(times, key=lambda schedule: (times[schedule], schedule))


def unfit(source: str, question: Question, schedule: Schedule) -> ModelError:
    """The error where a schedule cannot be that of a layer."""
    said = ", ".join(f"{n}={v}" for n, v in zip(NUMBERS[question.kernel], schedule, strict=True))
    what = f"{source}: the schedule {said} does not fit {escape(str(question))}"
    return ModelError(what, hint="leave the database out, or measure again with --tune")


def named(question: Question, schedule: Schedule) -> dict[str, Any]:
    """The numbers of a schedule by their names."""
    return dict(zip(NUMBERS[question.kernel], schedule, strict=True))
