"""How the quantizer runs its trial graphs: compiled for this machine where that pays, with numpy where not."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .artifact.building import LINK
from .artifact.native import Native
from .artifact.support import support_files
from .backends.c import emit
from .errors import ToolchainError, Unsupported
from .ir import Graph
from .passes import Pass, PassManager, default_pipeline
from .quantization.executor import Runner, run_numpy
from .targets import get_target
from .toolchain import find_compiler

Array = np.ndarray
WORTH = 3e9
"""Multiply-accumulates that numpy does in about the time that the C compiler needs for a network."""

SOURCES = ("model.c", "weights.S", "model_pool.c")


def probe(graph: Graph) -> Runner:
    """Run a canonical graph: the first samples with numpy; if there are many, the others by a library made for them.

    When it changes over depends on the graph and the number of samples alone, so the same data gives the same numbers.
    """
    return _Probe(graph, WORTH)


def native(graph: Graph) -> Runner:
    """Run a canonical graph by a library from the first sample on, with exactly the arithmetic of an artifact."""
    return _Probe(graph, 0.0)


@dataclass
class _Probe:
    graph: Graph
    patience: float
    fallback: Runner = field(init=False)
    library: _Library | None = None
    failed: bool = False

    def __post_init__(self) -> None:
        self.fallback = run_numpy(self.graph)
        self.work = float(sum(max(op.macs(), *(r.type.size for r in op.results), 1) for op in self.graph))

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        self.patience -= self.work * (len(arrays[0]) if arrays else 1)
        if self.library is None and self.patience <= 0 and not self.failed:
            self._compile()
        return self.fallback(arrays) if self.library is None else self.library(arrays)

    def _compile(self) -> None:
        try:
            self.library = _Library(self.graph)
        except (ToolchainError, Unsupported):
            self.failed = True


class _Library:
    """A graph compiled for this machine, without self-test or report, in a folder of its own."""

    def __init__(self, graph: Graph) -> None:
        """ToolchainError where there is no compiler, Unsupported where the backend cannot take the graph."""
        self.folder = tempfile.TemporaryDirectory(prefix="edgec-")
        self.outputs = [(v.shape, v.dtype.numpy) for v in graph.outputs]
        self.native = Native(*_built(graph, Path(self.folder.name)))

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        count = len(arrays[0]) if arrays else 1
        outputs = [np.empty((count, *shape), kind) for shape, kind in self.outputs]
        given = [np.require(array, requirements=["C", "A"]) for array in arrays]
        for i in range(count):
            self.native.run([a[i : i + 1] for a in given], [o[i : i + 1] for o in outputs])
        return outputs


def _built(graph: Graph, folder: Path) -> tuple[Path, int]:
    """Write and compile; returns the library and the size of its arena."""
    target = get_target("host")
    compiler = find_compiler(target)
    planned = PassManager(after_canonical(default_pipeline(target))).run(_nameable(graph))
    emitted = emit(planned, target)
    files = {**emitted.files, **support_files([], [], target)}
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    library = compiler.compile([folder / name for name in SOURCES], folder / "libmodel.so", "shared", link=LINK)
    return library, int(emitted.report["arena"]["bytes"])


def _nameable(graph: Graph) -> Graph:
    made = graph.copy()
    made.output_names = [f"value{i}" for i in range(len(made.outputs))]
    return made


def after_canonical(passes: Sequence[Pass]) -> list[Pass]:
    """The passes that come after the clean-up."""
    return list(passes[canonical_place(passes) :])


def canonical_place(passes: Sequence[Pass]) -> int:
    """How many passes it takes until the graph is canonical; 0 if they never say so."""
    reached: list[Any] = [getattr(each, "to", "") for each in passes]
    return reached.index("canonical") + 1 if "canonical" in reached else 0
