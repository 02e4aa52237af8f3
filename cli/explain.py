"""`explain`: why something was, or was not, done to a node."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..escaping import escape
from .options import (
    CpuOption,
    DeviceOption,
    DimOption,
    FusionOption,
    JsonOption,
    ModelArgument,
    ModelOptions,
    PassesOption,
    PluginOption,
    ShapeOption,
    TargetOption,
    WinogradOption,
)
from .output import print_json

if TYPE_CHECKING:
    from ..driver import Lowered
    from ..ir import Graph, Note, Op, Origin

NodeOption = Annotated[str, typer.Option("--node", metavar="X", help="Part of a node's name or type, or its index.")]


def command(
    model: ModelArgument,
    node: NodeOption = "",
    target: TargetOption = "host",
    cpu: CpuOption = "",
    device: DeviceOption = "",
    shape: ShapeOption = None,
    dim: DimOption = None,
    passes: PassesOption = "",
    plugin: PluginOption = None,
    fusion: FusionOption = "greedy",
    winograd: WinogradOption = "auto",
    json: JsonOption = False,
) -> None:
    """Print what passes recorded about a node (about all without --node), and the kernel that it became part of."""
    from ..driver import lower
    from ..reporting import note_row

    options = ModelOptions(target, cpu, device, shape, dim, passes, plugin)
    lowered = lower(model, **options.lowering(), **options.binding(), fusion=fusion, winograd=winograd)
    found = [origin for origin in _origins(lowered.imported) if matches(origin, node)]
    notes = [note for note in lowered.graph.journal if not node or _concerns(note, node)]
    if not found and not notes:
        raise _no_such_node(node, lowered.imported)
    regions = _regions(lowered, node) if node else []
    if json:
        print_json({"node": node, "notes": [note_row(note) for note in notes], "regions": regions})
        return
    _print(notes, regions, found if node else [])


def matches(origin: Origin, wanted: str) -> bool:
    """Whether a node is meant by its index, or by a part of its name or type."""
    if wanted.isdecimal():
        return wanted in (str(origin.index), origin.name)
    return wanted.lower() in origin.name.lower() or wanted.lower() == origin.onnx_type.lower()


def _concerns(note: Note, wanted: str) -> bool:
    return any(origin is not None and matches(origin, wanted) for origin in (note.origin, note.other))


def _origins(graph: Graph) -> list[Origin]:
    return list(dict.fromkeys(op.origin for op in graph.every_op if op.origin is not None))


def _no_such_node(wanted: str, graph: Graph) -> UsageError:
    names = [escape(origin.name) for origin in _origins(graph) if origin.name]
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.3) or names[:3]
    return UsageError(f"no node matches '{escape(wanted)}'", hint=f"nodes: {', '.join(near)}" if near else "")


def _regions(lowered: Lowered, wanted: str) -> list[dict[str, Any]]:
    """Return the steps of the planned graph that came from a matching node, with what they hold."""
    found = []
    for step, op in enumerate(lowered.graph.every_op):
        parts = _parts(op)
        if any(part.origin is not None and matches(part.origin, wanted) for part in (op, *parts)):
            found.append({"step": step, "ops": [part.name for part in parts], "nodes": _names(parts)})
    return found


def _parts(op: Op) -> list[Op]:
    body = None if op.bodies else getattr(op, "body", None)
    return [part for part in body if part.operands] if body is not None else [op]


def _names(parts: Iterable[Op]) -> list[str]:
    return list(dict.fromkeys(str(part.origin) for part in parts if part.origin is not None))


def _print(notes: list[Note], regions: list[dict[str, Any]], found: list[Origin]) -> None:
    for origin in found:
        print(origin)
    for region in regions:
        print(f"  step {region['step']}: {' + '.join(region['ops'])}")
    by_source: dict[str, list[Note]] = {}
    for note in notes:
        by_source.setdefault(note.source, []).append(note)
    for source, group in by_source.items():
        print(source)
        for note in group:
            other = f" ({note.other})" if note.other else ""
            print(f"  {note.origin or 'the graph'}: {note.reason}{other}")
    if not notes:
        print("no pass refused anything about it")
