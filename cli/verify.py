"""`verify`: compile, run, and compare every output with a reference."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..escaping import escape
from .options import (
    AliasOption,
    CascadeOption,
    CompilerOption,
    CpuOption,
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
    ThreadsOption,
    WinogradOption,
)
from .output import print_json, print_table
from .progress import progress_bar
from .quantization import CalibrationOption, QuantizationOptions, QuantizeOption
from .run import run_samples

if TYPE_CHECKING:
    import numpy as np

    from ..artifact import Artifact, Difference
    from ..backends import Lowered
    from ..ir import Graph

    Arrays = dict[str, np.ndarray]


class Against(str, Enum):
    """What can serve as a reference."""

    onnxruntime = "onnxruntime"
    evaluate = "evaluate"


ReferenceOption = Annotated[
    Path | None, typer.Option("--reference", metavar="R.npz", help="Arrays in:NAME to run on and out:NAME to compare.")
]
AgainstOption = Annotated[
    Against | None, typer.Option("--against", help="Compute the reference: ONNX Runtime or (default) numpy.")
]

VerifyToleranceOption = Annotated[
    float | None,
    typer.Option(
        "--tolerance",
        min=0.0,
        help="What may differ, as a part of the largest reference value (1e-3; more where sums of floats are rounded "
        "to integers: what a nudge of the inputs does).",
    ),
]


def command(
    model: ModelArgument,
    target: TargetOption = "host",
    cpu: CpuOption = "",
    device: DeviceOption = "",
    reference: ReferenceOption = None,
    against: AgainstOption = None,
    tolerance: VerifyToleranceOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the random inputs.")] = 0,
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
    compiler: CompilerOption = "",
    threads: ThreadsOption = 1,
    quantize: QuantizeOption = "",
    calibration: CalibrationOption = "",
    json: JsonOption = False,
) -> int:
    """Compile a model, run it natively or under an emulator, and compare its outputs; exit status 1 if they differ."""
    from ..artifact import compare, golden_inputs
    from ..driver import assemble, backend_of, lower
    from ..open_sizes import bounds_of, takes_probes

    if reference is not None and against is not None:
        raise UsageError("--reference and --against exclude each other")
    quantization = QuantizationOptions(quantize, calibration).request()
    if quantization is not None and against is Against.onnxruntime:
        hint = "without --against, numpy computes the quantized graph"
        raise UsageError("ONNX Runtime computes the float model, not the quantized one", hint=hint)
    options = ModelOptions(target, cpu, device, shape, dim, passes, plugin, text_bytes, alias, precision, cascade)
    lowering = options.lowering()
    given, wanted = read_reference(reference) if reference else ({}, {})
    bounds = bounds_of(options.binding()["dims"]) if takes_probes(lowering["target"]) else {}
    graph = import_for(model, options, given, at_largest=bool(bounds))
    sizes: dict[str, Any] = options.binding() if bounds else {}
    with progress_bar(quiet=json) as progress:
        lowered = lower(
            model if bounds else graph, **lowering, **sizes, fusion=fusion, winograd=winograd, progress=progress,
            quantization=quantization, sample=None if bounds else given or None,
        )  # fmt: skip
        artifact = assemble(lowered, compiler=compiler, selftest=False, threads=threads, progress=progress)
    inputs = given or lowered.sample or golden_inputs(graph, seed)
    runs, note = backend_of(artifact.folder).verify(artifact)
    got = run_samples(runs, inputs)
    wanted = wanted or compute_reference(against or Against.evaluate, model, lowered.reference, inputs)
    sample = first_sample(graph, inputs)
    tolerance = usual_tolerance(lowered, sample) if tolerance is None else tolerance
    differences = compare(got, wanted, tolerance) + runs.compare_inside(lowered.graph, sample)
    differences += at_smallest(runs, model, options, seed, tolerance) if bounds else []
    return _print(lowered.goal.name, differences, note, json)


def read_reference(path: Path) -> tuple[Arrays, Arrays]:
    """Return inputs and outputs of a reference file; UsageError if it lacks either."""
    from .arrays import inputs_in, outputs_in, read_arrays

    arrays = read_arrays(path)
    inputs, outputs = inputs_in(arrays), outputs_in(arrays)
    if not outputs:
        listed = ", ".join(escape(name) for name in arrays) or "nothing"
        hint = "it must hold in:<name> for each input and out:<name> for outputs"
        raise UsageError(f"'{escape(path.name)}' holds no outputs, but {listed}", hint=hint)
    return inputs, outputs


def import_for(model: Path, options: ModelOptions, inputs: Arrays, at_largest: bool = False) -> Graph:
    """Import a model; dimensions that it leaves open and no option fixes are those of the arrays.

    Those with bounds are symbols, or `at_largest` the upper bounds.
    """
    from ..driver import import_model, load_plugins, name_all
    from ..open_sizes import largest

    load_plugins(options.plugin or ())
    binding = options.binding()
    binding["dims"] = largest(binding["dims"]) if at_largest else binding["dims"]
    shapes = {name: array.shape for name, array in inputs.items()}
    try:
        graph = import_model(model, **binding)
        fits = all(v.name not in shapes or v.type.is_open or v.shape == shapes[v.name] for v in graph.inputs)
    except UsageError:
        if not shapes or binding["shapes"]:
            raise
        fits = False
    if fits or binding["shapes"] or model.suffix == ".ir":
        return name_all(graph)
    try:
        return name_all(import_model(model, **{**binding, "shapes": shapes}))
    except UsageError:
        return name_all(import_model(model, **binding))


def compute_reference(against: Against, model: Path, graph: Graph, inputs: Arrays) -> Arrays:
    """Return the outputs that numpy or ONNX Runtime gives."""
    if against is Against.evaluate:
        return dict(zip(graph.output_names, graph.evaluate(inputs), strict=True))
    from .engines import onnxruntime_outputs

    return onnxruntime_outputs(model, inputs)


def at_smallest(runs: Artifact, model: Path, options: ModelOptions, seed: int, tolerance: float) -> list[Difference]:
    """The outputs where all open sizes have their lower bounds."""
    from ..artifact import compare, golden_inputs
    from ..driver import import_model, name_all
    from ..open_sizes import bounds_of, largest

    binding = options.binding()
    smallest = {name: low for name, (low, _) in bounds_of(binding["dims"]).items()}
    graph = name_all(import_model(model, **{**binding, "dims": {**largest(binding["dims"]), **smallest}}))
    inputs = golden_inputs(graph, seed)
    wanted = dict(zip(graph.output_names, graph.evaluate(inputs), strict=True))
    at = ", ".join(f"{name}={size}" for name, size in smallest.items())
    return [replace(one, name=f"{one.name} ({at})") for one in compare(runs.run(inputs), wanted, tolerance)]


def usual_tolerance(lowered: Lowered, inputs: Arrays) -> float:
    """What a comparison allows where nobody says it: as much as a self-test."""
    from ..artifact.support import GOLDEN_TOLERANCE
    from ..backends import golden

    graph, arrays = lowered.reference, list(inputs.values())
    halved = golden.half_precision(lowered.graph)
    if not halved and not golden.rounds_inexact_numbers(graph) and not golden.coarsest(graph):
        return GOLDEN_TOLERANCE
    outputs = graph.evaluate(inputs)
    rounding = golden.rounding_error(lowered.graph, arrays, outputs) if halved else 0.0
    narrow = golden.narrow_tolerance(lowered, arrays, outputs)
    return max(golden.tolerance_of(graph, arrays, outputs), golden.MARGIN * rounding, narrow)


def first_sample(graph: Graph, inputs: Arrays) -> Arrays:
    """The first of many samples that were given together, in the order of the graph's inputs."""
    return {v.name: inputs[v.name][: v.shape[0]] if v.shape else inputs[v.name] for v in graph.inputs}


def _print(target: str, differences: list[Difference], note: str, json: bool) -> int:
    ok = all(one.ok for one in differences)
    status = "ok" if ok else "mismatch"
    rows: list[dict[str, Any]] = [
        {"name": one.name, "worst": one.worst, "at": list(one.at), "tolerance": one.tolerance, "ok": one.ok}
        for one in differences
    ]
    if json:
        print_json({"ok": ok, "target": target, "outputs": rows, "status": status, "note": note})
    else:
        columns = ("output", "worst", "at", "tolerance", "")
        shown = [(escape(r["name"]), f"{r['worst']:.3g}", r["at"], f"{r['tolerance']:g}", _word(r["ok"])) for r in rows]
        print_table(columns, shown, right=("worst",))
        if note:
            print(f"note: {note}")
    return 0 if ok else 1


def _word(ok: bool) -> str:
    return "ok" if ok else "MISMATCH"
