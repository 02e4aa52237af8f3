"""A call of a kernel as a step is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...ir.ops import Conv
from ...kernels.schedules import Question, Schedule
from .code import Function, Statement


@dataclass
class KernelCall:
    """The body of a step that calls a kernel, its epilogue function and the arrays it wants packed."""

    kernel: str
    body: list[Statement]
    tasks: int
    header: str
    tile: str = ""
    epilogue: Function | None = None
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    """Arrays for the weight blob by the name of the pointer through which the body reads them."""
    note: str = ""
    """Why this kernel and no other, for the report."""
    asked: list[tuple[Question, Schedule]] = field(default_factory=list)
    """The questions whose answers its schedule is."""


def winograd_question(op: Conv) -> Question:
    """The question whether a 3x3 convolution is computed on transformed tiles."""
    n, out_c, h, w = op.type.shape
    return Question("winograd_f32", (n, h, w, out_c, op.w.shape[1]))
