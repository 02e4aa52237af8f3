"""The C backend: a planned graph to the files of an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...ir import Graph
from ...ir.text import print_graph
from ...kernels import needed
from ...targets import Target
from . import program as programs
from .report import report
from .text import WEIGHTS


@dataclass(frozen=True)
class Emitted:
    """Files by path inside the artifact, and what the report says of the code."""

    files: dict[str, bytes]
    report: dict[str, Any]


def emit(graph: Graph, target: Target) -> Emitted:
    """C sources, weights and the IR of a planned graph. Pure: the same graph gives the same bytes."""
    program = programs.build(graph, target)
    files = {
        "model.h": programs.model_header(program).encode(),
        "model.c": programs.model_source(program).encode(),
        "weights.bin": program.weights,
        "weights.S": WEIGHTS.encode(),
        "model.ir": print_graph(graph, elide=True).encode(),
    }
    for name, source in needed(program.headers(), target.isa).items():
        files[f"kernels/{name}"] = source.encode()
    return Emitted(files, report(program))
