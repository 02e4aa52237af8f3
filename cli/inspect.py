"""`inspect`: what is in a model, and what memory it will need."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import Unsupported
from ..escaping import escape
from .memory_plot import plot
from .options import (
    CpuOption,
    DeviceOption,
    DimOption,
    JsonOption,
    ModelArgument,
    ModelOptions,
    PassesOption,
    PluginOption,
    ShapeOption,
    TargetOption,
)
from .output import print_facts, print_json, print_table, size, unsupported_rows, write_whole
from .quantization import CalibrationOption, QuantizationOptions, QuantizeOption, outcome

if TYPE_CHECKING:
    from ..driver import Lowered
    from ..ir import Graph, Op

HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a page with the arena over time.")
]
OpsOption = Annotated[bool, typer.Option("--ops", help="Print a line for every op.")]


def command(
    model: ModelArgument,
    target: TargetOption = "host",
    cpu: CpuOption = "",
    device: DeviceOption = "",
    html: HtmlOption = None,
    ops: OpsOption = False,
    shape: ShapeOption = None,
    dim: DimOption = None,
    passes: PassesOption = "",
    plugin: PluginOption = None,
    quantize: QuantizeOption = "",
    calibration: CalibrationOption = "",
    json: JsonOption = False,
) -> None:
    """Print ops, parameters, MACs, inputs and outputs, memory over time, and the nodes that cannot be compiled."""
    from ..driver import lower

    options = ModelOptions(target, cpu, device, shape, dim, passes, plugin)
    lowering = options.lowering()
    quantization = QuantizationOptions(quantize, calibration).request()
    try:
        lowered = lower(model, **lowering, **options.binding(), quantization=quantization)
    except Unsupported as error:
        _print_unsupported(error, json)
        return
    facts = _facts(lowered)
    if html is not None:
        _write_page(html, facts)
    if json:
        print_json(facts)
    else:
        _print(facts, ops)


def _facts(lowered: Lowered) -> dict[str, Any]:
    graph = lowered.imported if lowered.quantized is None else lowered.reference
    rows = [_op_row(index, op) for index, op in enumerate(graph.every_op) if op.name != "constant"]
    constants = [op.result.type for op in graph.every_op if op.name == "constant"]
    return {
        "model": escape(lowered.name),
        "target": lowered.target.name,
        "inputs": [{"name": v.name, "type": str(v.type)} for v in graph.inputs],
        "outputs": [
            {"name": name, "type": str(v.type)} for name, v in zip(graph.output_names, graph.outputs, strict=True)
        ],
        "op_counts": dict(Counter(row["op"] for row in rows).most_common()),
        "parameters": sum(kind.size for kind in constants),
        "parameter_bytes": sum(kind.bytes for kind in constants),
        "macs": sum(op.macs() for op in graph),
        "assumed": [note.reason for note in graph.journal if note.source == "import"],
        "ops": rows,
        "memory": _memory(lowered.graph),
        "unsupported": [],
        **({} if lowered.quantized is None else {"quantization": lowered.quantized.report}),
    }


def _op_row(index: int, op: Op) -> dict[str, Any]:
    from ..ir.dims import upper

    parameters = sum(v.type.size for v in op.operands if v.producer is not None and v.producer.name == "constant")
    types = [str(result.type) for result in op.results]
    node = escape(op.origin.name) if op.origin else ""
    macs = upper(op.macs())
    return {"index": index, "op": op.name, "node": node, "types": types, "macs": macs, "parameters": parameters}


def _memory(graph: Graph) -> dict[str, Any]:
    """Return the arena of a planned graph: sizes, steps, and every buffer's place in memory and time."""
    plan = graph.metadata.get("plan")
    if plan is None:
        return {}
    fields = ("bytes", "offset", "first", "last")
    buffers = [
        {"value": escape(next(plan.names(buffer), "")), **{name: getattr(buffer, name) for name in fields}}
        for buffer in plan.buffers()
    ]
    steps = [_step_name(op) for op in graph]
    return {"bytes": plan.arena_bytes, "lower_bound": plan.lower_bound, "steps": steps, "buffers": buffers}


def _step_name(op: Op) -> str:
    label = getattr(op, "label", op.name)
    return f"{label} {escape(op.origin.name)}" if op.origin and op.origin.name else str(label)


def _print(facts: dict[str, Any], every_op: bool) -> None:
    print(f"{facts['model']} for {facts['target']}")
    counts = ", ".join(f"{name} {count}" for name, count in facts["op_counts"].items())
    print_facts(
        [
            *[("input", f"{escape(one['name'])}: {one['type']}") for one in facts["inputs"]],
            *[("output", f"{escape(one['name'])}: {one['type']}") for one in facts["outputs"]],
            *[("note", reason) for reason in facts["assumed"]],
            *outcome(facts),
            ("ops", counts),
            ("parameters", f"{facts['parameters']:,} ({size(facts['parameter_bytes'])})"),
            ("MACs", f"{facts['macs']:,}"),
        ]
    )
    if every_op:
        print()
        columns = ("#", "op", "node", "result", "MACs", "parameters")
        print_table(columns, map(_op_cells, facts["ops"]), right=("#", "MACs", "parameters"))
    if facts["memory"]:
        memory = facts["memory"]
        print(f"\nmemory: arena {size(memory['bytes'])}, lower bound {size(memory['lower_bound'])}")
        print(plot(memory["buffers"], memory["steps"]))


def _op_cells(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["index"], row["op"], row["node"], ", ".join(row["types"]), row["macs"], row["parameters"]


def _print_unsupported(error: Unsupported, json: bool) -> None:
    if json:
        print_json({"unsupported": unsupported_rows(error)})
        return
    print("cannot be compiled:")
    for node in error.nodes:
        print(f"  {node}")


def _write_page(path: Path, facts: dict[str, Any]) -> None:
    from .memory_page import page

    write_whole(path, page(facts).encode())
