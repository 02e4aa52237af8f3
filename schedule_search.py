"""Measure schedules of layers where they stand in a network, and remember the times in a database.

A variant is the whole network with one schedule for each layer, compiled as an artifact is. Its steps run in order, so
that each finds its input and its weights in the caches where a run leaves them, and each is timed alone. So one call of
the compiler measures as many schedules as the network has layers. First all take what the cost model chooses, then one
variant after the other gives each layer the next of its best few; at the end the fastest ones run once more, in turns
with what the cost model chose, and must still be faster.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from .artifact.timing import build_timing, check_runner, take_times
from .backends.c.emit import emit
from .errors import ToolchainError, UsageError
from .ir import Graph
from .kernels.database import Machine, read_database
from .kernels.schedules import MODEL, Book, Known, Question, Schedule, Space, fastest
from .targets import Target, host_cpu
from .toolchain import Compiler

FORMS = ("off", "4", "off", "2", "off", "6")
"""Winograd's forms of the variants behind the first, in turns with direct convolution; then direct ones alone."""
SLICE = 0.4
"""Seconds that a variant runs at a time."""
LAST_PART = 0.2
"""Part of the time for the runs at the end."""
WORTH = 0.98
"""A schedule is taken where its time at the end is below this part of that of the cost model's."""
LOST = 1.05
"""What a schedule is said to take at least, beside the choice that it lost to."""
FEWEST_TURNS, MOST_ROUNDS = 3, 8

Lowering = Callable[[str, Book], Graph]
"""The planned graph for a form of Winograd's convolution (`auto`, `off`, `4`) and measured schedules."""
Say = Callable[[str, float], None]
"""Shows what a search does, and the part of the time that is over."""


@dataclass
class Explorer:
    """Gives each layer a schedule that was not tried yet, the best known one where all were."""

    times_of: dict[Question, dict[Schedule, float]] = field(default_factory=dict)
    current: dict[Question, Schedule] = field(default_factory=dict)

    def begin(self) -> None:
        """The next variant."""
        self.current = {}

    def choose(self, space: Space) -> Schedule:
        question = space.question
        if question not in self.current:
            self.current[question] = self.next(space)
        return self.current[question]

    def next(self, space: Space) -> Schedule:
        tried = self.times_of.get(space.question, {})
        if space.default() not in tried:
            return space.default()
        best = fastest(tried)
        worthwhile = (one for some in (space.candidates, lambda: space.variations(best)) for one in some())
        for schedule in worthwhile:
            if schedule not in tried and space.fits(schedule):
                return schedule
        return best

    def times(self, question: Question) -> Mapping[Schedule, float]:
        return {}

    def tries(self, asked: Sequence[Sequence[tuple[Question, Schedule]]]) -> bool:
        """Whether any of these schedules was not measured yet."""
        return any(schedule not in self.times_of.get(question, {}) for one in asked for question, schedule in one)

    def add(self, measured: Mapping[tuple[Question, Schedule], float]) -> None:
        """Remember microseconds; the least counts."""
        for (question, schedule), us in measured.items():
            known = self.times_of.setdefault(question, {})
            known[schedule] = min(us, known.get(schedule, us))


@dataclass
class Variant:
    """A compiled variant and the microseconds of its steps: the least so far."""

    program: Path
    asked: list[list[tuple[Question, Schedule]]]
    us: list[float] = field(default_factory=list)

    def layers(self) -> dict[tuple[Question, Schedule], float]:
        """Microseconds by layer and schedule: the mean of equal layers."""
        found: dict[tuple[Question, Schedule], list[float]] = defaultdict(list)
        for asked, us in zip(self.asked, self.us, strict=True):
            for one in asked:
                found[one].append(us)
        return {one: fmean(times) for one, times in found.items()}


@dataclass
class Tuner:
    """One search; `path` is the file of the database, to which every variant adds what it showed."""

    lowering: Lowering
    target: Target
    compiler: Compiler
    path: Path
    seconds: float
    runner: str = ""
    forms: Sequence[str] = FORMS
    say: Say = lambda text, done: None
    explorer: Explorer = field(default_factory=Explorer)
    cpu: str = ""
    variants: int = 0
    longest: float = 0.0
    graphs: dict[str, Graph] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_seconds(self.seconds)
        check_runner(self.target, self.runner)
        self.end = time.monotonic() + self.seconds
        before = read_database(self.path, needed=False).times.get(self.machine(self.own_cpu()), {})
        self.explorer.times_of = {question: dict(times) for question, times in before.items()}

    def own_cpu(self) -> str:
        """The CPU of this machine, where it is the one that is measured."""
        return host_cpu() if not self.runner else ""

    def machine(self, cpu: str) -> Machine:
        return machine_of(self.target, self.compiler, cpu)

    def run(self) -> dict[str, Any]:
        """Search until the time is used up; returns the report's part. What was measured stays when this is stopped."""
        with tempfile.TemporaryDirectory(prefix="edgec-tune-") as name:
            try:
                return self.search(Path(name))
            except OutOfTimeError:
                return self.report(0.0, 0.0)

    def search(self, folder: Path) -> dict[str, Any]:
        own = self.compiled(folder / "own", self.graph("auto"), MODEL)
        self.measure(own)
        for number, form in enumerate(self.order()):
            if self.left() < self.longest + SLICE + max(self.round_time(), LAST_PART * self.seconds):
                break
            self.explorer.begin()
            tried = self.compiled(folder / str(number), self.graph(form), self.explorer)
            if tried.asked:
                self.measure(tried)
            elif number >= len(self.forms):
                break
            self.tell(f"{self.variants} variants")
        return self.confirm(folder, own)

    def order(self) -> list[str]:
        """The forms of the variants: more than there is time for."""
        some = [form for form in self.forms if form == "off" or self.has_forms()]
        return [*some, *["off"] * 1000]

    def has_forms(self) -> bool:
        return any(question.kernel == "winograd_f32" for question in self.explorer.times_of)

    def compiled(self, folder: Path, graph: Graph, book: Book) -> Variant:
        """Compile a variant, unless it is of a search and tries nothing new; OutOfTimeError if that takes too long."""
        start = time.monotonic()
        made = emit(graph, self.target, book)
        if book is self.explorer and not self.explorer.tries(made.asked):
            return Variant(folder, [])
        left = self.left()
        if left <= self.longest:
            raise OutOfTimeError
        try:
            program = build_timing(folder, made.files, graph, self.compiler, left)
        except ToolchainError:
            if self.left() <= 0:
                raise OutOfTimeError from None
            raise
        self.longest = max(self.longest, time.monotonic() - start)
        return Variant(program, made.asked)

    def graph(self, form: str) -> Graph:
        """The graph of a form by the cost model."""
        if form not in self.graphs:
            self.graphs[form] = self.lowering(form, MODEL)
        if self.graphs[form].symbols:
            raise UsageError("a search measures one size, and this model's stay open", hint="fix them with --dim")
        return self.graphs[form]

    def tell(self, text: str) -> None:
        self.say(f"{text}, {max(self.left(), 0):.0f} s left", 1 - self.left() / self.seconds)

    def left(self) -> float:
        return self.end - time.monotonic()

    def measure(self, variant: Variant) -> None:
        """Run a variant for a while, and remember and keep what it took."""
        self.take(variant)
        self.variants += 1
        self.explorer.add(variant.layers())
        self.keep({question for question, _ in variant.layers()})

    def take(self, variant: Variant) -> None:
        found = take_times(variant.program, min(SLICE, max(self.left(), 0.0)), self.runner)
        self.cpu = self.own_cpu() or found.cpu
        us = [1e6 * seconds for seconds in found.seconds]
        variant.us = list(map(min, us, variant.us)) if variant.us else us

    def keep(self, questions: set[Question]) -> None:
        """Add what is known of layers to the file, with what others have added meanwhile."""
        database = read_database(self.path, needed=False)
        for question in questions:
            database.add(self.machine(self.cpu), question, self.explorer.times_of[question])
        database.save(self.path)

    def confirm(self, folder: Path, own: Variant) -> dict[str, Any]:
        """Run the best schedules and the cost model's in turns; drop what is not faster in its place, try the next."""
        winners: dict[Question, Schedule] = {}
        tried: list[float] = []
        for number in range(MOST_ROUNDS):
            if self.left() < self.round_time():
                break
            known = Known("", self.explorer.times_of)
            best = self.compiled(folder / f"best{number}", self.lowering("auto", known), known)
            for _ in range(FEWEST_TURNS):
                self.tell("the best against the cost model's")
                self.take(own)
                self.take(best)
            tried.append(sum(best.us))
            if not settle(self.explorer.times_of, own.layers(), best.layers(), winners):
                break
        conclude(self.explorer.times_of, own.layers(), winners)
        self.keep({question for question, _ in own.layers()} | set(winners))
        return self.report(sum(own.us), min(tried, default=0.0))

    def round_time(self) -> float:
        """Seconds of a round at the end."""
        return self.longest + 2 * FEWEST_TURNS * SLICE

    def report(self, own_us: float, us: float) -> dict[str, Any]:
        schedules = sum(map(len, self.explorer.times_of.values()))
        return {
            "database": self.path.name, "cpu": self.cpu, "variants": self.variants,
            "layers": len(self.explorer.times_of), "schedules": schedules,
            "own_us": round(own_us, 1), "us": round(us, 1),
        }  # fmt: skip


class OutOfTimeError(Exception):
    """The seconds that were asked for are over."""


def settle(
    times: dict[Question, dict[Schedule, float]],
    ours: Mapping[tuple[Question, Schedule], float],
    theirs: Mapping[tuple[Question, Schedule], float],
    winners: dict[Question, Schedule],
) -> bool:
    """Put the times of runs in turns in the place of earlier ones; returns whether another best is to be tried.

    `winners` gets what is faster than the cost model's choice, and loses what is not any more.
    """
    changed = False
    chosen = {question: (schedule, us) for (question, schedule), us in ours.items()}
    for (question, schedule), us in theirs.items():
        if question not in chosen or chosen[question][0] == schedule:
            continue
        default, limit = chosen[question]
        faster = us < WORTH * limit
        times[question] |= {default: limit, schedule: us if faster else LOST * max(us, limit)}
        changed |= fastest(times[question]) not in (default, schedule)
        if faster:
            winners[question] = schedule
        elif winners.get(question) == schedule:
            del winners[question]
    return changed


def conclude(
    times: dict[Question, dict[Schedule, float]],
    ours: Mapping[tuple[Question, Schedule], float],
    winners: Mapping[Question, Schedule],
) -> None:
    """Let the winner of each layer, or the cost model's choice, be the fastest: the others showed it less surely."""
    for (question, default), us in ours.items():
        best = winners.get(question, default)
        limit = times[question][best] if question in winners else us
        times[question] = {s: t if s == best else max(t, LOST * limit) for s, t in times[question].items()}
        times[question][best] = limit


def machine_of(target: Target, compiler: Compiler, cpu: str) -> Machine:
    """What times hold for."""
    return Machine(target.row, target.cpu, cpu, compiler.version)


def check_seconds(seconds: float) -> None:
    """UsageError where this is no time to search."""
    if not 0 < seconds < float("inf"):
        raise UsageError(f"--tune {seconds:g}: a search takes seconds", hint="give a number above 0, as --tune 60")
