"""The program: steps put together into model.h, model.c and the table of calls."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...escaping import comment
from ...ir import Graph
from ...ir.dims import is_open
from ...ir.ops import Fused
from ...passes.places import ARENA, INPUT, OUTPUT, WEIGHT
from ...passes.plan import MemoryPlan
from ...targets import Target
from .code import Function
from .open_text import with_sizes
from .printer import print_function
from .spelling import MATH_HEADER
from .steps import SIZES, Part, Step, StepWriter

NEEDS = {
    "ec_math.h": [f"ec_f32_{name}" for name in sorted(MATH_HEADER)],
    "ec_scalar.h": ["ec_index", "ec_sigmoid_float", "ec_sigmoid_double"]
    + [f"ec_{verb}_{kind}" for verb in ("divide", "remainder") for kind in ("i64", "u64")],
    "ec_loops_i8.h": [
        f"ec_f32_{verb}_{kind}{how}"
        for verb in ("load", "put")
        for kind in ("u8", "s8", "s16")
        for how in ("", "_lanes", "_strided")
    ],
}
"""Headers that are needed when one of these functions is called."""


@dataclass
class Program:
    """What the artifact's sources are printed from."""

    graph: Graph
    target: Target
    steps: list[Step]
    weights: bytes
    functions: dict[str, str]
    """Text of every distinct step function (with its epilogue) by its name."""
    names: list[str]
    """The function that each step calls."""

    @property
    def plan(self) -> MemoryPlan:
        plan: MemoryPlan = self.graph.metadata["plan"]
        return plan

    def headers(self) -> list[str]:
        """The kernel headers that the functions need, and no others."""
        code = "".join(self.functions.values())
        wanted = {h for step in self.steps for h in step.headers} | {"ec_loops.h"}
        wanted |= {header for header, names in NEEDS.items() if any(f"{n}(" in code for n in names)}
        return sorted(wanted)


def build(graph: Graph, target: Target) -> Program:
    """Write the steps of a planned graph; steps whose functions read the same share one."""
    writer = StepWriter(graph, target)
    steps = list(writer.steps())
    by_text: dict[str, str] = {}
    names: list[str] = []
    for step in steps:
        body = _text(step, "step")
        if body not in by_text:
            by_text[body] = f"{step.kernel.replace('-', '_').replace(' ', '_')}_{len(by_text)}"
        names.append(by_text[body])
    functions = {name: _renamed(steps[names.index(name)], name) for name in dict.fromkeys(names)}
    return Program(graph, target, steps, writer.weights.blob(), functions, names)


def _text(step: Step, name: str) -> str:
    functions = [f for f in (step.epilogue, step.function) if f is not None]
    return "\n".join(print_function(_named(f, name)) for f in functions)


def _named(function: Function, name: str) -> Function:
    """The function under another name; its epilogue's name in the body follows."""
    return replace(function, name=function.name.replace("step", name, 1))


def _renamed(step: Step, name: str) -> str:
    return _text(step, name).replace("step_epilogue", f"{name}_epilogue")


def label(step: Step) -> str:
    """What a step computes, for comments and reports: the ops, and what the model calls the node."""
    ops = step.op.label if isinstance(step.op, Fused) else step.op.name
    return f"{ops}{f' ({step.op.origin})' if step.op.origin else ''}"


def model_source(program: Program) -> str:
    """model.c"""
    most = max((len(s.parts) for s in program.steps), default=1)
    includes = "\n".join(f'#include "kernels/{h}"' for h in program.headers())
    source = with_sizes(program.graph, [step.tasks for step in program.steps])
    return (
        source.replace("@INCLUDES@", includes)
        .replace("@FUNCTIONS@", "\n".join(program.functions.values()))
        .replace("@PARTS@", "\n".join(_part_lines(program)))
        .replace("@STEPS@", "\n".join(_step_lines(program)))
        .replace("@MOST@", str(max(most, 1)))
        .replace("@ARENA@", str(program.plan.arena_bytes))
        .replace("@WEIGHTS@", str(len(program.weights)))
    )


BASES = {WEIGHT: 0, ARENA: 1}


def _base(part: Part, inputs: int, outputs: int) -> int:
    """The position of a part's buffer in the table of base pointers."""
    if part.kind == INPUT:
        return 2 + part.index
    if part.kind == SIZES:
        return 2 + inputs + outputs
    return 2 + inputs + part.index if part.kind == OUTPUT else BASES[part.kind]


def _part_lines(program: Program) -> list[str]:
    inputs, outputs = len(program.graph.inputs), len(program.graph.outputs)
    lines = []
    for i, step in enumerate(program.steps):
        parts = ", ".join(f"{{{_base(p, inputs, outputs)}, {p.offset}}}" for p in step.parts)
        lines.append(f"    /* {i} */ {parts},")
    return lines or ["    {0, 0},"]


OPEN_TASKS = "OPEN_TASKS"
"""Stands for a number of tasks that depends on the sizes of the run."""


def _step_lines(program: Program) -> list[str]:
    lines, first = [], 0
    for step, name in zip(program.steps, program.names, strict=True):
        tasks = OPEN_TASKS if is_open(step.tasks) else str(step.tasks)
        lines.append(f"    {{{name}, {tasks}, {first}, {len(step.parts)}}}, /* {comment(label(step))} */")
        first += len(step.parts)
    return lines
