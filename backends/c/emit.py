"""The C backend: a planned graph to the files of an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...artifact.support import model_header
from ...ir import Graph
from ...ir.text import print_graph
from ...kernels import needed
from ...targets import Target
from . import program as programs
from .report import report


@dataclass(frozen=True)
class Emitted:
    """Files by path inside the artifact, and what the report says of the code."""

    files: dict[str, bytes]
    report: dict[str, Any]


def emit(graph: Graph, target: Target) -> Emitted:
    """C sources, weights and the IR of a planned graph. Pure: the same graph gives the same bytes."""
    program = programs.build(graph, target)
    files = {
        "model.h": model_header(graph, program.plan.arena_bytes),
        "model.c": programs.model_source(program).encode(),
        "weights.bin": program.weights,
        "model.ir": print_graph(graph, elide=True).encode(),
    }
    for name, source in needed(program.headers(), target.isa).items():
        files[f"kernels/{name}"] = source.encode()
    return Emitted(files, report(program))
