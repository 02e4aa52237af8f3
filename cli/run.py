"""`run`: arrays in, arrays out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..escaping import escape
from .options import (
    AliasOption,
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
    check_compiled,
)
from .output import print_json, print_table
from .progress import progress_bar
from .quantization import CalibrationOption, QuantizationOptions, QuantizeOption

if TYPE_CHECKING:
    import numpy as np

    from ..artifact import Artifact

NONE = QuantizationOptions()
InputOption = Annotated[Path, typer.Option("--input", "-i", metavar="X.npz", help="Arrays by input name, or in:NAME.")]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", metavar="Y.npz", help="Where the outputs go.")]


def command(
    what: WhatArgument,
    input: InputOption,
    output: OutputOption = None,
    target: TargetOption = "host",
    cpu: CpuOption = "",
    device: DeviceOption = "",
    shape: ShapeOption = None,
    dim: DimOption = None,
    alias: AliasOption = None,
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
    """Run an artifact or a model; arrays with a longer first dimension are many samples."""
    from .arrays import inputs_in, read_arrays, write_arrays

    arrays = read_arrays(input)
    given = inputs_in(arrays) or arrays
    options = ModelOptions(target, cpu, device, shape, dim, passes, plugin, text_bytes, alias, precision, cascade)
    artifact = open_artifact(what, options, QuantizationOptions(quantize, calibration), threads, json, given)
    outputs = run_samples(artifact, given)
    if output is not None:
        write_arrays(output, outputs)
    _print(outputs, json)


def run_samples(artifact: Artifact, arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    """Run one sample, or many where every array is a multiple of its input along the first dimension."""
    many = arrays and all(_holds_many(array, artifact.inputs.get(name)) for name, array in arrays.items())
    return artifact.run_many(arrays) if many else artifact.run(arrays)


def _holds_many(array: np.ndarray, kind: Any) -> bool:
    if kind is None or kind.is_open or not kind.shape or array.ndim != kind.rank or array.shape[1:] != kind.shape[1:]:
        return False
    return bool(kind.shape[0] and array.shape[0] > kind.shape[0] and array.shape[0] % kind.shape[0] == 0)


def open_artifact(
    what: Path,
    options: ModelOptions,
    quantization: QuantizationOptions = NONE,
    threads: int = 1,
    quiet: bool = False,
    sample: dict[str, Any] | None = None,
) -> Artifact:
    """Return the artifact in a folder, or compile a model that runs on a sample.

    UsageError for options that an artifact cannot follow.
    """
    if what.is_dir():
        from ..driver import load_artifact, load_plugins

        check_compiled([*options.given(), *quantization.given()])
        load_plugins(options.plugin or ())
        return load_artifact(what, threads)
    from ..driver import compile

    with progress_bar(quiet) as progress:
        return compile(
            what, **options.lowering(), **options.binding(), selftest=False, threads=threads, progress=progress,
            **quantization.arguments(), sample=sample,
        )  # fmt: skip


def _print(outputs: dict[str, np.ndarray], json: bool) -> None:
    rows = [{"name": name, **_describe(array)} for name, array in outputs.items()]
    if json:
        print_json({"outputs": rows})
        return
    columns = ("output", "dtype", "shape", "min", "max", "mean")
    shown = [(escape(row["name"]), row["dtype"], row["shape"], *_numbers(row)) for row in rows]
    print_table(columns, shown, right=("min", "max", "mean"))


def _describe(array: np.ndarray) -> dict[str, Any]:
    facts: dict[str, Any] = {"dtype": str(array.dtype), "shape": list(array.shape)}
    if not array.size or array.dtype.kind == "S":
        return {**facts, "min": None, "max": None, "mean": None}
    return {**facts, "min": float(array.min()), "max": float(array.max()), "mean": float(array.mean(dtype="float64"))}


def _numbers(row: dict[str, Any]) -> list[str]:
    return ["" if row[key] is None else f"{row[key]:.6g}" for key in ("min", "max", "mean")]
