"""A backend that runs a model with numpy: the artifact holds the graph, and a process that loads it evaluates it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgec.artifact import Artifact
from edgec.backends import Built, Goal, Lowered, Missing, Options, TargetRow, known_options, register
from edgec.errors import UnsupportedNode
from edgec.ir import Graph

MOST_ELEMENTS = 1 << 24


class NumpyArtifact(Artifact):
    """An artifact that needs no library: it evaluates its graph."""

    cannot_run = ""
    description = "numpy, on any machine"

    def _run_all(self, samples: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
        graph = Graph.load(self.folder / "model.ir")
        return [graph.evaluate(arrays) for arrays in samples]


@dataclass(frozen=True)
class NumpyBackend:
    """Evaluates the clean graph."""

    name: str = "numpy"
    pipeline: str = "clean"  # the clean-up and nothing else
    phases: Sequence[str] = ("write",)

    def targets(self) -> Sequence[TargetRow]:
        return [TargetRow("numpy", "numpy, on any machine")]

    def missing(self, goal: Goal | None = None) -> Missing | None:
        return None  # edgec needs numpy itself

    def goal(self, target: str, cpu: str = "") -> Goal | None:
        return Goal(self, "numpy", "numpy, on any machine") if target == "numpy" else None

    def supports(self, graph: Graph, goal: Goal) -> list[UnsupportedNode]:
        large = [op for op in graph if any(r.type.size > MOST_ELEMENTS for r in op.results)]
        return [
            UnsupportedNode(op.origin.name if op.origin else "", op.name, "its result is too large") for op in large
        ]

    def build(self, lowered: Lowered, folder: Path, options: Options) -> Built:
        known_options(self.name, options.extra, ())
        with options.phase("write"):
            (folder / "model.ir").write_text(str(lowered.graph), encoding="utf-8")
        done = {"built": True, "reason": "", "compiler": f"numpy {np.__version__}"}
        return Built({}, done, {"status": "not run", "reason": "numpy is the reference itself", "worst": None})

    def load(self, folder: Path, threads: int = 1) -> Artifact:
        return NumpyArtifact(folder, threads)

    def verify(self, artifact: Artifact) -> tuple[Artifact, str]:
        return artifact, ""


BACKEND = register(NumpyBackend())
