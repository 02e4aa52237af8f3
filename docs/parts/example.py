"""A small network on its way through the passes to C."""

from __future__ import annotations

from collections.abc import Iterator

from parts.writing import ROOT, code, part, table

from edgec.backends.c import program
from edgec.ir import Graph, Value
from edgec.ir.text import print_graph
from edgec.passes import PassManager, default_pipeline
from edgec.passes.places import ARENA, WEIGHT, Place
from edgec.targets import get_target


def tiny() -> Graph:
    return Graph.parse((ROOT / "docs" / "examples" / "tiny.ir").read_text(encoding="utf-8"))


def steps() -> Iterator[tuple[str, Graph]]:
    """Each pass of the pipeline, run and checked on the example, and the graph after it."""
    graph = tiny()
    for each in default_pipeline(get_target("arm-neon")):
        graph = PassManager([each], verify=True, numeric=True).run(graph)
        yield each.name, graph


@part
def example_source() -> str:
    return code((ROOT / "docs" / "examples" / "tiny.ir").read_text(encoding="utf-8"))


@part
def example_passes() -> str:
    """The text after every pass that changed an op."""
    shown, before = [], _body(tiny())
    for name, graph in steps():
        if _body(graph) != before:
            shown.append(f"After [`{name}`](passes.md#{name}):\n\n{code(print_graph(graph, elide=True))}")
        before = _body(graph)
    return "\n\n".join(shown)


def _body(graph: Graph) -> str:
    return print_graph(graph, elide=True).partition("\n")[2]


def planned() -> Graph:
    return list(steps())[-1][1]


@part
def example_plan() -> str:
    """Where each value of the planned example lives."""
    graph = planned()
    plan = graph.metadata["plan"]
    rows = [_placed(number, value, plan.place(value)) for number, value in enumerate(graph.values)]
    total = f"The arena has {plan.arena_bytes} bytes; the lower bound is {plan.lower_bound}."
    return table(("value", "computed by", "bytes", "where", "strides"), rows) + "\n\n" + total


def _placed(number: int, value: Value, place: Place) -> tuple[str, ...]:
    start = place.offset * value.dtype.bytes + (place.buffer.offset if place.buffer.kind == ARENA else 0)
    where = f"{place.buffer.kind}, byte {start}" if place.buffer.kind != WEIGHT else "weights"
    made = getattr(value.producer, "label", value.producer.name) if value.producer else "input"
    return f"`%{number}`", made, str(value.type.bytes), where, str(list(place.strides))


@part
def example_code() -> str:
    made = program.build(planned(), get_target("arm-neon"))
    return code("\n".join(made.functions.values()), "c")
