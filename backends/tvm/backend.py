"""The TVM backend as the driver sees it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...artifact import Artifact
from ...artifact.folder import write_files
from ...artifact.report import described
from ...artifact.support import support_files
from ...errors import UnsupportedNode, UsageError
from ...escaping import escape
from ...ir import Graph
from ...ir.ops import Fused
from ...ir.text import print_graph
from ...ir.unsupported import unsupported
from ...targets import Target, host
from ..building import built, has_strings, of_strings, tested
from ..golden import golden
from ..protocol import Built, Goal, Lowered, Missing, Options, TargetRow, known_options
from . import targets
from .executor import Layout, layout_of, sources
from .program import Program, program_of
from .region import Region

OBJECT = "objects/kernels.o"
OPTIONS = ("vm", "database")


@dataclass(frozen=True)
class TvmBackend:
    """Functions of tensor IR for fused regions, compiled by LLVM, called by a small executor."""

    name: str = "tvm"
    pipeline: str = "tvm"
    tunes: bool = True
    phases: Sequence[str] = ("translate", "tune", "compile", "golden", "build", "selftest", "vm")

    def targets(self) -> Sequence[TargetRow]:
        """This machine, CPUs of the table, RISC-V, and whatever LLVM has."""
        rows = [TargetRow(name, _described(name)) for name in targets.names()]
        return [*rows, TargetRow("tvm:{json}", "a CPU as TVM describes it: mtriple, mcpu, mattr")]

    def missing(self, goal: Goal | None = None) -> Missing | None:
        """The package of TVM."""
        if importlib.util.find_spec("tvm") is not None:
            return None
        return Missing("the package apache-tvm", 'pip install "edgec[tvm]"')

    def goal(self, target: str, cpu: str = "") -> Goal | None:
        """A row with the description that TVM takes."""
        row = targets.row_of(target, cpu)
        if row is None:
            return None
        return Goal(self, row.name, f"{row.description}, by TVM", row, {"tvm": targets.description_of(row)})

    def supports(self, graph: Graph, goal: Goal) -> list[UnsupportedNode]:
        """Ops that have no translation."""
        from .stages import fault

        others = [op for op in graph if not has_strings(op)]
        return [*of_strings(graph), *(unsupported(op, reason, "target host") for op in others if (reason := fault(op)))]

    def build(self, lowered: Lowered, folder: Path, options: Options) -> Built:
        """Objects, the executor, the Relax module, and on this machine the library for TVM's virtual machine."""
        from . import modules, tuning
        from .packages import tvm

        known_options(self.name, options.extra, OPTIONS)
        _check_stage(lowered.graph)
        target = tvm.target.Target(dict(lowered.goal.settings["tvm"]))
        with options.phase("translate"):
            program = program_of(lowered.graph, targets.machine_of(lowered.target), options.say)
        with options.phase("tune"):
            tuned = tuning.tuned(program, lowered.goal, target, folder, options)
        with options.phase("compile"):
            layout = self.compile(program, target, folder)
        sample = golden(lowered, options)
        support = support_files(*described(lowered.graph), lowered.target, [OBJECT], sample.tolerance)
        write_files(folder, {
            **sources(program, layout), **support,
            "model.ir": print_graph(lowered.graph, elide=True).encode(), "golden.bin": sample.content,
            modules.SCRIPT: modules.script(program).encode(),
        })  # fmt: skip
        toolchain = built(lowered, folder, options, [OBJECT])
        verdict = tested(lowered, folder, options, toolchain)
        with options.phase("vm"):
            machine = modules.write_library(program, target, folder, wants_library(lowered.target, options))
        return Built({**_report(program, layout), **tuned, "relax": machine}, toolchain, verdict)

    def compile(self, program: Program, target: Any, folder: Path) -> Layout:
        """Write the object; returns where everything lies."""
        from . import objects

        made = objects.lowered(program.kernels, target)
        objects.write_object(made.module, target, folder / OBJECT)
        return layout_of(program, made.workspace, made.task_workspace)

    def load(self, folder: Path, threads: int = 1) -> Artifact:
        """The executor's library, which needs no TVM."""
        return TvmArtifact(folder, threads)

    def verify(self, artifact: Artifact) -> tuple[Artifact, str]:
        """The artifact itself."""
        return artifact, ""


class TvmArtifact(Artifact):
    """An artifact whose target has a name of this backend."""

    @cached_property
    def target(self) -> Target:
        """The row behind the name."""
        name = str(self.report["target"])
        row = targets.row_of(name, self.report.get("cpu") or "")
        if row is None:
            raise UsageError(f"the artifact is for '{escape(name)}', which is no target of TVM's")
        return row


def wants_library(row: Target, options: Options) -> bool:
    """Whether to build for TVM's virtual machine: where it is this machine, unless `--option vm=off`."""
    asked = options.extra.get("vm", "on" if row.name == targets.PREFIX else "off")
    if asked not in ("on", "off"):
        raise UsageError(f"option vm is on or off, not '{escape(asked)}'")
    return asked == "on" and options.build and row.arch == host().arch


def _check_stage(graph: Graph) -> None:
    if graph.stage not in ("lowered", "fused"):
        hint = "change the default list by '+name' and '-name'"
        raise UsageError(f"the passes leave the graph in stage '{graph.stage}', not fused", hint=hint)


def _described(name: str) -> str:
    row = targets.row_of(name, "")
    assert row is not None
    return row.description


def _report(program: Program, layout: Layout) -> dict[str, Any]:
    arena = {"bytes": layout.arena_bytes, "lower_bound": max(layout.lower_bound, 64), "workspace": layout.workspace}
    return {
        "regions": [_region(i, program) for i in range(len(program.calls))],
        "arena": {**arena, "timeline": layout.buffers},
        "weights_bytes": len(layout.weights.blob()),
        "constants": [
            {"name": f"weight_{i}", "dtype": slot.dtype, "shape": list(slot.shape), "offset": layout.homes[slot].offset}
            for i, slot in enumerate(program.constants)
        ],
    }


def _region(index: int, program: Program) -> dict[str, Any]:
    call = program.calls[index]
    ops = Region.of(call.op).ops if isinstance(call.op, Fused) else (call.op,)
    origins = dict.fromkeys(str(o.origin) for o in (*ops, call.op) if o.origin)
    label = call.op.label if isinstance(call.op, Fused) else call.op.name
    size = sum(v.type.bytes for v in (*call.op.operands, *call.op.results))
    named = {"index": index, "label": label, "nodes": list(origins), "kernel": call.kernel}
    return {**named, "macs": call.op.macs(), "bytes": size}


BACKEND = TvmBackend()
