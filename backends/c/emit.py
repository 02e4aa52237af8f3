"""The C backend: a planned graph to the files of an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...artifact.support import model_header
from ...ir import Graph
from ...ir.text import print_graph
from ...kernels import needed
from ...kernels.database import shipped
from ...kernels.schedules import Book, Question, Schedule
from ...targets import Target
from . import program as programs
from .report import report


@dataclass(frozen=True)
class Emitted:
    """Files by path inside the artifact, and what the report says of the code."""

    files: dict[str, bytes]
    report: dict[str, Any]
    asked: list[list[tuple[Question, Schedule]]]
    """The questions of each step whose answers its schedule is."""


def emit(graph: Graph, target: Target, book: Book | None = None) -> Emitted:
    """C sources, weights and the IR of a planned graph. Pure: the same graph and book give the same bytes.

    `book` knows schedules; without one those are taken that come with edgec.
    """
    program = programs.build(graph, target, shipped(target) if book is None else book)
    files = {
        "model.h": model_header(graph, program.plan.arena_bytes),
        "model.c": programs.model_source(program).encode(),
        "weights.bin": program.weights,
        "model.ir": print_graph(graph, elide=True).encode(),
    }
    for name, source in needed(program.headers(), target.isa).items():
        files[f"kernels/{name}"] = source.encode()
    return Emitted(files, report(program), [step.asked for step in program.steps[: program.top]])
