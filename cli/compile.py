"""`compile`: from a model to an artifact."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..escaping import escape
from .options import (
    AliasOption,
    CascadeOption,
    CompilerOption,
    CpuOption,
    DatabaseOption,
    DeviceOption,
    DimOption,
    DumpOption,
    FusionOption,
    JsonOption,
    ModelArgument,
    ModelOptions,
    OwnOption,
    PassesOption,
    PluginOption,
    PrecisionOption,
    RunnerOption,
    SampleOption,
    ShapeOption,
    TargetOption,
    TextBytesOption,
    TuneOption,
    VerifyOption,
    WinogradOption,
    read_options,
    read_sample,
    read_seconds,
)
from .output import print_facts, print_json, size
from .progress import progress_bar
from .pruning import PruneOption, pruning_outcome
from .quantization import (
    CalibrationOption,
    DropOption,
    EvaluationOption,
    MetricOption,
    QuantizationOptions,
    QuantizeOption,
    VetoOption,
    outcome,
)

if TYPE_CHECKING:
    from ..artifact import Artifact

OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="The folder to write (build/MODEL-TARGET).")
]
KeepOption = Annotated[bool, typer.Option("--keep", help="Write the artifact even if its self-test fails.")]
NoBuildOption = Annotated[bool, typer.Option("--no-build", help="Write sources only.")]
NoTestOption = Annotated[bool, typer.Option("--no-selftest", help="Do not run the self-test.")]

MAKERS = {"build": "C compiler", "engine": "engine"}
"""What phases are called in which other programs build."""


def command(
    model: ModelArgument,
    target: TargetOption = "host",
    cpu: CpuOption = "",
    device: DeviceOption = "",
    output: OutputOption = None,
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
    verify: VerifyOption = False,
    dump: DumpOption = None,
    compiler: CompilerOption = "",
    no_build: NoBuildOption = False,
    no_selftest: NoTestOption = False,
    sample: SampleOption = None,
    keep: KeepOption = False,
    quantize: QuantizeOption = "",
    calibration: CalibrationOption = "",
    evaluation: EvaluationOption = "",
    metric: MetricOption = "top1",
    max_accuracy_drop: DropOption = "",
    veto: VetoOption = None,
    prune: PruneOption = "",
    tune: TuneOption = None,
    database: DatabaseOption = None,
    runner: RunnerOption = "",
    option: OwnOption = None,
    json: JsonOption = False,
) -> None:
    """Compile a model to the artifact of its target, with self-test and report, in one folder."""
    from ..driver import compile

    options = ModelOptions(target, cpu, device, shape, dim, passes, plugin, text_bytes, alias, precision, cascade)
    quantization = QuantizationOptions(quantize, calibration, evaluation, metric, max_accuracy_drop, veto)
    folder = output or Path("build") / f"{model.stem}-{device or folder_name(target)}"
    with progress_bar(quiet=json) as progress:
        artifact = compile(
            model, **options.lowering(), **options.binding(), output=folder, fusion=fusion, winograd=winograd,
            verify=verify, dump=dump, compiler=compiler, build=not no_build, selftest=not no_selftest, keep=keep,
            sample=read_sample(sample), progress=progress, tune=read_seconds(tune), database=database, runner=runner,
            options=read_options(option), **quantization.arguments(), prune=prune or None,
        )  # fmt: skip
    if json:
        print_json(_facts(artifact))
    else:
        _print(artifact)


def folder_name(target: str) -> str:
    """Return what a target is called in a path: `tvm:{...}` has braces, quotes and slashes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", target).strip("-")


def _facts(artifact: Artifact) -> dict[str, Any]:
    report = artifact.report
    kept = ("model", "target", "backend", "row", "isa", "cpu", "inputs", "outputs", "weights_bytes", "toolchain",
            "threads", "selftest", "quantization", "pruning", "schedules", "tuning")  # fmt: skip
    facts = {"output": str(artifact.folder), **{key: report[key] for key in kept if key in report}}
    arena = {key: value for key, value in report.get("arena", {}).items() if key != "timeline"}
    made = {f"{artifact.product.name}_bytes": _product_bytes(artifact)}
    return {**facts, "arena": arena, **made, "assumed": _assumed(artifact), "times": artifact.times}


def _product_bytes(artifact: Artifact) -> int | None:
    made = artifact.folder / artifact.product.file
    return made.stat().st_size if made.is_file() else None


def _assumed(artifact: Artifact) -> list[str]:
    return [note["reason"] for note in artifact.report["notes"] if note["source"] == "import"]


def _print(artifact: Artifact) -> None:
    report, times = artifact.report, artifact.times
    print(f"{escape(str(artifact.folder))}: {escape(report['target'])} ({artifact.description})")
    print_facts(
        [
            *[("input", f"{escape(name)}: {kind}") for name, kind in artifact.inputs.items()],
            *[("output", f"{escape(name)}: {kind}") for name, kind in artifact.outputs.items()],
            *[("note", reason) for reason in _assumed(artifact)],
            *pruning_outcome(report),
            *schedules_outcome(report),
            *outcome(report),
            *([("weights", size(report["weights_bytes"]))] if "weights_bytes" in report else []),
            *([("arena", _arena(report["arena"]))] if "arena" in report else []),
            *_threads(report.get("threads", {})),
            (artifact.product.name, _product(artifact)),
            ("self-test", _verdict(report["selftest"])),
            ("time", ", ".join([f"{times['without_compiler']:.2f} s", *_makers(times)])),
        ]
    )


def schedules_outcome(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a search came to, and how many layers took measured schedules; nothing for backends with their own."""
    if "schedules" not in report:
        return []
    facts, counts = [], report["schedules"]
    if "tuning" in report:
        found = report["tuning"]
        gain = (
            f", {found['own_us'] / found['us']:.2f} times as fast" if found["us"] else ": there was no time to measure"
        )
        facts = [("tuning", f"{found['schedules']} schedules of {found['layers']} layers{gain}")]
    none = "" if counts["measured"] else ": the database knows none of them for this machine"
    return [*facts, ("schedules", f"{counts['measured']} of {counts['layers']} layers measured{none}")]


def _arena(arena: dict[str, Any]) -> str:
    bound = arena.get("lower_bound")
    return size(arena["bytes"]) + (f" (lower bound {size(bound)})" if bound is not None else "")


def _threads(predicted: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What threads are expected to give, where any step is large enough for them."""
    if not predicted.get("shared_steps"):
        return []
    faster = ", ".join(f"{ratio:.1f}x on {n}" for n, ratio in predicted["speed_up"].items() if n != "1")
    return [("threads", f"expected {faster}")]


def _product(artifact: Artifact) -> str:
    toolchain = artifact.report["toolchain"]
    if not toolchain["built"]:
        return f"not built: {toolchain['reason']}"
    found, maker = _product_bytes(artifact), str(toolchain.get("compiler", "built"))
    return (f"{size(found)}, " if found is not None else "") + maker


def _makers(times: Mapping[str, float]) -> list[str]:
    """The time that other programs took."""
    return [f"{MAKERS[phase]} {seconds:.2f} s" for phase, seconds in times.items() if phase in MAKERS]


def _verdict(verdict: dict[str, Any]) -> str:
    if verdict["status"] == "passed":
        return f"passed, worst {verdict['worst']:.2g} of the largest value"
    return f"{verdict['status']}: {verdict['reason']}"
