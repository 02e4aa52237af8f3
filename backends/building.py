"""What backends share: the C compiler, the self-test, what most of them refuse."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ..artifact.building import build_artifact, run_selftest
from ..errors import UnsupportedNode
from ..ir import Graph, Op
from ..ir.ops import Constant
from .protocol import Lowered, Options


def has_strings(op: Op) -> bool:
    """Whether an op reads or gives strings."""
    return any(v.dtype.is_text for v in (*op.operands, *op.results))


def of_strings(graph: Graph) -> list[UnsupportedNode]:
    """What has to do with strings, for backends that have none; constants are named by what reads them."""
    reason, nearest = "strings are for the C backend", "target host"
    read = {op for op in graph if isinstance(op, Constant) and not graph.is_output(op.result)}
    ops = [op for op in graph if has_strings(op) and op not in read]
    named = [(op.origin.name if op.origin else "", (op.origin and op.origin.onnx_type) or op.name) for op in ops]
    inputs = [(v.name, f"input of type {v.type}") for v in graph.inputs if v.dtype.is_text]
    return [UnsupportedNode(name, what, reason, nearest=nearest) for name, what in (*inputs, *named)]


def remaining(graph: Graph, refused: Collection[Op]) -> Graph:
    """A copy without some ops and without strings: inputs stand in the place of what they give to other ops."""
    made = graph.copy()
    cut = [copy for op, copy in zip(graph, made, strict=True) if op in refused or has_strings(op)]
    for result in [result for op in cut for result in op.results]:
        made.replace_value(result, made.input(result.type))
    for op in reversed(cut):
        made.remove(op)
    made.inputs = [value for value in made.inputs if not value.dtype.is_text]
    found = [result for op in made if not isinstance(op, Constant) for result in op.results]
    made.set_outputs([value for value in found if made.is_output(value) or not value.users])
    return made


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
