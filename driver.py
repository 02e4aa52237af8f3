"""From a model to an artifact: import, quantization, passes, backend. The only place that knows all floors."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .artifact import Artifact, check_output, check_threads, sample_for, staged
from .artifact.report import NAME, is_artifact, read_report, write_report
from .backends import Backend, Goal, Lowered, Options, find_backend, find_goal
from .choosing import choose_passes
from .clock import Clock, Progress
from .errors import Mismatch, UsageError
from .escaping import escape
from .ir import Graph
from .ir.aliases import declare_aliases
from .ir.dims import Size
from .ir.files import load
from .ir.types import TEXT_BYTES
from .kernels.schedules import Book
from .open_sizes import bounds_of, check_open, largest, probed, takes_probes
from .passes import PassManager, load_installed, load_plugin
from .prune_step import PRUNING_NAME, PruneRequest, prune_request
from .pruning import Config as Pruning
from .quantization import Config, Source
from .quantization.metrics import Metric
from .quantizing import CONFIG_NAME, Plan, Request, clean_up, request
from .refusals import imported, passed
from .reporting import report_of
from .targets import Target
from .tuning import Tuning

Model = str | Path | bytes | Graph
COMPILER_PHASES = ("build", "selftest", "engine")
"""Phases in which other programs work."""


def compile(
    model: Model,
    target: str | Target | Goal = "host",
    *,
    cpu: str | None = None,
    output: str | Path | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, Size] | None = None,
    aliases: Mapping[str, str] | None = None,
    text_bytes: int = TEXT_BYTES,
    passes: str | None = None,
    plugins: Sequence[str | Path] = (),
    fusion: str = "greedy",
    winograd: str = "auto",
    precision: str = "f32",
    cascade: str = "speed",
    verify: bool = False,
    dump: str | Path | None = None,
    build: bool = True,
    selftest: bool = True,
    sample: Mapping[str, Any] | None = None,
    keep: bool = False,
    compiler: str = "",
    threads: int = 1,
    progress: Progress | None = None,
    quantize: str | Path | Config | None = None,
    calibration: Source | None = None,
    evaluation: Source | None = None,
    metric: str | Metric = "top1",
    max_accuracy_drop: float | None = None,
    veto: bool | None = None,
    prune: str | Path | float | Pruning | None = None,
    tune: float = 0.0,
    database: str | Path | None = None,
    runner: str = "",
    options: Mapping[str, str] | None = None,
) -> Artifact:
    """Compile a model (a path, the bytes of an ONNX file or a graph) and return the artifact, ready to be called.

    `shapes` and `dims` fix what the model leaves open; `{"batch": (1, 8)}` leaves it open between bounds, so that the
    artifact runs every size, and `{"total": "past+1"}` makes one of others. `aliases` names inputs that share their
    buffer with an output, `{"past": "present"}`: a state that is updated, a cache that grows in place. A string may
    have `text_bytes` bytes. `output` is the folder to write, all at once or not at all; an artifact that is there is
    replaced. Without it the folder is temporary and lives as long as the returned object.
    `passes` and `fusion` choose passes and fusion strategy, `winograd` the forms of 3x3 convolutions (`off`, `auto`,
    `growth=1.5`, as the pass takes them), `precision` is that of products (`f32`, `bf16`, `f16`), `cascade` is what
    runs of layers are computed by rows for (`speed`, `memory`, `off`). `plugins` are Python files that bring passes of
    their own. `verify` checks the graph after every pass, `dump` is a folder for the graph after each.
    `build` and `selftest` call the C compiler and run the self-test where that is possible; `report` says why where it
    is not. The self-test is made of `sample`, arrays by input name, or of random inputs. If it fails, `Mismatch` is
    raised and nothing left, or with `keep` the artifact. `threads` is how many the returned object runs on, 1 to 1024.

    `quantize` names a scheme (`int8`, `w4a8`, ...) or a TOML file; `calibration` is an .npz file, a folder of .npy
    files, arrays by input name or a function that gives samples. With `evaluation` data, which has `labels`, the report
    tells the `metric` (`top1`, `FILE.py:function` or a function) before and after; `max_accuracy_drop` bounds the
    difference (0.005: half a point) by keeping layers in float, BudgetError where that is impossible. Layers that 8-bit
    integers would make slower on the target stay in float too, unless `veto` is False or a TOML file names them.

    `prune` takes weights or channels away first: a share of the weights (0.7), `2:4`, `channels:0.25` or a TOML file.
    What stays is fitted to the calibration data, if there is any; with a bound each layer gets as much as it bears.

    The target decides which backend writes the artifact. `tune` gives one that can search schedules that many seconds;
    `options` are options of the backend's own. `database` is the file that keeps what a search measured, or `cache`,
    the user's own, where a search keeps it without this; compiling takes schedules from there only if it is named or
    searched. `off` takes none at all, not even those that come with edgec. `runner` is a command that runs a program
    on the device, `{}` standing for its path: a search for another machine needs one.
    """
    pruning = prune_request(prune, calibration, evaluation, metric, max_accuracy_drop)
    given = (calibration, evaluation, metric, max_accuracy_drop, veto)
    wanted = None if quantize is None and pruning is not None else request(quantize, *given)
    if output is not None:
        check_output(Path(output))
    check_threads(threads)
    load_plugins(plugins)
    goal = target if isinstance(target, Goal) else find_goal(target, cpu)
    lowering = functools.partial(
        lower, model, goal, shapes=shapes, dims=dims, aliases=aliases, text_bytes=text_bytes, passes=passes,
        plugins=plugins, fusion=fusion, precision=precision, quantization=wanted, pruning=pruning, sample=sample,
    )  # fmt: skip
    wish = Tuning(tune, database, compiler, runner, winograd, wanted is None and pruning is None, progress)
    options = wish.options(goal, options or {})
    found, book = wish.schedules(goal, lambda form, book: lowering(winograd=form, book=book, cascade="off").graph)
    lowered = lowering(winograd=winograd, cascade=cascade, verify=verify, dump=dump, progress=progress, book=book)
    lowered.tuning = found
    return assemble(
        lowered, output=output, dump=dump, build=build, selftest=selftest, keep=keep, compiler=compiler,
        threads=threads, progress=progress, tune=tune, options=options,
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
    tune: float = 0.0,
    options: Mapping[str, str] | None = None,
) -> Artifact:
    """The second half of `compile`: from a lowered model to its artifact; arguments as `compile` takes them."""
    temporary = None
    if output is None:
        temporary = tempfile.TemporaryDirectory(prefix="edgec-")
        output = Path(temporary.name) / "artifact"
    backend, clock = lowered.goal.backend, Clock.of(lowered, progress)
    wanted = Options(
        build, selftest, compiler, tune, Path(dump) if dump else None, _previous(Path(output)), dict(options or {}),
        clock.named_phase, clock.say,
    )  # fmt: skip
    verdict = _write(lowered, Path(output), wanted, keep)
    lowered.times["total"] = sum(lowered.times.values())
    lowered.times["without_compiler"] = lowered.times["total"] - sum(lowered.times.get(n, 0.0) for n in COMPILER_PHASES)
    if verdict["status"] == "failed":
        raise _selftest_failed(verdict, Path(output) if keep else None)
    artifact = backend.load(Path(output), threads)
    artifact.times = lowered.times
    artifact._owned = temporary
    return artifact


def load_artifact(folder: str | Path, threads: int = 1) -> Artifact:
    """Open the artifact in `folder`; UsageError if there is none, ModelError if it is damaged."""
    return backend_of(Path(folder)).load(Path(folder), threads)


def backend_of(folder: Path) -> Backend:
    """The backend that wrote an artifact."""
    return find_backend(read_report(folder).get("backend", "c"))


def lower(
    model: Model,
    target: str | Target | Goal = "host",
    *,
    cpu: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, Size] | None = None,
    aliases: Mapping[str, str] | None = None,
    text_bytes: int = TEXT_BYTES,
    passes: str | None = None,
    plugins: Sequence[str | Path] = (),
    fusion: str = "greedy",
    winograd: str = "auto",
    precision: str = "f32",
    cascade: str = "speed",
    verify: bool = False,
    dump: str | Path | None = None,
    progress: Progress | None = None,
    quantization: Request | None = None,
    pruning: PruneRequest | None = None,
    book: Book | None = None,
    sample: Mapping[str, Any] | None = None,
) -> Lowered:
    """Import a model and run the passes on it; arguments as for `compile`, `quantization` from `request`.

    `pruning` is from `prune_request`, `book` knows schedules (None: those that come with edgec).
    """
    load_plugins(plugins)
    goal = target if isinstance(target, Goal) else find_goal(target, cpu)
    _check_goal(goal, aliases)
    bounds = bounds_of(dims) if takes_probes(goal) else {}
    chosen = choose_passes(goal, passes, fusion, winograd, precision, book, cascade)
    costed = goal.target if goal.backend.name == "c" else None  # the cost tables are of its kernels
    plan = Plan.of(chosen, suited(quantization, goal), pruning, costed, lambda *tried: clock.say(_trial(*tried)))
    clock = Clock({}, progress, len(plan.passes), goal.backend.phases)
    with clock.phase("import", 0):
        numbers = largest(dims) if takes_probes(goal) else dims
        graph = name_all(imported(lambda: import_model(model, shapes, numbers, text_bytes), goal, chosen))
    check_open([*bounds, *graph.symbols], goal, quantization is not None or pruning is not None)
    declare_aliases(graph, aliases or {})
    original = graph.copy()
    chosen_sample = None if sample is None else sample_for(original, sample)
    manager = PassManager(plan.passes, verify, dump=_dump_folder(dump), check_modified=verify, progress=clock.each_pass)
    with clock.phase("passes", 1):
        graph = passed(graph, goal, manager)
        sizes = probed(bounds, largest(dims) if bounds else {}, _again(model, goal, shapes, passes, fusion, text_bytes))
    reference, first = plan.reference(original), chosen_sample or plan.sample(original)
    return Lowered(
        model_name(model), goal, original, graph, manager.records, reference, plan.quantized, first, clock.times,
        plan.pruned, sizes, book,
    )  # fmt: skip


def _check_goal(goal: Goal, aliases: Mapping[str, str] | None) -> None:
    """UsageError where a goal takes no aliases, ToolchainError where its backend lacks something."""
    if aliases and goal.backend.name != "c":
        raise UsageError(f"target '{goal.name}' takes no --alias", hint="targets of the C backend do")
    missing = goal.backend.missing(goal)
    if missing is not None:
        raise missing.error(goal.backend.name)


def _trial(what: str, number: int, count: int) -> str:
    return f"{what} ({number + 1} of {count})"


def _again(
    model: Model, goal: Goal, shapes: Mapping[str, Sequence[int]] | None, passes: str | None, fusion: str,
    text_bytes: int,
) -> Callable[[dict[str, int]], Graph]:  # fmt: skip
    """What makes the graph that the passes leave, for other sizes."""
    return lambda dims: PassManager(choose_passes(goal, passes, fusion)).run(
        name_all(import_model(model, shapes, dims, text_bytes))
    )


def suited(quantization: Request | None, goal: Goal) -> Request | None:
    """The request with the schemes that a goal computes on in the place of those that it does not."""
    schemes: Mapping[str, str] = goal.settings.get("schemes", {})
    if quantization is None or not schemes:
        return quantization
    return replace(quantization, config=quantization.config.with_schemes(schemes))


def canonical(
    model: Model,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, Size] | None = None,
    text_bytes: int = TEXT_BYTES,
    passes: str | None = None,
    plugins: Sequence[str | Path] = (),
) -> Graph:
    """Import a model and clean it up: the form that quantization starts from."""
    load_plugins(plugins)
    clean = clean_up(choose_passes(find_goal("host"), passes))
    return PassManager(clean).run(name_all(import_model(model, shapes, dims, text_bytes)))


def _dump_folder(dump: str | Path | None) -> Path | None:
    if dump is None:
        return None
    try:
        Path(dump).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to '{escape(str(dump))}': {error.strerror}") from error
    return Path(dump)


def import_model(
    model: Model, shapes: Mapping[str, Sequence[int]] | None = None, dims: Mapping[str, Size] | None = None,
    text_bytes: int = TEXT_BYTES,
) -> Graph:  # fmt: skip
    """Return the graph of a model, in numpy-evaluable form; a graph is copied."""
    if isinstance(model, Graph):
        return model.copy()
    fixed = {name: tuple(shape) for name, shape in (shapes or {}).items()}
    options: dict[str, Any] = {"shapes": fixed, "dims": dict(dims or {}), "text_bytes": text_bytes}
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


def _write(lowered: Lowered, output: Path, options: Options, keep: bool) -> Mapping[str, Any]:
    """Write the artifact unless its self-test fails; returns the self-test's verdict."""
    with staged(output) as stage:
        built = lowered.goal.backend.build(lowered, stage.folder, options)
        if lowered.quantized is not None:  # what makes the same quantization again
            (stage.folder / CONFIG_NAME).write_bytes(lowered.quantized.config.text().encode())
        if lowered.pruned is not None:
            (stage.folder / PRUNING_NAME).write_bytes(lowered.pruned.config.text().encode())
        (stage.folder / NAME).write_bytes(write_report(report_of(lowered, built)))
        stage.keep = keep or built.selftest["status"] != "failed"
    return built.selftest


def _previous(output: Path) -> Path | None:
    return output if output.is_dir() and is_artifact(output) else None


def _selftest_failed(verdict: Mapping[str, Any], kept: Path | None) -> Mismatch:
    hint = f"the artifact is in '{escape(str(kept))}'" if kept else "nothing was written; --keep writes it all the same"
    return Mismatch(f"the self-test failed: {verdict['reason']}", hint=hint)
