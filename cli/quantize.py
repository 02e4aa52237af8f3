"""`quantize`: what quantization makes of each layer, what each costs, and the configuration as a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..escaping import escape
from .options import DimOption, JsonOption, ModelArgument, ModelOptions, PassesOption, PluginOption, ShapeOption
from .output import check_writable, print_facts, print_json, print_table, write_whole
from .progress import progress_bar
from .quantization import (
    CalibrationOption,
    DropOption,
    EvaluationOption,
    MetricOption,
    QuantizationOptions,
    layer_name,
    outcome,
    percent,
)

if TYPE_CHECKING:
    from ..ir import Graph
    from ..quantization import Quantized, Score, Sensitivity
    from ..quantizing import Progress, Request

SchemeOption = Annotated[str, typer.Option("--scheme", metavar="SCHEME|FILE.toml", help="A scheme or a configuration.")]
ReportOption = Annotated[bool, typer.Option("--report", help="Try each layer alone and each left out.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write that as a page with a plot.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE.toml", help="Write the configuration, for --quantize.")
]
SAMPLES = 256
SamplesOption = Annotated[int, typer.Option("--samples", min=1, help="On how many samples layers are tried.")]


def command(
    model: ModelArgument,
    calibration: CalibrationOption = "",
    evaluation: EvaluationOption = "",
    metric: MetricOption = "top1",
    scheme: SchemeOption = "int8",
    max_accuracy_drop: DropOption = "",
    report: ReportOption = False,
    html: HtmlOption = None,
    output: OutputOption = None,
    samples: SamplesOption = SAMPLES,
    shape: ShapeOption = None,
    dim: DimOption = None,
    passes: PassesOption = "",
    plugin: PluginOption = None,
    json: JsonOption = False,
) -> None:
    """Quantize a model without compiling it: what becomes of each layer, and what each costs."""
    from ..driver import canonical
    from ..quantizing import quantized

    options = ModelOptions(shape=shape, dim=dim, passes=passes, plugin=plugin)
    wanted = QuantizationOptions(scheme, calibration, evaluation, metric, max_accuracy_drop).request()
    assert wanted is not None
    check_writable(html, output)
    graph = canonical(model, **options.binding(), passes=passes or None, plugins=tuple(plugin or ()))
    with progress_bar(json) as progress:
        made = quantized(graph, wanted, progress)
        costs = list(_costs(graph, wanted, made, samples, progress)) if report or html is not None else []
    facts = {"model": escape(graph.name), **made.report, "sensitivity": costs}
    _write(html, output, facts, made)
    if json:
        print_json(facts)
    else:
        _print(facts)


def _costs(
    graph: Graph, wanted: Request, made: Quantized, samples: int, progress: Progress | None
) -> Iterator[dict[str, Any]]:
    """Each layer alone and each left out, with the schemes that were chosen."""
    from ..probing import probe
    from ..quantization import Evaluation, prepare, sensitivities
    from ..quantizing import calibration_data

    data, metric = wanted.evaluation, wanted.metric
    scored = wanted.calibration if data is None else data
    judge = Evaluation.of(graph, scored, None if data is None else metric, probe, samples)
    bench = prepare(graph, made.config, calibration_data(graph, wanted.calibration), probe)
    for found in sensitivities(bench, judge, progress):
        yield _row(found, judge.float_metric)


def _row(found: Sensitivity, reference: float | None) -> dict[str, Any]:
    row: dict[str, Any] = {"name": found.name, "kind": found.kind, "scheme": found.scheme}
    row["alone"] = _score(found.alone, reference)
    row["without"] = None if found.without is None else _score(found.without, reference)
    return row


def _score(found: Score, reference: float | None) -> dict[str, Any]:
    drop = None if found.metric is None or reference is None else reference - found.metric
    return {"sqnr": found.sqnr, "metric": found.metric, "drop": drop}


def _write(html: Path | None, output: Path | None, facts: dict[str, Any], made: Quantized) -> None:
    from .quantization_page import page

    for path, text in ((html, page(facts) if html else ""), (output, made.config.text())):
        if path is not None:
            write_whole(path, text.encode())


def _print(facts: dict[str, Any]) -> None:
    print(facts["model"])
    print_facts(outcome({"quantization": facts}))
    print()
    if facts["sensitivity"]:
        columns = ("layer", "kind", "scheme", "alone dB", "left out dB", "alone", "left out")
        print_table(columns, map(_cells, facts["sensitivity"]), right=columns[3:])
        return
    rows = [(layer_name(r), r["kind"], r["scheme"], r["weights"], r["macs"]) for r in facts["layers"]]
    print_table(("layer", "kind", "scheme", "weights", "MACs"), rows, right=("weights", "MACs"))


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    scores = (row["alone"], row["without"])
    noises = [f"{one['sqnr']:.1f}" for one in scores]
    return layer_name(row), row["kind"], row["scheme"], *noises, *(percent(one["metric"]) for one in scores)
