"""From a model to an artifact: import, passes, backend, C compiler, self-test. The only place that knows all floors."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .artifact import Artifact, check_output, golden_bytes, golden_sample, staged
from .artifact.building import build_artifact, run_selftest
from .artifact.report import FORMAT, NAME, write_report
from .backends.c import emit
from .backends.c.support import support_files
from .errors import Mismatch, UsageError
from .escaping import escape
from .ir import Graph, Note, Value
from .ir.files import load
from .passes import Pass, PassManager, PassRecord, default_pipeline, load_installed, load_plugin, parse_passes
from .quantization import Config, Quantized, Source
from .quantization.metrics import Metric
from .quantizing import CONFIG_NAME, Plan, Request, clean_up, request
from .targets import Target, get_target

Model = str | Path | bytes | Graph
Progress = Callable[[str, int, int], None]
"""Called when a step begins, with what it does, its number from 0 and how many there are."""

STEPS = 5
COMPILER_PHASES = ("build", "selftest")


@dataclass
class Lowered:
    """A model on its way: as it came, as the passes left it (planned), what they did, and the seconds of each phase.

    `reference` is the graph that says what the artifact computes: as imported, for quantized models that of integers.
    `sample` are inputs for it that were given as calibration data.
    """

    name: str
    target: Target
    imported: Graph
    graph: Graph
    records: list[PassRecord]
    reference: Graph
    quantized: Quantized | None = None
    sample: dict[str, np.ndarray] | None = None
    times: dict[str, float] = field(default_factory=dict)


def compile(
    model: Model,
    target: str | Target = "host",
    *,
    cpu: str | None = None,
    output: str | Path | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    passes: str | None = None,
    plugins: Sequence[str | Path] = (),
    fusion: str = "greedy",
    verify: bool = False,
    dump: str | Path | None = None,
    build: bool = True,
    selftest: bool = True,
    keep: bool = False,
    compiler: str = "",
    threads: int = 1,
    progress: Progress | None = None,
    quantize: str | Path | Config | None = None,
    calibration: Source | None = None,
    evaluation: Source | None = None,
    metric: str | Metric = "top1",
    max_accuracy_drop: float | None = None,
) -> Artifact:
    """Compile a model (a path, the bytes of an ONNX file or a graph) and return the artifact, ready to be called.

    `shapes` and `dims` fix what the model leaves open. `output` is the folder to write, all at once or not at all; an
    artifact that is there is replaced. Without it the folder is temporary and lives as long as the returned object.
    `passes` and `fusion` choose passes and fusion strategy, `plugins` are Python files that bring their own. `verify`
    checks the graph after every pass, `dump` is a folder for the graph after each. `build` and `selftest` call the C
    compiler and run the self-test where that is possible; `report` says why where it is not. A failed self-test raises
    `Mismatch` and leaves nothing, or with `keep` the artifact. `threads` is how many the returned object runs on.

    `quantize` names a scheme (`int8`, `w4a8`, ...) or a TOML file; `calibration` is an .npz file, a folder of .npy
    files, arrays by input name or a function that gives samples. With `evaluation` data, which has `labels`, the report
    tells the `metric` (`top1`, `FILE.py:function` or a function) before and after; `max_accuracy_drop` bounds the
    difference (0.005: half a point) by keeping layers in float, BudgetError where that is impossible.
    """
    wanted = request(quantize, calibration, evaluation, metric, max_accuracy_drop)
    if output is not None:
        check_output(Path(output))
    lowered = lower(
        model, target, cpu=cpu, shapes=shapes, dims=dims, passes=passes, plugins=plugins, fusion=fusion,
        verify=verify, dump=dump, progress=progress, quantization=wanted,
    )  # fmt: skip
    return assemble(
        lowered, output=output, dump=dump, build=build, selftest=selftest, keep=keep, compiler=compiler,
        threads=threads, progress=progress,
    )  # fmt: skip


def assemble(
    lowered: Lowered,
    *,
    output: str | Path | None = None,
    dump: str | Path | None = None,
    build: bool = True,
    selftest: bool = True,
    keep: bool = False,
    compiler: str = "",
    threads: int = 1,
    progress: Progress | None = None,
) -> Artifact:
    """The second half of `compile`: from a lowered model to its artifact; arguments as `compile` takes them."""
    temporary = None
    if output is None:
        temporary = tempfile.TemporaryDirectory(prefix="edgec-")
        output = Path(temporary.name) / "artifact"
    work = _Work(lowered, _Clock(lowered.times, progress, len(lowered.records)), compiler)
    verdict = work.write(Path(output), build, selftest, keep, Path(dump) if dump else None)
    lowered.times["total"] = sum(lowered.times.values())
    lowered.times["without_compiler"] = lowered.times["total"] - sum(lowered.times.get(n, 0.0) for n in COMPILER_PHASES)
    if verdict["status"] == "failed":
        raise _selftest_failed(verdict, Path(output) if keep else None)
    artifact = Artifact(Path(output), threads, lowered.times)
    artifact._owned = temporary
    return artifact


def lower(
    model: Model,
    target: str | Target = "host",
    *,
    cpu: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    passes: str | None = None,
    plugins: Sequence[str | Path] = (),
    fusion: str = "greedy",
    verify: bool = False,
    dump: str | Path | None = None,
    progress: Progress | None = None,
    quantization: Request | None = None,
) -> Lowered:
    """Import a model and run the passes on it; arguments as for `compile`, `quantization` from `request`."""
    goal = target if isinstance(target, Target) else get_target(target, cpu)
    load_plugins(plugins)
    plan = Plan.of(choose_passes(goal, passes, fusion), quantization)
    times: dict[str, float] = {}
    clock = _Clock(times, progress, len(plan.passes))
    with clock.phase("import", 0):
        graph = name_all(import_model(model, shapes, dims))
    imported = graph.copy()
    manager = PassManager(plan.passes, verify, dump=_dump_folder(dump), check_modified=verify, progress=clock.each_pass)
    with clock.phase("passes", 1):
        graph = manager.run(graph)
    reference, sample = plan.reference(imported), plan.sample(imported)
    return Lowered(
        model_name(model), goal, imported, graph, manager.records, reference, plan.quantized, sample, times
    )  # fmt: skip


def canonical(
    model: Model,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    passes: str | None = None,
    plugins: Sequence[str | Path] = (),
) -> Graph:
    """Import a model and clean it up: the form that quantization starts from."""
    load_plugins(plugins)
    clean = clean_up(choose_passes(get_target("host"), passes))
    return PassManager(clean).run(name_all(import_model(model, shapes, dims)))


def _dump_folder(dump: str | Path | None) -> Path | None:
    if dump is None:
        return None
    try:
        Path(dump).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to '{escape(str(dump))}': {error.strerror}") from error
    return Path(dump)


def import_model(
    model: Model, shapes: Mapping[str, Sequence[int]] | None = None, dims: Mapping[str, int] | None = None
) -> Graph:
    """Return the graph of a model, in numpy-evaluable form; a graph is copied."""
    if isinstance(model, Graph):
        return model.copy()
    fixed = {name: tuple(shape) for name, shape in (shapes or {}).items()}
    options: dict[str, Any] = {"shapes": fixed, "dims": dict(dims or {})}
    if isinstance(model, bytes):
        from .ir.onnx_import import load as load_onnx

        return load_onnx(model, **options)
    if Path(model).suffix == ".ir" and (shapes or dims):
        raise UsageError("an .ir file has fixed shapes", hint="leave out --shape and --dim")
    return load(Path(model), **(options if Path(model).suffix != ".ir" else {}))


def name_all(graph: Graph) -> Graph:
    """Give each input and output that has no name one of its own; returns the graph."""
    for place, value in enumerate(graph.inputs):
        value.name = value.name or _free_name(f"input{place}", [v.name for v in graph.inputs])
    for place, name in enumerate(graph.output_names):
        graph.output_names[place] = name or _free_name(f"output{place}", graph.output_names)
    return graph


def _free_name(name: str, taken: Sequence[str]) -> str:
    return _free_name(f"{name}_", taken) if name in taken else name


def model_name(model: Model) -> str:
    """Return what to call a model: the stem of its file, the name of its graph."""
    if isinstance(model, Graph):
        return model.name
    return "model" if isinstance(model, bytes) else Path(model).stem


def load_plugins(plugins: Sequence[str | Path]) -> None:
    """Take in what installed packages bring, and run Python files that bring passes, ops or fusion strategies."""
    load_installed()
    for plugin in plugins:
        load_plugin(plugin)


def choose_passes(target: Target, passes: str | None = None, fusion: str = "greedy") -> list[Pass]:
    """Return the passes to run for a target: the default pipeline, or what the text `passes` makes of it."""
    chosen = default_pipeline(target, "c", {"fuse": {"strategy": fusion}})
    return parse_passes(passes, chosen) if passes else chosen


@dataclass
class _Clock:
    """Takes the time of phases and tells the caller about them."""

    times: dict[str, float]
    progress: Progress | None
    passes: int

    @contextmanager
    def phase(self, name: str, number: int) -> Iterator[None]:
        self.tell(name, number)
        start = time.perf_counter()
        yield
        self.times[name] = time.perf_counter() - start

    def each_pass(self, name: str, position: int, _: int) -> None:
        self.tell(f"pass {name}", 1 + position)

    def tell(self, name: str, number: int) -> None:
        if self.progress is not None:
            self.progress(name, number, STEPS + self.passes)


@dataclass
class _Work:
    """The second half of a compilation: from the planned graph to the folder."""

    lowered: Lowered
    clock: _Clock
    compiler: str

    def write(self, output: Path, build: bool, selftest: bool, keep: bool, dump: Path | None) -> dict[str, Any]:
        """Write the artifact unless its self-test fails; returns the self-test's verdict."""
        files, report = self.emit()
        if dump is not None:
            (dump / "99-model.c").write_bytes(files["model.c"])
        with staged(output) as stage:
            _write_files(stage.folder, files)
            report["toolchain"] = self.build(stage.folder, build)
            verdict = report["selftest"] = self.test(stage.folder, report["toolchain"], selftest)
            (stage.folder / NAME).write_bytes(write_report(report))
            stage.keep = keep or verdict["status"] != "failed"
        return verdict

    def emit(self) -> tuple[dict[str, bytes], dict[str, Any]]:
        lowered, first = self.lowered, len(self.lowered.records) + 1
        if lowered.graph.stage != "planned":
            hint = "change the default list by '+name' and '-name'"
            raise UsageError(f"the passes leave the graph in stage '{lowered.graph.stage}', not planned", hint=hint)
        with self.clock.phase("emit", first):
            emitted = emit(lowered.graph, lowered.target)
        report = _report(lowered, emitted.report)
        support = support_files(report["inputs"], report["outputs"], lowered.target)
        with self.clock.phase("golden", first + 1):
            golden = golden_bytes(*golden_sample(lowered.reference, lowered.sample))
        return {**emitted.files, **support, **_config(lowered), "golden.bin": golden}, report

    def build(self, folder: Path, wanted: bool) -> dict[str, Any]:
        if not wanted:
            return {"built": False, "reason": "building was not asked for"}
        with self.clock.phase("build", len(self.lowered.records) + 3):
            return build_artifact(folder, self.lowered.target, self.compiler)

    def test(self, folder: Path, toolchain: Mapping[str, Any], wanted: bool) -> dict[str, Any]:
        if not wanted or not toolchain["built"]:
            reason = toolchain["reason"] if wanted else "it was not asked for"
            return {"status": "not run", "reason": reason, "worst": None}
        with self.clock.phase("selftest", len(self.lowered.records) + 4):
            return run_selftest(folder, self.lowered.target)


def _report(lowered: Lowered, emitted: Mapping[str, Any]) -> dict[str, Any]:
    target = lowered.target
    about = {"format": FORMAT, "edgec": __version__, "model": escape(lowered.name), "target": target.name}
    about |= {"row": target.row, "isa": target.isa, "cpu": target.cpu, "features": list(target.features)}
    names = {"inputs": [v.name for v in lowered.graph.inputs], "outputs": lowered.graph.output_names}
    about |= {which: _tensors(names[which], getattr(lowered.graph, which)) for which in names}
    passes = [{"name": one.name, "changed": one.changed, "fired": dict(one.fired)} for one in lowered.records]
    notes = [note_row(note) for note in lowered.graph.journal]
    done = {} if lowered.quantized is None else {"quantization": lowered.quantized.report}
    return {**about, **{k: v for k, v in emitted.items() if k not in about}, "passes": passes, "notes": notes, **done}


def _config(lowered: Lowered) -> dict[str, bytes]:
    """The file that makes the same quantization again."""
    return {} if lowered.quantized is None else {CONFIG_NAME: lowered.quantized.config.text().encode()}


def _tensors(names: Sequence[str], values: Sequence[Value]) -> list[dict[str, Any]]:
    return [
        {"name": name, "dtype": value.dtype.name, "shape": list(value.shape), "bytes": value.type.bytes}
        for name, value in zip(names, values, strict=True)
    ]


def note_row(note: Note) -> dict[str, str]:
    """Return a recorded decision as the report holds it."""
    node, other = (str(origin) if origin else "" for origin in (note.origin, note.other))
    return {"source": note.source, "reason": note.reason, "node": node, "other": other}


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in sorted(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _selftest_failed(verdict: Mapping[str, Any], kept: Path | None) -> Mismatch:
    hint = f"the artifact is in '{escape(str(kept))}'" if kept else "nothing was written; --keep writes it all the same"
    return Mismatch(f"the self-test failed: {verdict['reason']}", hint=hint)
