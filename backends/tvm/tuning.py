"""MetaSchedule on top of our own schedules: a search for the time that was asked for, and a database that keeps it.

Everything is measured in this process on this machine, one function at a time. Our own schedules stand in the database
beside what the search finds, so that the best of all is taken, now and whenever the database is used again. TVM reads
it too (`relax.transform.MetaScheduleApplyDatabase`).
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ToolchainError, UsageError
from ...toolchain.emulator import runs_natively
from ..protocol import Goal, Options
from .packages import Package, tirx, tvm
from .program import Argument, Program
from .schedule import NAME, workload

FOLDER = "tuning"
FILES = ("database_workload.json", "database_tuning_record.json")
BATCH = 8
"""Candidates of one function that are measured before the next function has its turn."""

TRIALS = 4096
SEED = 1
meta = Package("tvm.s_tir.meta_schedule")


def tuned(program: Program, goal: Goal, target: Any, folder: Path, options: Options) -> dict[str, Any]:
    """Put the best known schedules into the program, after a search where one is wanted; returns the report's part.

    The database of the artifact that is replaced is taken over; `--option database=DIR` names another one.
    """
    if options.tune <= 0 and not _known(options):
        return {}
    database = _database(options, folder)
    search = Search(program, _with_cores(target), database, options)
    if options.tune > 0:
        if goal.target is None or not runs_natively(goal.target):
            raise UsageError(f"a search measures on this machine, which cannot run code for '{goal.name}'", hint=HINT)
        search.run()
    return {"tuning": {"folder": FOLDER, "candidates": search.measured, "functions": search.apply()}}


HINT = "tune for --target tvm on the device itself, and keep its database"


def _known(options: Options) -> Path | None:
    """The folder of a database that is there already."""
    given = options.extra.get("database")
    if given is not None and not all((Path(given) / name).is_file() for name in FILES):
        raise UsageError("option database names no folder with a database", hint=f"it holds {' and '.join(FILES)}")
    before = None if options.previous is None else options.previous / FOLDER
    candidates = [Path(given)] if given is not None else [before] if before is not None else []
    return next((one for one in candidates if all((one / name).is_file() for name in FILES)), None)


def _database(options: Options, folder: Path) -> Any:
    here = folder / FOLDER
    here.mkdir(parents=True)
    known = _known(options)
    for name in FILES if known is not None else ():
        shutil.copyfile(known / name, here / name)  # type: ignore[operator]
    try:
        return meta.database.JSONDatabase(*(str(here / name) for name in FILES))
    except (RuntimeError, ValueError) as error:
        raise ToolchainError("the tuning database cannot be read", hint="leave it out, and tune again") from error


def _with_cores(target: Any) -> Any:
    """The target as the search wants it: with a number of cores."""
    return tvm.target.Target({**target.export(), "num-cores": 1})


@dataclass
class Task:
    """One function: how often it is called, its entry in the database, its search, and its best time so far."""

    name: str
    calls: int
    entry: Any
    arguments: Sequence[Argument]
    context: Any = None
    rounds: int = 0
    own: float = 0.0
    best: float = 0.0

    @property
    def promise(self) -> float:
        """What its time is worth, less the more it was searched."""
        return self.calls * self.best / (1 + self.rounds)


@dataclass
class Search:
    """Measures candidates of the functions that take most time, until the time is used up."""

    program: Program
    target: Any
    database: Any
    options: Options
    measured: int = 0
    tasks: dict[str, Task] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for call in self.program.calls:
            if call.kernel not in self.tasks:
                entry = self.database.commit_workload(workload(self.program.plain[call.kernel]))
                self.tasks[call.kernel] = Task(call.kernel, 0, entry, call.arguments)
            self.tasks[call.kernel].calls += 1

    def run(self) -> None:
        """Measure our own schedules, then candidates."""
        self.options.say("TVM loads its intrinsics")
        importlib.import_module("tvm.s_tir.tensor_intrin")  # every search wants them, and they take a while
        start = time.monotonic()
        for task in self.tasks.values():
            task.own = task.best = self.measure(workload(self.program.kernels[task.name]), task)
            self.commit(task, self.program.traces[task.name], task.own)
        while (spent := time.monotonic() - start) < self.options.tune:
            task = max(self.tasks.values(), key=lambda one: one.promise)
            self.options.say(f"{spent:.0f} of {self.options.tune:.0f} s, {self.gain():.2f} times as fast")
            if task.promise <= 0:
                break
            self.round(task, start + self.options.tune)

    def gain(self) -> float:
        """How much faster the functions are than with our own schedules."""
        own = sum(one.calls * one.own for one in self.tasks.values())
        return own / (sum(one.calls * one.best for one in self.tasks.values()) or 1.0)

    def round(self, task: Task, deadline: float) -> None:
        """One batch of candidates of a function; what cannot be built or run counts as endless."""
        if task.context is None:
            task.context = self.searching(task)
        task.rounds += 1
        found = task.context.generate_measure_candidates() if task.context is not False else None
        if not found:
            task.rounds = TRIALS
            return
        results = []
        for candidate in found:
            seconds = self.measure(candidate.sch.mod, task) if time.monotonic() < deadline else float("inf")
            if np.isfinite(seconds):
                self.commit(task, candidate.sch.trace, seconds)
                task.best = min(task.best, seconds)
            results.append(meta.runner.RunnerResult([min(seconds, 1e10)], None))
        task.context.notify_runner_results(found, results)

    def searching(self, task: Task) -> Any:
        """The search of one function; False where MetaSchedule finds no space."""
        made = meta.TuneContext(
            workload(self.program.plain[task.name]), target=self.target, space_generator="post-order-apply",
            search_strategy=evolution(), task_name=task.name, rand_state=SEED, num_threads=1,
        )  # fmt: skip
        try:
            made.pre_tuning(TRIALS, BATCH, made.generate_design_space(), self.database, cost_model())
        except (RuntimeError, ValueError, TypeError):
            return False
        return made

    def measure(self, module: Any, task: Task) -> float:
        """Seconds of one run; infinity where the function does not build."""
        try:
            function = tirx.build(module, target=self.target)[NAME]
        except (RuntimeError, ValueError, TypeError):
            return float("inf")
        self.measured += 1
        arrays = [tvm.runtime.tensor(_filled(argument)) for argument in task.arguments]
        function(*arrays)
        return _seconds(function, arrays)

    def commit(self, task: Task, trace: Any, seconds: float) -> None:
        shapes = meta.arg_info.ArgInfo.from_prim_func(self.program.plain[task.name])
        self.database.commit_tuning_record(
            meta.database.TuningRecord(trace, task.entry, [seconds], self.target, shapes)
        )

    def apply(self) -> dict[str, dict[str, float]]:
        """Take the best schedule of each function; returns its time, and that of our own where it was measured."""
        rows: dict[str, dict[str, float]] = {}
        for name in self.tasks:
            module = workload(self.program.plain[name])
            record = self.database.query_tuning_record(module, self.target, NAME)
            if record is None:
                continue
            schedule = Package("tvm.s_tir").Schedule(module)
            record.trace.apply_to_schedule(schedule, remove_postproc=False)
            self.program.kernels[name] = schedule.mod[NAME]
            rows[name] = {"us": round(float(record.run_secs[0]) * 1e6, 3)}
        return rows


def evolution() -> Any:
    """A small population: candidates here cost about as much to measure as to make."""
    return meta.search_strategy.EvolutionarySearch(
        population_size=4 * BATCH, init_min_unmeasured=BATCH, max_fail_count=2, genetic_num_iters=2
    )


def cost_model() -> Any:
    """What guesses which candidates are worth measuring: boosted trees where xgboost is installed."""
    return meta.CostModel.create("xgb" if importlib.util.find_spec("xgboost") else "random")


def _filled(argument: Argument) -> np.ndarray:
    kind = np.dtype(argument.slot.dtype)
    if argument.slot.array is not None:
        return argument.slot.array.reshape(argument.shape)
    return np.full(argument.shape, 1, kind) if kind.kind != "f" else np.full(argument.shape, 0.5, kind)


def _seconds(function: Any, arrays: Sequence[Any]) -> float:
    """The least of a few runs, after one to warm up."""
    start = time.perf_counter()
    function(*arrays)
    once = time.perf_counter() - start
    count = int(min(max(0.02 / max(once, 1e-6), 3), 200))
    return min(_timed(function, arrays) for _ in range(count))


def _timed(function: Any, arrays: Sequence[Any]) -> float:
    start = time.perf_counter()
    function(*arrays)
    return time.perf_counter() - start
