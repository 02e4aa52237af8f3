"""`bench`: edgec and other engines on the same model, in turns, each in a process of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EdgecError, ToolchainError, UsageError
from ..escaping import escape
from .bench_plot import write_plot
from .compile import schedules_outcome
from .engines import ENGINES, check_engine
from .options import (
    AliasOption,
    CascadeOption,
    CompilerOption,
    CpuOption,
    DatabaseOption,
    DeviceOption,
    DimOption,
    FusionOption,
    JsonOption,
    ModelOptions,
    PassesOption,
    PluginOption,
    PrecisionOption,
    SampleOption,
    ShapeOption,
    TargetOption,
    TextBytesOption,
    ThreadsOption,
    ToleranceOption,
    WhatArgument,
    WinogradOption,
    check_compiled,
    read_sample,
)
from .output import print_facts, print_json, print_table
from .progress import progress_bar
from .roofline import roofline as print_roofline
from .verify import import_for

if TYPE_CHECKING:
    import numpy as np

    from ..artifact import Artifact
    from ..artifact.compare import Difference
    from ..clock import Progress
    from .bench_process import Engine

ROUNDS = 8
GLIBC_AVX2 = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW"
ISA_LIMITS = {
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "OV_CPU_MAX_ISA": "AVX2", "GLIBC_TUNABLES": GLIBC_AVX2},
    "sse2": {"ONEDNN_MAX_CPU_ISA": "SSE41", "OV_CPU_MAX_ISA": "SSE41"},
}
"""The variables that hold engines, and their C library, to the instruction set of a target; the others are held by
`engines/holding.py`."""

AgainstOption = Annotated[str, typer.Option("--against", metavar="A,B", help=f"Other engines: {', '.join(ENGINES)}.")]
PlotOption = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw median and minimum of each engine.")
]
ModelOption = Annotated[
    Path | None, typer.Option("--model", metavar="FILE.onnx", help="What an artifact was compiled from, for --against.")
]
SecondsOption = Annotated[float, typer.Option("--seconds", min=0.05, help="How long each engine runs in all.")]

RooflineOption = Annotated[
    bool, typer.Option("--roofline", help="Time each layer, beside the least that this machine could take for it.")
]


def command(
    what: WhatArgument,
    target: TargetOption = "host",
    cpu: CpuOption = "",
    device: DeviceOption = "",
    threads: ThreadsOption = 1,
    against: AgainstOption = "",
    model: ModelOption = None,
    roofline: RooflineOption = False,
    seconds: SecondsOption = 3.0,
    tolerance: ToleranceOption = 1e-3,
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
    database: DatabaseOption = None,
    sample: SampleOption = None,
    plot: PlotOption = None,
    json: JsonOption = False,
) -> int:
    """Time an artifact or a model, next to other engines where asked for; outputs must agree before a time counts."""
    peers = read_peers(against)
    if roofline and (peers or threads != 1):
        raise UsageError("--roofline times the layers of one model on one thread", hint="leave --against and --threads")
    source = _model_file(what, model, bool(peers))
    options = ModelOptions(target, cpu, device, shape, dim, passes, plugin, text_bytes, alias, precision, cascade)
    more = Compilation(fusion, winograd, compiler, database, sample)
    with tempfile.TemporaryDirectory(prefix="edgec-") as folder, progress_bar(quiet=json) as progress:
        artifact = _opened(what, options, more, Path(folder) / "artifact", progress)
        _check_native(artifact)
        inputs = _inputs(artifact, sample)
        if roofline:
            print_roofline(artifact, inputs, seconds, json)
            return 0
        results = measure(source, artifact, inputs, peers, threads, seconds, tolerance, Path(folder))
    _print(results, _notes(artifact, threads), json)
    if plot is not None:
        write_plot(plot, artifact.report["model"] if what.is_dir() else what.stem, results)
    return 1 if any(one.get("mismatch") for one in results.values()) else 0


@dataclass(frozen=True)
class Compilation:
    """What decides how a model is compiled to be timed, beside the shared options."""

    fusion: str = "greedy"
    winograd: str = "auto"
    compiler: str = ""
    database: str | None = None
    sample: Path | None = None

    def given(self) -> list[str]:
        """Return the options that say something."""
        return [f"--{one.name}" for one in fields(self) if getattr(self, one.name) != one.default]


def _model_file(what: Path, model: Path | None, peers: bool) -> Path:
    """The file that other engines run; UsageError where there is none, or two."""
    if not what.is_dir():
        if model is not None:
            raise UsageError("--model names the file that an artifact was compiled from", hint="leave it out")
        return what
    if peers and model is None:
        hint = "name it with --model FILE.onnx, or bench the model itself"
        raise UsageError("--against runs the model's file, which an artifact does not hold", hint=hint)
    if model is not None and not model.is_file():
        raise UsageError(f"there is no file '{escape(str(model))}'")
    return model or what


def _opened(what: Path, options: ModelOptions, more: Compilation, folder: Path, progress: Progress | None) -> Artifact:
    """The artifact in a folder, or that of a model, written to `folder`."""
    from ..driver import compile, load_artifact, load_plugins

    if what.is_dir():
        check_compiled([*options.given(), *more.given()])
        load_plugins(options.plugin or ())
        return load_artifact(what)
    lowering, given = options.lowering(), {**vars(more), "sample": read_sample(more.sample)}
    graph = import_for(what, options, given["sample"] or {})
    return compile(graph, **lowering, **given, output=folder, selftest=False, progress=progress)


def _inputs(artifact: Artifact, sample: Path | None) -> dict[str, np.ndarray]:
    """Those of the golden sample, which holds a sample that was given but where its sizes are open."""
    from ..artifact import stored_inputs

    given = read_sample(sample) if any(kind.is_open for kind in artifact.inputs.values()) else None
    return stored_inputs(artifact) if given is None else given


def _notes(artifact: Artifact, threads: int) -> dict[str, str]:
    """What to know of the times: schedules from a database, threads that take turns."""
    count = os.cpu_count() or 1
    crowded = {"note": f"{threads} threads take turns on {count} processors"} if threads > count else {}
    return {**dict(schedules_outcome(artifact.report)), **crowded}


def read_peers(text: str) -> list[str]:
    """Read `onnxruntime,openvino`."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        check_engine(name)
    return list(dict.fromkeys(names))


def measure(
    model: Path,
    artifact: Artifact,
    inputs: dict[str, np.ndarray],
    peers: Sequence[str],
    threads: int,
    seconds: float,
    tolerance: float,
    folder: Path,
) -> dict[str, dict[str, Any]]:
    """Return a row for each engine: median_ms, min_ms, p95_ms and runs, or an error."""
    from .arrays import write_arrays
    from .bench_process import Engine
    from .engines.holding import held_to

    write_arrays(folder / "inputs.npz", inputs)
    sources = {"edgec": artifact.folder, **{name: model for name in peers}}
    limits, held = ISA_LIMITS.get(artifact.target.isa, {}), held_to(artifact.target.isa)
    engines = [Engine.start(name, source, folder, threads, limits, held) for name, source in sources.items()]
    try:
        for engine in engines:
            engine.wait()
        _check_outputs(engines, tolerance)
        for _ in range(ROUNDS):
            for engine in engines:
                engine.take_times(seconds / ROUNDS)
        return {engine.name: engine.row() for engine in engines}
    finally:
        for engine in engines:
            engine.stop()


def _check_outputs(engines: Sequence[Engine], tolerance: float) -> None:
    """Compare every engine with the peer with which most agree, of those that give results of the model's shapes.

    One that differs takes no part in the timing.
    """
    working = [engine for engine in engines if not engine.error]
    ours = next((engine for engine in working if engine.name == "edgec"), None)
    peers = [engine for engine in working if engine is not ours]
    if ours is not None:
        for peer in peers:
            _differences(ours, peer, tolerance, blamed=peer)
    working = [engine for engine in working if not engine.error]
    found = [(peer, _off(working, peer, tolerance)) for peer in peers if not peer.error]
    reference, others = min(found, key=lambda pair: len(pair[1]), default=(None, []))  # of equals the first
    for engine, worst in others:
        if reference is not None:
            engine.disqualify(f"output '{escape(worst.name)}' is off {reference.name}'s by {worst.worst:.3g}")


def _off(engines: Sequence[Engine], peer: Engine, tolerance: float) -> list[tuple[Engine, Difference]]:
    """The engines that differ from a peer, with the worst output of each."""
    others = [engine for engine in engines if engine is not peer]
    found = [(engine, _differences(engine, peer, tolerance, blamed=engine)) for engine in others]
    worst = [(engine, max(each, key=lambda one: one.worst)) for engine, each in found if each]
    return [(engine, one) for engine, one in worst if not one.ok]


def _differences(engine: Engine, other: Engine, tolerance: float, blamed: Engine) -> list[Difference]:
    """How two engines differ in each output; one is out where they cannot be compared."""
    from ..artifact import compare

    try:
        return compare(engine.outputs(), other.outputs(), tolerance)
    except EdgecError as error:
        blamed.disqualify(error.what)
        return []


def _check_native(artifact: Artifact) -> None:
    if artifact.cannot_run or not artifact.runs_natively:
        reason = artifact.cannot_run or "under an emulator time means nothing"
        what = f"cannot measure target '{escape(artifact.report['target'])}' here: {reason}"
        raise ToolchainError(what, hint="try --target host")


def _print(results: dict[str, dict[str, Any]], notes: dict[str, str], json: bool) -> None:
    if json:
        print_json({name: {**row, **(notes if name == "edgec" else {})} for name, row in results.items()})
        return
    fastest = min((row["median_ms"] for row in results.values() if "median_ms" in row), default=0.0)
    rows = [_cells(name, row, fastest) for name, row in results.items()]
    print_table(("engine", "median ms", "min ms", "p95 ms", "times", "runs", "version"), rows, RIGHT)
    print_facts(notes.items())


RIGHT = ("median ms", "min ms", "p95 ms", "times", "runs")


def _cells(name: str, row: dict[str, Any], fastest: float) -> tuple[str, ...]:
    if "error" in row:
        return (name, "", "", "", "", "", row["error"])
    times = (f"{row[key]:.4f}" for key in ("median_ms", "min_ms", "p95_ms"))
    return (name, *times, f"{row['median_ms'] / fastest:.2f}", str(row["runs"]), row["version"])
