"""`compile`: from a model to an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..escaping import escape
from .options import (
    CompilerOption,
    CpuOption,
    DeviceOption,
    DimOption,
    DumpOption,
    FusionOption,
    JsonOption,
    ModelArgument,
    ModelOptions,
    PassesOption,
    PluginOption,
    ShapeOption,
    TargetOption,
    VerifyOption,
)
from .output import print_facts, print_json, size
from .progress import progress_bar
from .quantization import (
    CalibrationOption,
    DropOption,
    EvaluationOption,
    MetricOption,
    QuantizationOptions,
    QuantizeOption,
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


def command(
    model: ModelArgument,
    target: TargetOption = "host",
    cpu: CpuOption = "",
    device: DeviceOption = "",
    output: OutputOption = None,
    shape: ShapeOption = None,
    dim: DimOption = None,
    passes: PassesOption = "",
    plugin: PluginOption = None,
    fusion: FusionOption = "greedy",
    verify: VerifyOption = False,
    dump: DumpOption = None,
    compiler: CompilerOption = "",
    no_build: NoBuildOption = False,
    no_selftest: NoTestOption = False,
    keep: KeepOption = False,
    quantize: QuantizeOption = "",
    calibration: CalibrationOption = "",
    evaluation: EvaluationOption = "",
    metric: MetricOption = "top1",
    max_accuracy_drop: DropOption = "",
    json: JsonOption = False,
) -> None:
    """Compile a model to C with its library, self-test and report, in one folder."""
    from ..driver import compile

    options = ModelOptions(target, cpu, device, shape, dim, passes, plugin)
    quantization = QuantizationOptions(quantize, calibration, evaluation, metric, max_accuracy_drop)
    folder = output or Path("build") / f"{model.stem}-{device or target}"
    with progress_bar(quiet=json) as progress:
        artifact = compile(
            model, **options.lowering(), **options.binding(), output=folder, fusion=fusion, verify=verify, dump=dump,
            compiler=compiler, build=not no_build, selftest=not no_selftest, keep=keep, progress=progress,
            **quantization.arguments(),
        )  # fmt: skip
    if json:
        print_json(_facts(artifact))
    else:
        _print(artifact)


def _facts(artifact: Artifact) -> dict[str, Any]:
    report = artifact.report
    kept = ("model", "target", "row", "isa", "cpu", "inputs", "outputs", "weights_bytes", "toolchain", "selftest",
            "quantization")  # fmt: skip
    facts = {"output": str(artifact.folder), **{key: report[key] for key in kept if key in report}}
    arena = {key: value for key, value in report["arena"].items() if key != "timeline"}
    return {**facts, "arena": arena, "library_bytes": _library_bytes(artifact), "assumed": _assumed(artifact),
            "times": artifact.times}  # fmt: skip


def _library_bytes(artifact: Artifact) -> int | None:
    library = artifact.folder / "libmodel.so"
    return library.stat().st_size if library.is_file() else None


def _assumed(artifact: Artifact) -> list[str]:
    return [note["reason"] for note in artifact.report["notes"] if note["source"] == "import"]


def _print(artifact: Artifact) -> None:
    report, times = artifact.report, artifact.times
    target = artifact.target
    print(f"{escape(str(artifact.folder))}: {report['target']} ({target.description})")
    print_facts(
        [
            *[("input", f"{escape(name)}: {kind}") for name, kind in artifact.inputs.items()],
            *[("output", f"{escape(name)}: {kind}") for name, kind in artifact.outputs.items()],
            *[("note", reason) for reason in _assumed(artifact)],
            *outcome(report),
            ("weights", size(report.get("weights_bytes", 0))),
            ("arena", _arena(report["arena"])),
            ("library", _library(artifact)),
            ("self-test", _verdict(report["selftest"])),
            ("time", f"{times['without_compiler']:.2f} s, C compiler {times.get('build', 0.0):.2f} s"),
        ]
    )


def _arena(arena: dict[str, Any]) -> str:
    bound = arena.get("lower_bound")
    return size(arena["bytes"]) + (f" (lower bound {size(bound)})" if bound is not None else "")


def _library(artifact: Artifact) -> str:
    toolchain = artifact.report["toolchain"]
    if not toolchain["built"]:
        return f"not built: {toolchain['reason']}"
    return f"{size(_library_bytes(artifact) or 0)}, {toolchain['compiler']}"


def _verdict(verdict: dict[str, Any]) -> str:
    if verdict["status"] == "passed":
        return f"passed, worst {verdict['worst']:.2g} of the largest value"
    return f"{verdict['status']}: {verdict['reason']}"
