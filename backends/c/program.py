"""The program: steps put together into model.h, model.c and the table of calls."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ...escaping import comment
from ...ir import Graph
from ...ir.aliases import aliases_of
from ...ir.dims import is_open
from ...ir.ops import label_of
from ...ir.types import DTYPES
from ...kernels.schedules import MODEL, Book
from ...passes.places import ARENA, INPUT, OUTPUT, WEIGHT
from ...passes.plan import MemoryPlan
from ...targets import Target
from . import flow_text, text
from .code import Function
from .flow import SLOT, Part
from .open_text import takes_sizes, with_sizes
from .printer import print_function
from .sharing import shares
from .spelling import MATH_HEADER, TEXT_TYPE
from .steps import SIZES, Shared, Step, StepWriter

NEEDS = {
    "ec_math.h": [f"ec_f32_{name}" for name in sorted(MATH_HEADER)],
    "ec_scalar.h": ["ec_index", "ec_sigmoid_float", "ec_sigmoid_double"]
    + [f"ec_{verb}_{kind}" for verb in ("divide", "remainder") for kind in ("i64", "u64")],
    "ec_narrow.h": [f"ec_{kind.name}_{way}" for kind in DTYPES.values() if kind.is_narrow for way in ("value", "bits")]
    + [f"ec_{way}" for name in ("float", "double") for way in (f"bits_of_{name}", f"{name}_of_bits")],
    "ec_loops_i8.h": [
        f"ec_f32_{verb}_{kind}{how}"
        for verb in ("load", "put")
        for kind in ("u8", "s8", "s16")
        for how in ("", "_lanes", "_strided")
    ],
    "ec_loops_f16.h": [f"ec_f32_{verb}_f16{how}" for verb in ("load", "put") for how in ("", "_lanes", "_strided")]
    + ["ec_f32_round_f16"],
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
    top: int = 0
    """How many steps the network has; those of bodies stand behind them."""
    slots: int = 0
    """How many base pointers loops change."""

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


def build(graph: Graph, target: Target, book: Book = MODEL) -> Program:
    """Write the steps of a planned graph; steps whose functions read the same share one. `book` knows schedules."""
    writer = StepWriter(graph, target, shared=Shared(graph, book=book))
    outermost = list(writer.steps())
    steps = _in_order(outermost)
    by_text: dict[str, str] = {}
    names: list[str] = []
    for step in steps:
        if step.flow is not None:
            names.append(f"{step.kernel}_flow_{sum(s.flow is not None for s in steps[: len(names)])}")
            continue
        body = _text(step, "step")
        if body not in by_text:
            by_text[body] = f"{step.kernel.replace('-', '_').replace(' ', '_')}_{len(by_text)}"
        names.append(by_text[body])
    found = set(by_text.values())
    functions = {name: _text(steps[names.index(name)], name) for name in dict.fromkeys(names) if name in found}
    return Program(
        graph, target, steps, writer.weights.blob(), functions, names, len(outermost), writer.shared.slots
    )  # fmt: skip


def _in_order(outermost: list[Step]) -> list[Step]:
    """All steps: those of each body stand together, behind those of what holds it."""
    steps = list(outermost)
    for step in steps:  # grows on the way
        for body in step.bodies:
            assert step.flow is not None
            step.flow.ranges.append((len(steps), len(steps) + len(body)))
            steps += body
    return steps


def _text(step: Step, name: str) -> str:
    """The functions of a step under a name, those of its stages first."""
    stages = [_text(stage, f"{name}_stage{i}") for i, stage in enumerate(step.stages)]
    functions = [f for f in (step.epilogue, step.function) if f is not None]
    own = "\n".join(print_function(_named(f, name)) for f in functions)
    own = own.replace("step_epilogue", f"{name}_epilogue").replace("step_stage", f"{name}_stage")
    return "\n".join([*stages, own])


def _named(function: Function, name: str) -> Function:
    """The function under another name; its epilogue's name in the body follows."""
    return replace(function, name=function.name.replace("step", name, 1))


def label(step: Step) -> str:
    """What a step computes, for comments and reports: the ops, and what the model calls the node."""
    return f"{label_of(step.op)}{f' ({step.op.origin})' if step.op.origin else ''}"


def model_source(program: Program) -> str:
    """model.c"""
    most = max((len(s.parts) for s in program.steps), default=1)
    flows = [(step, name) for step, name in zip(program.steps, program.names, strict=True) if step.flow is not None]
    includes = "\n".join([*(f'#include "kernels/{h}"' for h in program.headers()), *_text_types(program)])
    source = with_sizes(_marked(program, flows), program.graph, [step.tasks for step in program.steps])
    return (
        source.replace("@INCLUDES@", includes)
        .replace("@FUNCTIONS@", "\n".join(program.functions.values()))
        .replace("@PARTS@", "\n".join(_part_lines(program)))
        .replace("@STEPS@", "\n".join(_step_lines(program)))
        .replace("@MOST@", str(max(most, 1)))
        .replace("@SHARED@", _shared_check(program.graph))
        .replace("@ARENA@", str(program.plan.arena_bytes))
        .replace("@WEIGHTS@", str(len(program.weights)))
    )


def _shared_check(graph: Graph) -> str:
    """What refuses an input that shares the buffer of an output and is not the same pointer."""
    pairs = [f"inputs[{alias.input}] != outputs[{alias.output}]" for alias in aliases_of(graph)]
    return f"    if ({' || '.join(pairs)})\n        return 1;\n" if pairs else ""


def _text_types(program: Program) -> list[str]:
    """The structures of the strings that the functions move."""
    found = re.findall(r"\bec_text(\d+) ", "".join(program.functions.values()))
    return [TEXT_TYPE.format(size=size) for size in sorted(set(map(int, found)))]


def _marked(program: Program, flows: list[tuple[Step, str]]) -> str:
    """The text around generated code, with or without control flow."""
    source = text.SOURCE.replace("@RANGE@", flow_text.RANGE if flows else "")
    for mark, said in (flow_text.FLOW if flows else flow_text.PLAIN).items():
        source = source.replace(mark, said)
    for mark, said in text.CASCADES.items():
        source = source.replace(mark, said if any(step.stages for step in program.steps) else "")
    if not flows:
        return source
    bodies = [step.flow.text(name, lambda p: _address(p, program)) for step, name in flows if step.flow is not None]
    return (
        source.replace("@FLOWS@", "\n".join(bodies))
        .replace("@NAMES@", ", ".join(name for _, name in flows))
        .replace("@TOP@", str(program.top))
        .replace("@SLOT_COUNT@", str(program.slots))
    )


def _address(part: Part, program: Program) -> str:
    return f"bases[{_base(part, program.graph)}] + {part.offset}"


BASES = {WEIGHT: 0, ARENA: 1}


def _base(part: Part, graph: Graph) -> int:
    """The position of a part's buffer in the table of base pointers."""
    inputs, outputs = 2 + len(graph.inputs), len(graph.outputs)
    slots = inputs + outputs + takes_sizes(graph)
    before = {INPUT: 2, OUTPUT: inputs, SIZES: inputs + outputs, SLOT: slots}
    return before[part.kind] + part.index if part.kind in before else BASES[part.kind]


def _part_lines(program: Program) -> list[str]:
    lines = []
    for i, step in enumerate(program.steps):
        parts = ", ".join(f"{{{_base(p, program.graph)}, {p.offset}}}" for p in step.parts)
        if parts:
            lines.append(f"    /* {i} */ {parts},")
    return lines or ["    {0, 0},"]


OPEN_TASKS = "OPEN_TASKS"
"""Stands for a number of tasks that depends on the sizes of the run."""


def _step_lines(program: Program) -> list[str]:
    lines, first, flows = [], 0, 0
    for step, name in zip(program.steps, program.names, strict=True):
        if step.flow is not None:
            lines.append(f"    {{NULL, 0, 1, {flows}, 0}}, /* {name}: {comment(label(step))} */")
            flows += 1
            continue
        tasks = OPEN_TASKS if is_open(step.tasks) else str(step.tasks)
        parts = shares(step, program.target)
        divided = "EACH_THREAD" if step.stages and parts > 1 else str(parts)
        numbers = f"{tasks}, {divided}, {first}, {len(step.parts)}"
        lines.append(f"    {{{name}, {numbers}}}, /* {comment(label(step))} */")
        first += len(step.parts)
    return lines
