"""`explain`: why something was, or was not, done to a node."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..escaping import escape
from .options import (
    AliasOption,
    CascadeOption,
    CpuOption,
    DatabaseOption,
    DeviceOption,
    DimOption,
    FusionOption,
    JsonOption,
    ModelArgument,
    ModelOptions,
    PassesOption,
    PluginOption,
    PrecisionOption,
    ShapeOption,
    TargetOption,
    TextBytesOption,
    WinogradOption,
)
from .output import print_json

if TYPE_CHECKING:
    from ..backends import Goal
    from ..driver import Lowered
    from ..ir import Graph, Note, Op, Origin
    from ..kernels.schedules import Book

NodeOption = Annotated[str, typer.Option("--node", metavar="X", help="Part of a node's name or type, or its index.")]


def command(
    model: ModelArgument,
    node: NodeOption = "",
    target: TargetOption = "host",
    cpu: CpuOption = "",
    device: DeviceOption = "",
    shape: ShapeOption = None,
    dim: DimOption = None,
    alias: AliasOption = None,
    text_bytes: TextBytesOption = 64,
    passes: PassesOption = "",
    plugin: PluginOption = None,
    fusion: FusionOption = "greedy",
    winograd: WinogradOption = "auto",
    precision: PrecisionOption = "f32",
    cascade: CascadeOption = "speed",
    database: DatabaseOption = None,
    json: JsonOption = False,
) -> None:
    """Print what passes recorded about a node (about all without --node), and the kernel that it became part of."""
    from ..driver import lower
    from ..reporting import note_row

    options = ModelOptions(target, cpu, device, shape, dim, passes, plugin, text_bytes, alias, precision, cascade)
    lowering = options.lowering()
    book = _book(lowering["target"], database)
    lowered = lower(model, **lowering, **options.binding(), fusion=fusion, winograd=winograd, book=book)
    found = [origin for origin in _origins(lowered.imported) if matches(origin, node)]
    notes = [note for note in lowered.graph.journal if not node or _concerns(note, node)]
    if not found and not notes:
        raise _no_such_node(node, lowered.imported)
    regions = _regions(lowered, node) if node else []
    schedules = _schedules(lowered, book, found) if book is not None else None
    if json:
        rows = {"node": node, "notes": [note_row(note) for note in notes], "regions": regions}
        print_json(rows if schedules is None else {**rows, "schedules": schedules})
        return
    _print(notes, regions, found if node else [])
    _print_schedules(schedules or [])


def _book(goal: Goal, database: str | None) -> Book | None:
    """Where schedules come from if a database is named; UsageError where the target takes none."""
    from ..tuning import book_of

    if database is None:
        return None
    if goal.backend.name != "c" or goal.target is None:
        what = f"target '{escape(goal.name)}' has no schedules that can be explained"
        raise UsageError(what, hint="targets of the C backend do; leave out --database")
    return book_of(database, goal.target)


def _schedules(lowered: Lowered, book: Book, found: Sequence[Origin]) -> list[dict[str, Any]]:
    """The schedules of the layers that hold one of these nodes: their numbers, and what measured them."""
    from ..backends.c import emit
    from ..kernels.schedules import named

    made, nodes = emit(lowered.graph, lowered.target, book), set(map(str, found))
    rows = []
    for region, asked in zip(made.report["regions"], made.asked, strict=False):  # those of bodies ask nothing
        for question, schedule in asked if nodes & set(region["nodes"]) else ():
            us = book.times(question).get(schedule)
            numbers = named(question, schedule)
            rows.append({"layer": region["label"], "kernel": question.kernel, "schedule": numbers, "us": us})
    return rows


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
    from ..ir.ops import inner_ops

    found = []
    for step, op in enumerate(lowered.graph.every_op):
        parts = inner_ops(op)
        if any(part.origin is not None and matches(part.origin, wanted) for part in (op, *parts)):
            found.append({"step": step, "ops": [part.name for part in parts], "nodes": _names(parts)})
    return found


def _names(parts: Iterable[Op]) -> list[str]:
    return list(dict.fromkeys(str(part.origin) for part in parts if part.origin is not None))


def _print_schedules(rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        print(f"schedules: {sum(row['us'] is not None for row in rows)} of {len(rows)} measured")
    for row in rows:
        numbers = ", ".join(f"{name}={number}" for name, number in row["schedule"].items())
        source = "by the cost model" if row["us"] is None else f"measured: {row['us']:g} us"
        print(f"  {row['layer']}: {row['kernel']} {numbers} ({source})")


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
