"""The TensorRT backend as the driver sees it."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...artifact import Artifact, golden_inputs
from ...artifact.folder import write_files
from ...errors import Unsupported, UnsupportedNode
from ...ir import Graph, Op
from ...ir.ops import ControlFlow, Impossible
from ...ir.text import print_graph
from ...ir.unsupported import unsupported
from ..building import has_strings, of_strings, remaining
from ..protocol import Built, Goal, Lowered, Missing, Options, TargetRow, known_options
from . import goals
from .engine import COMMAND, SCRIPT, TRTEXEC, Profile, build, scripts
from .goals import RTX, Architecture
from .mixed import TOLERANCE, Mixed, check_tolerance, mixed
from .onnx_model import beyond, check_precision, model_of
from .ranges import ranges
from .runner import ENGINE, MODEL, OnnxArtifact, TensorRtArtifact

OPTIONS = ("precision", "tolerance")
NOT_RUN = "the engine was not run: "


@dataclass(frozen=True)
class TensorRtBackend:
    """Strongly typed ONNX with Q/DQ, and engines for NVIDIA GPUs."""

    name: str = "tensorrt"
    pipeline: str = "tensorrt"
    opens: bool = True
    phases: Sequence[str] = ("onnx", "engine")

    def targets(self) -> Sequence[TargetRow]:
        """The GPU at hand, and the architectures by their compute capability."""
        return goals.rows()

    def missing(self, goal: Goal | None = None) -> Missing | None:
        """The packages, or the GPU that a goal means."""
        if goal is None:
            return goals.missing(RTX)
        if "capability" not in goal.settings:
            return Missing("an NVIDIA GPU here", "name the one that the model is for: --target tensorrt-sm89")
        return goals.missing(goal.settings["library"])

    def goal(self, target: str, cpu: str = "") -> Goal | None:
        """An architecture with its compute capability and library."""
        if target not in [row.name for row in goals.rows()]:
            return None
        found = goals.architecture(target)
        if found is None:
            return Goal(self, target, "the GPU of this machine")
        settings = {"capability": found.capability, "library": found.library, "schemes": {"int8": "int8-symmetric"}}
        return Goal(self, target, found.about, settings=settings)

    def supports(self, graph: Graph, goal: Goal) -> list[UnsupportedNode]:
        """What ONNX has no words for, or what the parser refuses where there is one."""
        strings = of_strings(graph)
        control = [op for op in graph if isinstance(op, ControlFlow | Impossible) and not has_strings(op)]
        rest = remaining(graph, control) if strings or control else graph
        return [*strings, *map(_at_run_time, control), *_beyond_the_parser(rest)]

    def build(self, lowered: Lowered, folder: Path, options: Options) -> Built:
        """Write the ONNX model and what makes an engine of it, or the engine itself."""
        known_options(self.name, options.extra, OPTIONS)
        precision = check_precision(options.extra.get("precision", "fp32"))
        found = _architecture(lowered.goal)
        tolerance = check_tolerance(options.extra.get("tolerance", f"{TOLERANCE}"))
        with options.phase("onnx"):
            model, refused, expanded, rounding = _precise(lowered, precision, tolerance)
            if refused:
                raise Unsupported(refused)
            model, profile = _opened(lowered, model, precision, expanded, rounding.kept)
            text = print_graph(lowered.graph, elide=True).encode()
            write_files(folder, {MODEL: model, "model.ir": text, **ranges(lowered.graph), **scripts(found, profile)})
        with options.phase("engine"):
            toolchain = _built(found, folder, options)
        facts = {"capability": found.capability, "precision": precision, "expanded": [op.name for op in expanded]}
        facts |= {"rounding": rounding.facts(tolerance)} if precision == "fp16" else {}
        facts |= {"profile": profile} if profile else {}
        facts |= {name: _digest(folder / name) for name in (MODEL, ENGINE) if (folder / name).is_file()}
        verdict = {"status": "not run", "reason": f"verify checks {MODEL}", "worst": None}
        return Built({"tensorrt": facts}, toolchain, verdict)

    def load(self, folder: Path, threads: int = 1) -> Artifact:
        """The engine, which runs where there is a GPU."""
        return TensorRtArtifact(folder, threads)

    def verify(self, artifact: Artifact) -> tuple[Artifact, str]:
        """The engine where it runs, else the ONNX model in ONNX Runtime."""
        if not artifact.cannot_run:
            return artifact, ""
        note = f"{NOT_RUN}{artifact.cannot_run}; ONNX Runtime ran {MODEL}"
        return OnnxArtifact(artifact.folder, artifact.threads), note


def _at_run_time(op: Op) -> UnsupportedNode:
    return unsupported(op, f"{op.name} at run time is not translated for TensorRT")


def _beyond_the_parser(graph: Graph) -> list[UnsupportedNode]:
    """What cannot be written, or what the parser refuses."""
    if not graph.outputs:
        return []
    try:
        return _fitted(graph, "fp32")[1]
    except Unsupported as refusal:
        return list(refusal.nodes)


def _precise(
    lowered: Lowered, precision: str, tolerance: float
) -> tuple[bytes, list[UnsupportedNode], list[Op], Mixed]:
    """The same as `_fitted`, with ops in fp32 where half precision is not enough, and what is known of the rounding."""
    model, refused, expanded = _fitted(lowered.graph, precision)
    if precision != "fp16" or refused:
        return model, refused, expanded, Mixed()
    inputs = lowered.sample or golden_inputs(lowered.graph)
    found = mixed(lowered.graph, lambda op: beyond(op) or op in expanded, inputs, tolerance)
    if found.kept:
        model, refused, expanded = _fitted(lowered.graph, precision, found.kept)
    return model, refused, expanded, found


def _fitted(graph: Graph, precision: str, kept: Collection[Op] = ()) -> tuple[bytes, list[UnsupportedNode], list[Op]]:
    """The model, what is refused, and what was spelled out because the parser refuses it as it is."""
    if goals.missing(RTX) is not None:  # nobody here to ask
        return model_of(graph, precision, kept=kept)[0], [], []
    from .support import fit

    fitted = fit(graph, precision, kept)
    return fitted.model, list(fitted.refused), list(fitted.expanded)


def _opened(
    lowered: Lowered, model: bytes, precision: str, expanded: Collection[Op], kept: Collection[Op]
) -> tuple[bytes, Profile]:
    """The model with its sizes open, and the shapes of its inputs; as it is where none stays open."""
    if lowered.sizes is None:
        return model, {}
    from .onnx_open import opened, profile_of

    every, bounds = list(lowered.graph), lowered.sizes.bounds
    plain, whole = ({place for place, op in enumerate(every) if op in ops} for ops in (expanded, kept))
    others = [(sizes, _at_places(graph, precision, plain, whole)) for sizes, graph in lowered.sizes.graphs]
    made = opened(model, bounds, others)
    return made, profile_of(made, bounds)


def _at_places(graph: Graph, precision: str, expanded: Collection[int], kept: Collection[int]) -> bytes:
    """The model of a graph whose ops at some places are spelled out, and at others in fp32."""
    chosen, whole = ({op for place, op in enumerate(graph) if place in places} for places in (expanded, kept))
    return model_of(graph, precision, lambda op: beyond(op) or op in chosen, whole)[0]


def _architecture(goal: Goal) -> Architecture:
    return Architecture(goal.settings["capability"], goal.settings["library"], goal.description)


def _built(found: Architecture, folder: Path, options: Options) -> dict[str, Any]:
    """Build the engine where that is wanted and possible; the report's section `toolchain`."""
    about: dict[str, Any] = {"library": found.library, "command": "" if found.library == RTX else TRTEXEC}
    if not options.build:
        return {"built": False, "reason": "building was not asked for", **about}
    if not goals.builds_here(found):
        place = f"a GPU of compute capability {found.capability / 10:g}"
        reason = f"{found.library} with {place} is not here; run {SCRIPT} or {COMMAND} there"
        return {"built": False, "reason": reason, **about}
    build(folder)
    version = str(importlib.import_module(goals.PACKAGES[found.library]).__version__)
    return {"built": True, "reason": "", **about, "version": version, "compiler": f"{found.library} {version}"}


def _digest(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


BACKEND = TensorRtBackend()
