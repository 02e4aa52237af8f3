"""The C backend as the driver sees it: sources, weights, golden sample, library and self-test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...artifact import Artifact
from ...artifact.folder import write_files
from ...artifact.report import described
from ...artifact.support import support_files
from ...errors import UnsupportedNode, UsageError
from ...ir import Graph
from ...ir.aliases import aliases_of
from ...targets import get_target, target_names
from ..building import built, tested
from ..golden import golden
from ..protocol import Built, Goal, Lowered, Missing, Options, TargetRow, known_options
from .emit import Emitted, emit


@dataclass(frozen=True)
class CBackend:
    """Standalone C with SIMD kernels and a static arena."""

    name: str = "c"
    pipeline: str = "c"
    phases: Sequence[str] = ("golden", "emit", "build", "selftest")

    def targets(self) -> Sequence[TargetRow]:
        """Every row of the table of CPUs."""
        return [TargetRow(name, get_target(name).description) for name in target_names()]

    def missing(self, goal: Goal | None = None) -> Missing | None:
        """Nothing: where there is no C compiler, the sources are the result."""
        return None

    def goal(self, target: str, cpu: str = "") -> Goal | None:
        """The row of a CPU."""
        if target not in target_names():
            return None
        row = get_target(target, cpu or None)
        return Goal(self, row.name, row.description, row)

    def supports(self, graph: Graph, goal: Goal) -> list[UnsupportedNode]:
        """Nothing is left to refuse: `decompose` and `check-kernels` did."""
        return []

    def build(self, lowered: Lowered, folder: Path, options: Options) -> Built:
        """Write sources, call the C compiler and run the self-test."""
        known_options(self.name, options.extra, ())
        sample = golden(lowered, options)  # first: it may note how far roundings lead
        emitted = _emit(lowered, options)
        if options.dump is not None:
            (options.dump / "99-model.c").write_bytes(emitted.files["model.c"])
        aliases = aliases_of(lowered.graph)
        support = support_files(*described(lowered.graph), lowered.target, (), sample.tolerance, sample.sizes, aliases)
        write_files(folder, {**emitted.files, **support, "golden.bin": sample.content})
        toolchain = built(lowered, folder, options)
        report = {**emitted.report, **_measured(emitted, lowered)}
        return Built(report, toolchain, tested(lowered, folder, options, toolchain))

    def load(self, folder: Path, threads: int = 1) -> Artifact:
        """A library in this process, or the self-test's program under an emulator."""
        return Artifact(folder, threads)

    def verify(self, artifact: Artifact) -> tuple[Artifact, str]:
        """The artifact itself."""
        return artifact, ""


def _measured(emitted: Emitted, lowered: Lowered) -> dict[str, Any]:
    """What the report says of schedules from a database that was named, and of the search for them."""
    if lowered.book is None:
        return {}
    layers = {question for asked in emitted.asked for question, _ in asked}
    known = sum(bool(lowered.book.times(question)) for question in layers)
    tuning = {"tuning": lowered.tuning} if lowered.tuning else {}
    return {"schedules": {"layers": len(layers), "measured": known}, **tuning}


def _emit(lowered: Lowered, options: Options) -> Emitted:
    if lowered.graph.stage != "planned":
        hint = "change the default list by '+name' and '-name'"
        raise UsageError(f"the passes leave the graph in stage '{lowered.graph.stage}', not planned", hint=hint)
    with options.phase("emit"):
        return emit(lowered.graph, lowered.target, lowered.book)


BACKEND = CBackend()
