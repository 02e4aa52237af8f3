"""What backends share: the C compiler, the self-test, what most of them refuse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..artifact.building import build_artifact, run_selftest
from ..errors import UnsupportedNode
from ..ir import Graph
from .protocol import Lowered, Options


def of_strings(graph: Graph) -> list[UnsupportedNode]:
    """What has to do with strings, for backends that have none."""
    reason, nearest = "strings are for the C backend", "target host"
    ops = [op for op in graph if any(v.dtype.is_text for v in (*op.operands, *op.results))]
    named = [(op.origin.name if op.origin else "", (op.origin and op.origin.onnx_type) or op.name) for op in ops]
    inputs = [(v.name, f"input of type {v.type}") for v in graph.inputs if v.dtype.is_text]
    return [UnsupportedNode(name, what, reason, nearest=nearest) for name, what in (*inputs, *named)]


def built(lowered: Lowered, folder: Path, options: Options, objects: Sequence[str] = ()) -> dict[str, Any]:
    """Build library and self-test if that is wanted and possible; `objects` are linked into both."""
    if not options.build:
        return {"built": False, "reason": "building was not asked for"}
    with options.phase("build"):
        return build_artifact(folder, lowered.target, options.compiler, objects)


def tested(lowered: Lowered, folder: Path, options: Options, toolchain: dict[str, Any]) -> dict[str, Any]:
    """Run the self-test if that is wanted and possible."""
    if not options.selftest or not toolchain["built"]:
        reason = toolchain["reason"] if options.selftest else "it was not asked for"
        return {"status": "not run", "reason": reason, "worst": None}
    with options.phase("selftest"):
        return run_selftest(folder, lowered.target)
