"""The small C executor: the program's calls as tables, its tensors in one planned arena."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from ...artifact.support import model_header
from ...artifact.weights import Weights
from ...escaping import comment, escape
from ...passes.arena import ALIGNMENT, Interval, place
from .program import Argument, Program, Slot, element_bytes, lifetimes

CODES = {"int": 0, "uint": 1, "float": 2, "bool": 6}
"""DLPack's codes of element types."""

WEIGHTS, ARENA, CALLER = 0, 1, 2
"""Positions in the table of base pointers: inputs, then outputs follow from CALLER."""


@dataclass(frozen=True)
class Home:
    """Where a slot lies: a base pointer and the bytes from there."""

    base: int
    offset: int


@dataclass
class Layout:
    """Homes of all slots, the sizes of arena and workspaces, the weights, and copies that outputs need."""

    homes: dict[Slot, Home] = field(default_factory=dict)
    weights: Weights = field(default_factory=Weights)
    copies: list[tuple[Argument, int]] = field(default_factory=list)
    tensor_bytes: int = 0
    lower_bound: int = 0
    workspace: int = 0
    task_workspace: int = 0
    buffers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def arena_bytes(self) -> int:
        """What model_run needs."""
        return max(self.tensor_bytes + self.workspace, ALIGNMENT)


def layout_of(program: Program, workspace: int, task_workspace: int) -> Layout:
    """Give every slot a home; results that are outputs are written where the caller wants them.

    `workspace` is what a function may ask for while it runs, `task_workspace` the same of one that threads share.
    """
    layout = Layout(workspace=workspace, task_workspace=task_workspace)
    for index, slot in enumerate(program.inputs):
        layout.homes[slot] = Home(CALLER + index, 0)
    for slot in program.constants:
        assert slot.array is not None
        layout.homes[slot] = Home(WEIGHTS, layout.weights.add(slot.array))
    for index, argument in enumerate(program.outputs):
        base = CALLER + len(program.inputs) + index
        if argument.slot in layout.homes:
            layout.copies.append((argument, base))
        else:
            layout.homes[argument.slot] = Home(base, 0)
    _place(program, layout)
    return layout


def _place(program: Program, layout: Layout) -> None:
    left = [one for one in lifetimes(program) if one[0] not in layout.homes]
    found = place([Interval(slot.bytes, first, last) for slot, first, last in left])
    layout.tensor_bytes, layout.lower_bound = found.bytes, found.lower_bound
    for (slot, first, last), offset in zip(left, found.offsets, strict=True):
        layout.homes[slot] = Home(ARENA, offset)
        named = {"value": escape(slot.name), "bytes": slot.bytes}
        layout.buffers.append({**named, "offset": offset, "first": first, "last": last})


def sources(program: Program, layout: Layout) -> dict[str, bytes]:
    """model.h, model.c and weights.bin."""
    return {
        "model.h": model_header(program.graph, layout.arena_bytes),
        "model.c": _Writer(program, layout).text().encode(),
        "weights.bin": layout.weights.blob(),
    }


class _Writer:
    """Fills the tables of model.c; equal tensors and shapes stand there once."""

    def __init__(self, program: Program, layout: Layout) -> None:
        self.program, self.layout = program, layout
        self.shapes: dict[tuple[int, ...], int] = {}
        self.numbers = 0
        self.tensors: dict[str, int] = {}
        self.arguments: list[int] = []
        self.steps: list[str] = []

    def text(self) -> str:
        for call in self.program.calls:
            origin = f" ({call.op.origin})" if call.op.origin else ""
            homes = [(a, self.layout.homes[a.slot]) for a in call.arguments]
            self.step(symbol(call.kernel), homes, call.kernel + origin)
        for argument, base in self.layout.copies:
            self.step("model_copy", [(argument, self.layout.homes[argument.slot]), (argument, Home(base, 0))], "copy")
        kernels = sorted({symbol(call.kernel) for call in self.program.calls})
        most = max((len(call.arguments) for call in self.program.calls), default=2)
        parts = {
            "ARENA": str(self.layout.arena_bytes),
            "WEIGHTS": str(len(self.layout.weights.blob())),
            "WORKSPACE": str(self.layout.workspace),
            "TASK": str(self.layout.task_workspace),
            "FUNCTIONS": "\n".join(f"model_function {name};" for name in kernels),
            "SHAPES": "\n".join(_shape_line(shape) for shape in self.shapes) or "    0,",
            "TENSORS": "\n".join(self.tensors) or "    {0, 0, 0, 0, 0, 0},",
            "ARGUMENTS": _rows(self.arguments) or "    0,",
            "STEPS": "\n".join(self.steps),
            "MOST": str(max(most, 2)),
        }
        template = files(__package__).joinpath("model.c.in").read_text(encoding="utf-8")
        return re.sub(r"@([A-Z]+)@", lambda found: parts[found[1]], template)

    def step(self, function: str, arguments: Sequence[tuple[Argument, Home]], remark: str) -> None:
        self.steps.append(f"    {{{function}, {len(self.arguments)}, {len(arguments)}}}, /* {comment(remark)} */")
        self.arguments += [self.tensor(argument, home) for argument, home in arguments]

    def tensor(self, argument: Argument, home: Home) -> int:
        kind = re.fullmatch(r"([a-z]+)(\d*)", argument.slot.dtype)
        assert kind is not None
        fields = (home.base, home.offset, self.shape(argument.shape), len(argument.shape), CODES[kind[1]])
        line = f"    {{{', '.join(map(str, fields))}, {8 * element_bytes(argument.slot.dtype)}}},"
        return self.tensors.setdefault(line, len(self.tensors))

    def shape(self, shape: tuple[int, ...]) -> int:
        if shape not in self.shapes:
            self.shapes[shape] = self.numbers
            self.numbers += 2 * len(shape)
        return self.shapes[shape]


def symbol(kernel: str) -> str:
    """The name of a kernel's function in the object."""
    return f"__tvm_ffi_{kernel}"


def _shape_line(shape: tuple[int, ...]) -> str:
    """A shape and its strides."""
    strides, step = [0] * len(shape), 1
    for axis in reversed(range(len(shape))):
        strides[axis], step = step, step * shape[axis]
    return "    " + " ".join(f"{n}," for n in (*shape, *strides))


def _rows(numbers: Sequence[int]) -> str:
    lines = [numbers[i : i + 20] for i in range(0, len(numbers), 20)]
    return "\n".join("    " + " ".join(f"{n}," for n in line) for line in lines)
