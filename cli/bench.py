"""`bench`: edgec and other engines on the same model, in turns, each in a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EdgecError, ToolchainError, UsageError
from ..escaping import escape
from .bench_plot import write_plot
from .engines import ENGINES, check_engine
from .options import (
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
    ShapeOption,
    TargetOption,
    ThreadsOption,
    ToleranceOption,
    WinogradOption,
)
from .output import print_json, print_table
from .progress import progress_bar
from .roofline import roofline as print_roofline
from .verify import import_for

if TYPE_CHECKING:
    import numpy as np

    from ..artifact import Artifact
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
SecondsOption = Annotated[float, typer.Option("--seconds", min=0.05, help="How long each engine runs in all.")]

RooflineOption = Annotated[
    bool, typer.Option("--roofline", help="Time each layer, beside the least that this machine could take for it.")
]


def command(
    model: ModelArgument,
    target: TargetOption = "host",
    cpu: CpuOption = "",
    device: DeviceOption = "",
    threads: ThreadsOption = 1,
    against: AgainstOption = "",
    roofline: RooflineOption = False,
    seconds: SecondsOption = 3.0,
    tolerance: ToleranceOption = 1e-3,
    shape: ShapeOption = None,
    dim: DimOption = None,
    passes: PassesOption = "",
    plugin: PluginOption = None,
    fusion: FusionOption = "greedy",
    winograd: WinogradOption = "auto",
    compiler: CompilerOption = "",
    plot: PlotOption = None,
    json: JsonOption = False,
) -> int:
    """Time a compiled model, next to other engines where asked for; outputs must agree before a time counts."""
    from ..artifact import golden_inputs
    from ..driver import compile

    peers = read_peers(against)
    if roofline and (peers or threads != 1):
        raise UsageError("--roofline times the layers of one model on one thread", hint="leave --against and --threads")
    options = ModelOptions(target, cpu, device, shape, dim, passes, plugin)
    lowering = options.lowering()
    graph = import_for(model, options, {})
    with tempfile.TemporaryDirectory(prefix="edgec-") as folder, progress_bar(quiet=json) as progress:
        artifact = compile(
            graph, **lowering, output=Path(folder) / "artifact", fusion=fusion, winograd=winograd, compiler=compiler,
            selftest=False, progress=progress,
        )  # fmt: skip
        _check_native(artifact)
        if roofline:
            print_roofline(artifact, golden_inputs(graph), seconds, json)
            return 0
        results = measure(model, artifact, golden_inputs(graph), peers, threads, seconds, tolerance, Path(folder))
    _print(results, json)
    if plot is not None:
        write_plot(plot, model.stem, results)
    return 1 if any(one.get("mismatch") for one in results.values()) else 0


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
    """Compare every engine with the first peer that works; one that differs takes no part in the timing."""
    from ..artifact import compare

    working = [engine for engine in engines if not engine.error]
    reference = next((engine for engine in working if engine.name != "edgec"), None)
    for engine in working:
        if reference is None or engine is reference:
            continue
        try:
            worst = max(compare(engine.outputs(), reference.outputs(), tolerance), key=lambda one: one.worst)
        except EdgecError as error:
            engine.disqualify(error.what)
            continue
        if not worst.ok:
            engine.disqualify(f"output '{escape(worst.name)}' is off {reference.name}'s by {worst.worst:.3g}")


def _check_native(artifact: Artifact) -> None:
    if artifact.cannot_run or not artifact.runs_natively:
        reason = artifact.cannot_run or "under an emulator time means nothing"
        raise ToolchainError(f"cannot measure target '{artifact.target.name}' here: {reason}", hint="try --target host")


def _print(results: dict[str, dict[str, Any]], json: bool) -> None:
    if json:
        print_json(results)
        return
    fastest = min((row["median_ms"] for row in results.values() if "median_ms" in row), default=0.0)
    rows = [_cells(name, row, fastest) for name, row in results.items()]
    print_table(("engine", "median ms", "min ms", "p95 ms", "times", "runs", "version"), rows, RIGHT)


RIGHT = ("median ms", "min ms", "p95 ms", "times", "runs")


def _cells(name: str, row: dict[str, Any], fastest: float) -> tuple[str, ...]:
    if "error" in row:
        return (name, "", "", "", "", "", row["error"])
    times = (f"{row[key]:.4f}" for key in ("median_ms", "min_ms", "p95_ms"))
    return (name, *times, f"{row['median_ms'] / fastest:.2f}", str(row["runs"]), row["version"])
