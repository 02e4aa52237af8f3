"""`prune`: what pruning makes of each layer, and the configuration as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..escaping import escape
from .options import DimOption, JsonOption, ModelArgument, ModelOptions, PassesOption, PluginOption, ShapeOption
from .output import check_writable, print_facts, print_json, print_table, write_whole
from .progress import progress_bar
from .pruning import pruning_outcome
from .quantization import (
    CalibrationOption,
    DropOption,
    EvaluationOption,
    MetricOption,
    layer_name,
    percent,
    read_share,
    read_source,
)

SchemeOption = Annotated[
    str, typer.Option("--scheme", metavar="SCHEME|FILE.toml", help="0.7, 2:4, channels:0.25 or a configuration.")
]
ReportOption = Annotated[bool, typer.Option("--report", help="Print what became of each layer.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE.toml", help="Write the configuration, for --prune.")
]


def command(
    model: ModelArgument,
    scheme: SchemeOption = "0.5",
    calibration: CalibrationOption = "",
    evaluation: EvaluationOption = "",
    metric: MetricOption = "top1",
    max_accuracy_drop: DropOption = "",
    report: ReportOption = False,
    output: OutputOption = None,
    shape: ShapeOption = None,
    dim: DimOption = None,
    passes: PassesOption = "",
    plugin: PluginOption = None,
    json: JsonOption = False,
) -> None:
    """Prune a model without compiling it: what becomes of each layer, and what that costs."""
    from ..driver import canonical
    from ..prune_step import prune_request, pruned

    options = ModelOptions(shape=shape, dim=dim, passes=passes, plugin=plugin)
    bound = read_share(max_accuracy_drop) if max_accuracy_drop else None
    wanted = prune_request(scheme, read_source(calibration), read_source(evaluation), metric, bound)
    assert wanted is not None
    check_writable(output)
    graph = canonical(model, **options.binding(), passes=passes or None, plugins=tuple(plugin or ()))
    with progress_bar(json) as progress:
        made = pruned(graph, wanted, progress)
    if output is not None:
        write_whole(output, made.config.text().encode())
    facts = {"model": escape(graph.name), **made.report}
    if json:
        print_json(facts)
    else:
        _print(facts, report)


def _print(facts: dict[str, Any], table: bool) -> None:
    print(facts["model"])
    print_facts(pruning_outcome({"pruning": facts}))
    if table:
        print()
        columns = ("layer", "kind", "scheme", "channels", "weights", "left", "zeros", "MACs")
        print_table((*columns, "why channels stay"), map(_cells, facts["layers"]), right=columns[3:])


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    channels = str(row["channels_before"])
    if row["channels_after"] != row["channels_before"]:
        channels += f" -> {row['channels_after']}"
    counts = (row["weights_before"], row["weights_after"], percent(row["sparsity"]), row["macs_after"])
    return layer_name(row), row["kind"], row["scheme"], channels, *counts, row["kept_because"]
