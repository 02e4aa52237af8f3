"""A search for better schedules by MetaSchedule: one function after the other, those first that take most time."""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..protocol import Options
from .measuring import on_one_thread, seconds_in_place, seconds_of
from .packages import Package
from .program import Argument, Program
from .schedule import NAME, workload

BATCH = 8
"""Candidates of one function that are measured before the next function has its turn."""
TRIALS = 4096
SEED = 1
LAST_PART = 0.1
"""Part of the time in which the best of the search and our own schedules run in turns, the whole network each."""
FEWEST_TURNS = 5
WORTH = 0.98
"""A schedule from the search is taken where its time is below this part of our own's."""

meta = Package("tvm.s_tir.meta_schedule")


@dataclass
class Found:
    """A schedule: the function and what was done to make it."""

    function: Any
    trace: Any
    seconds: float


@dataclass
class Task:
    """One function: how often it is called, our own schedule, the best one, and the search for better ones."""

    name: str
    plain: Any
    arguments: Sequence[Argument]
    own: Found
    best: Found
    calls: int = 0
    entry: Any = None
    context: Any = None
    rounds: int = 0

    @property
    def promise(self) -> float:
        """What its time is worth, less the more it was searched."""
        return self.calls * self.best.seconds / (1 + self.rounds)


@dataclass
class Search:
    """Measures candidates until the time is used up; `known` is a database of an earlier search, or None."""

    program: Program
    target: Any
    known: Any
    options: Options
    measured: int = 0
    tasks: dict[str, Task] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seen = meta.database.MemoryDatabase()
        for call in self.program.calls:
            if call.kernel not in self.program.traces:
                continue  # loops that were written out: there is nothing to schedule
            if call.kernel not in self.tasks:
                self.tasks[call.kernel] = self.task(call.kernel, call.arguments)
            self.tasks[call.kernel].calls += 1

    def task(self, name: str, arguments: Sequence[Argument]) -> Task:
        own = Found(self.program.kernels[name], self.program.traces[name], 0.0)
        made = Task(name, self.program.plain[name], arguments, own, own)
        made.entry = self.seen.commit_workload(workload(made.plain))
        return made

    def run(self) -> None:
        """Search, then leave in `best` of each task what is faster in its place in the network."""
        self.options.say("TVM loads its intrinsics")
        importlib.import_module("tvm.s_tir.tensor_intrin")  # every search wants them, and they take a while
        on_one_thread()
        start = time.monotonic()
        for task in self.tasks.values():
            self.begin(task)
        deadline = start + self.options.tune * (1 - LAST_PART)
        while (now := time.monotonic()) < deadline:
            task = max(self.tasks.values(), key=lambda one: one.promise)
            self.options.say(f"{now - start:.0f} of {self.options.tune:.0f} s, {self.gain():.2f} times as fast")
            if task.promise <= 0:
                break
            self.round(task, deadline)
        self.options.say("the best of the search against our own schedules")
        self.confirm(start + self.options.tune)

    def gain(self) -> float:
        """How much faster the functions are than with our own schedules."""
        own = sum(one.calls * one.own.seconds for one in self.tasks.values())
        return own / (sum(one.calls * one.best.seconds for one in self.tasks.values()) or 1.0)

    def begin(self, task: Task) -> None:
        """Measure our own schedule, and what an earlier search found."""
        task.own.seconds = self.measure(task.own.function, task)
        self.note(task, task.own)
        earlier = applied(self.known, task.plain, self.target) if self.known is not None else None
        if earlier is not None:
            earlier.seconds = self.measure(earlier.function, task)
            self.note(task, earlier)

    def round(self, task: Task, deadline: float) -> None:
        """One batch of candidates of a function; what cannot be built or run counts as endless."""
        if task.context is None:
            task.context = self.searching(task)
        task.rounds += 1
        candidates = task.context.generate_measure_candidates() if task.context is not False else None
        if not candidates:
            task.rounds = TRIALS
            return
        results = []
        for candidate in candidates:
            function = candidate.sch.mod[NAME]
            seconds = self.measure(function, task) if time.monotonic() < deadline else float("inf")
            if np.isfinite(seconds):
                self.note(task, Found(function, candidate.sch.trace, seconds))
            results.append(meta.runner.RunnerResult([min(seconds, 1e10)], None))
        task.context.notify_runner_results(candidates, results)

    def searching(self, task: Task) -> Any:
        """The search of one function; False where MetaSchedule finds no space."""
        made = meta.TuneContext(
            workload(task.plain), target=self.target, space_generator="post-order-apply",
            search_strategy=evolution(), task_name=task.name, rand_state=SEED, num_threads=1,
        )  # fmt: skip
        try:
            made.pre_tuning(TRIALS, BATCH, made.generate_design_space(), self.seen, cost_model())
        except (RuntimeError, ValueError, TypeError):
            return False
        return made

    def measure(self, function: Any, task: Task) -> float:
        self.measured += 1
        return seconds_of(function, self.target, task.arguments)

    def note(self, task: Task, found: Found) -> None:
        """Remember a schedule, for the search and as the best one if it is."""
        self.seen.commit_tuning_record(record(found, task.entry, task.plain, self.target))
        if found.seconds < task.best.seconds:
            task.best = found

    def confirm(self, deadline: float) -> None:
        """Run the network with our own schedules and with the best found ones in turns; keep what is faster there."""
        own = dict(self.program.kernels)
        variants = [own, {**own, **{task.name: task.best.function for task in self.tasks.values()}}]
        ours, theirs = seconds_in_place(
            self.program, variants, self.target,
            lambda turns: turns >= FEWEST_TURNS and time.monotonic() >= deadline,
        )  # fmt: skip
        for task in self.tasks.values():
            if theirs[task.name] >= WORTH * ours[task.name]:
                task.best = task.own
            task.own.seconds = ours[task.name] / task.calls
            if task.best is not task.own:
                task.best.seconds = theirs[task.name] / task.calls


def applied(database: Any, plain: Any, target: Any) -> Found | None:
    """The best schedule that a database knows for a function."""
    module = workload(plain)
    found = database.query_tuning_record(module, target, NAME)
    if found is None:
        return None
    schedule = Package("tvm.s_tir").Schedule(module)
    found.trace.apply_to_schedule(schedule, remove_postproc=False)
    return Found(schedule.mod[NAME], found.trace, float(found.run_secs[0]))


def record(found: Found, entry: Any, plain: Any, target: Any) -> Any:
    """A schedule as databases hold it."""
    shapes = meta.arg_info.ArgInfo.from_prim_func(plain)
    return meta.database.TuningRecord(found.trace, entry, [found.seconds], target, shapes)


def evolution() -> Any:
    """A small population: candidates here cost about as much to measure as to make."""
    return meta.search_strategy.EvolutionarySearch(
        population_size=4 * BATCH, init_min_unmeasured=BATCH, max_fail_count=2, genetic_num_iters=2
    )


def cost_model() -> Any:
    """What guesses which candidates are worth measuring: boosted trees where xgboost is installed."""
    return meta.CostModel.create("xgb" if importlib.util.find_spec("xgboost") else "random")
