"""`evaluate`: how good the answers of a model or an artifact are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .options import (
    CascadeOption,
    CpuOption,
    DeviceOption,
    DimOption,
    JsonOption,
    ModelOptions,
    PassesOption,
    PluginOption,
    PrecisionOption,
    ShapeOption,
    TargetOption,
    TextBytesOption,
    ThreadsOption,
    WhatArgument,
)
from .output import print_facts, print_json
from .progress import progress_bar
from .quantization import (
    CalibrationOption,
    MetricOption,
    QuantizationOptions,
    QuantizeOption,
    change,
    percent,
    read_source,
)
from .run import open_artifact

if TYPE_CHECKING:
    from ..artifact import Artifact
    from ..quantization import Runner

DataOption = Annotated[
    str, typer.Option("--data", metavar="DATA", help="Samples with an array 'labels': .npz, folder, FILE.py:function.")
]


def command(
    what: WhatArgument,
    data: DataOption,
    metric: MetricOption = "top1",
    target: TargetOption = "host",
    cpu: CpuOption = "",
    device: DeviceOption = "",
    shape: ShapeOption = None,
    dim: DimOption = None,
    text_bytes: TextBytesOption = 64,
    passes: PassesOption = "",
    plugin: PluginOption = None,
    precision: PrecisionOption = "f32",
    cascade: CascadeOption = "speed",
    threads: ThreadsOption = 1,
    quantize: QuantizeOption = "",
    calibration: CalibrationOption = "",
    json: JsonOption = False,
) -> None:
    """Score a model or an artifact on labelled samples; for a quantized model also what quantization costs."""
    from ..quantization import find_metric
    from ..quantizing import metric_name

    find_metric(metric)
    options = ModelOptions(
        target, cpu, device, shape, dim, passes, plugin, text_bytes, precision=precision, cascade=cascade
    )
    quantization = QuantizationOptions(quantize, calibration)
    artifact = open_artifact(what, options, quantization, threads, json)
    facts: dict[str, Any] = {"metric": metric_name(metric), "target": artifact.report["target"]}
    facts |= score_artifact(artifact, data, metric, json)
    facts["float"] = stored_score(artifact, facts)
    if quantization.quantize:
        plain = open_artifact(what, replace(options, target="host", cpu="", device="", precision="f32"))
        facts["float"] = score_artifact(plain, data, metric, json)["score"]
    facts["drop"] = None if facts["float"] is None else facts["float"] - facts["score"]
    _print(facts, json)


def score_artifact(artifact: Artifact, data: str, metric: str, quiet: bool = False) -> dict[str, Any]:
    """Return the metric of an artifact and on how many samples; a progress bar tells how far it is."""
    from ..ir import Graph
    from ..quantization import find_metric, open_data
    from ..quantization.metrics import outputs_of, score

    if not data:
        raise UsageError("there is no data to score on", hint="give --data FILE.npz with an array 'labels'")
    opened = open_data(read_source(data), artifact.inputs)
    labels = opened.labels()
    with progress_bar(quiet) as progress:
        tell = None if progress is None else lambda done: progress("samples", done, len(labels))
        outputs = outputs_of(Graph(), opened, lambda _: _runner(artifact, tell))
    return {"samples": len(outputs[0]), "score": score(find_metric(metric), outputs, labels)}


def _runner(artifact: Artifact, tell: Callable[[int], None] | None) -> Runner:
    """Run chunks of samples on an artifact; `tell` is called with how many are done."""
    done = 0

    def run(arrays: Any) -> list[Any]:
        nonlocal done
        outputs = artifact.run_stacked(arrays)
        done += len(outputs[0])
        if tell is not None:
            tell(done)
        return outputs

    return run


def stored_score(artifact: Artifact, facts: dict[str, Any]) -> float | None:
    """Return what the float model scored when the artifact was made, if on as many samples with the same metric."""
    known = artifact.report.get("quantization", {}).get("accuracy", {})
    same = all(known.get(key) == facts[key] for key in ("metric", "samples"))
    return known.get("float") if same else None


def _print(facts: dict[str, Any], json: bool) -> None:
    if json:
        print_json(facts)
        return
    text = f"{percent(facts['score'])} on {facts['samples']} samples"
    if facts["drop"] is not None:
        text = change({**facts, "quantized": facts["score"]})
    print_facts([(facts["metric"], text), ("target", facts["target"])])
