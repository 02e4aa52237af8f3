"""What a backend is: from the graph that its passes leave to a folder, and from the folder to something that runs.

The driver does what all share: import, quantization, passes, the report, the folder that appears all at once or not at
all. A backend names its targets, refuses what it cannot take, writes the files and opens them again. Packages that it
needs are imported inside its functions: importing a backend costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..artifact import Artifact
from ..errors import ToolchainError, UnsupportedNode, UsageError
from ..escaping import escape
from ..ir import Graph
from ..kernels.schedules import Book
from ..passes import PassRecord
from ..pruning import Pruned
from ..quantization import Quantized
from ..targets import Target

Phase = Callable[[str], AbstractContextManager[None]]
"""Takes the time of a phase and shows its name: `with options.phase("emit"): ...`."""


@dataclass(frozen=True)
class TargetRow:
    """A name that `--target` takes, or a pattern of names as `tvm:{json}`, and what it is."""

    name: str
    description: str


@dataclass(frozen=True)
class Missing:
    """What a backend needs and this environment lacks, and the command that installs it."""

    what: str
    command: str

    def error(self, backend: str) -> ToolchainError:
        """The error of who asks for it all the same."""
        return ToolchainError(f"backend '{backend}' needs {self.what}", hint=self.command)


@dataclass(frozen=True)
class Goal:
    """What one compilation is for: a target of a backend.

    `target` is the row of the CPU that code is made for, None where there is none (a GPU). `settings` are the
    backend's own.
    """

    backend: Backend
    name: str
    description: str
    target: Target | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenSizes:
    """Sizes that stay open: their bounds (both inclusive), and the graph where one differs from its upper bound."""

    bounds: Mapping[str, tuple[int, int]]
    graphs: Sequence[tuple[Mapping[str, int], Graph]]


@dataclass
class Lowered:
    """A model on its way: as it came, as the passes left it, what they did, and the seconds of each phase.

    `reference` is the graph that says what the artifact computes: as imported, for quantized models that of integers.
    `sample` are inputs for it that were given as calibration data. `sizes` are those that the artifact leaves open; the
    graphs are those of their upper bounds. Only a backend with an attribute `opens` that is true gets any.
    """

    name: str
    goal: Goal
    imported: Graph
    graph: Graph
    records: list[PassRecord]
    reference: Graph
    quantized: Quantized | None = None
    sample: dict[str, np.ndarray] | None = None
    times: dict[str, float] = field(default_factory=dict)
    pruned: Pruned | None = None
    sizes: OpenSizes | None = None
    book: Book | None = None
    """Measured schedules for the C backend; None takes those that come with edgec."""
    tuning: dict[str, Any] = field(default_factory=dict)
    """What a search for schedules came to, for the report."""

    @property
    def target(self) -> Target:
        """The row of the CPU; UsageError where the goal has none."""
        if self.goal.target is None:
            what = f"target '{escape(self.goal.name)}' of backend '{self.goal.backend.name}' is no CPU"
            raise UsageError(what, hint="name a target of the C backend; see `python -m edgec targets`")
        return self.goal.target


@dataclass(frozen=True)
class Options:
    """What a caller asks of a build, beside the model and the target.

    `compiler` is a C compiler by name, `tune` the seconds for a search of schedules, `dump` a folder for what stands
    between, `previous` the folder of an artifact that this one replaces, from which a backend may take what it learnt.
    `extra` holds the backend's own options, as `--option NAME=VALUE` gives them; a backend refuses names that it does
    not know (`known_options`).
    """

    build: bool = True
    selftest: bool = True
    compiler: str = ""
    tune: float = 0.0
    dump: Path | None = None
    previous: Path | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    phase: Phase = lambda name: nullcontext()
    say: Callable[[str], None] = lambda text: None
    """Shows how far a long phase is."""


@dataclass(frozen=True)
class Built:
    """What a build came to, for report.json.

    `report` are sections of its own (the report's common part has the names, types, passes and notes already),
    `toolchain` says `built` (bool) and `reason`, `selftest` has `status` (passed, failed, not run), `reason` and
    `worst`. After a failed self-test the driver raises `Mismatch` and keeps nothing.
    """

    report: Mapping[str, Any]
    toolchain: Mapping[str, Any]
    selftest: Mapping[str, Any]


class Backend(Protocol):
    """One way from a graph to an artifact. It keeps no state; an instance stands in `BACKENDS`.

    Two attributes are optional: `opens` says that it takes open sizes (`Lowered.sizes`), `tunes` that it measures
    schedules (`Options.tune`, and the option `database`); else `--tune` and `--database` are refused.
    """

    @property
    def name(self) -> str:
        """What it is called in reports and messages: `c`."""

    @property
    def pipeline(self) -> str:
        """The key of its passes in `passes.pipeline.PIPELINES`."""

    @property
    def phases(self) -> Sequence[str]:
        """The names of the phases that `build` may go through, in order, for the progress bar."""

    def targets(self) -> Sequence[TargetRow]:
        """The targets it serves, for `edgec targets`."""

    def missing(self, goal: Goal | None = None) -> Missing | None:
        """What is not installed that it needs, for one goal or at all; None where it is ready.

        The driver raises its error before it runs a pass.
        """

    def goal(self, target: str, cpu: str = "") -> Goal | None:
        """What a target's name means; None where it is not one of this backend's, UsageError where it is malformed."""

    def supports(self, graph: Graph, goal: Goal) -> list[UnsupportedNode]:
        """All refusals for a graph that its passes left, at once; nothing was written yet."""

    def build(self, lowered: Lowered, folder: Path, options: Options) -> Built:
        """Write all files but report.json into `folder`, which the driver puts in its place when this returns."""

    def load(self, folder: Path, threads: int = 1) -> Artifact:
        """Open an artifact that `build` wrote."""

    def verify(self, artifact: Artifact) -> tuple[Artifact, str]:
        """What `edgec verify` runs, and what to tell where that is not the compiled model itself (else "")."""


def known_options(backend: str, given: Mapping[str, str], known: Sequence[str]) -> None:
    """Raise UsageError if `--option` names something that the backend does not know."""
    strange = [escape(name) for name in given if name not in known]
    if strange:
        hint = f"it knows {', '.join(known)}" if known else "it has none"
        raise UsageError(f"backend '{backend}' has no option {', '.join(strange)}", hint=hint)
