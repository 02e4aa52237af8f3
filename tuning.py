"""What a caller asks of schedules, and where they come from: a search, a database, what comes with edgec."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .backends import Goal
from .errors import UsageError
from .escaping import escape
from .kernels.database import VERSION, Database, read_database, shipped
from .kernels.schedules import ABI, MODEL, Book, Both, Known
from .schedule_search import FORMS, Lowering, Tuner, check_seconds, machine_of
from .targets import Target, host_cpu
from .toolchain import Compiler, find_compiler
from .toolchain.emulator import runs_natively

CACHE, OFF = "cache", "off"
"""Words for a database: the user's own, and none, not even what comes with edgec."""


def database_path(database: str | Path | None) -> Path:
    """The file that a search adds to; UsageError where schedules are switched off."""
    if database == OFF:
        raise UsageError("--tune measures schedules, --database off forbids them", hint="leave one of them out")
    return cache_path() if database is None or database == CACHE else Path(database)


def book_of(
    database: str | Path | None, target: Target, compiler: str = "", runner: str = "", needed: bool = True
) -> Book | None:
    """Where schedules come from: the named database first, then what comes with edgec (None stands for that alone).

    A file that is `needed` must be there.
    """
    if database is None:
        return None
    if database == OFF:
        return MODEL
    found = read_database(database_path(database), needed=needed and database != CACHE)
    return Both(known_for(found, target, find_compiler(target, compiler), runner), shipped(target))


@dataclass(frozen=True)
class Tuning:
    """What a caller asks of schedules: seconds of search (0: none), the database, compiler and runner.

    `winograd` are the forms that are allowed; `floats` says that the weights are those of the model, so that other
    forms cost no second quantization.
    """

    seconds: float = 0.0
    database: str | Path | None = None
    compiler: str = ""
    runner: str = ""
    winograd: str = "auto"
    floats: bool = True
    progress: Callable[[str, int, int], None] | None = None

    def options(self, goal: Goal, given: Mapping[str, str]) -> dict[str, str]:
        """The options of a backend: those that are not C's take a database as one of their own."""
        if self.seconds:
            check_seconds(self.seconds)
        if goal.backend.name == "c":
            return dict(given)
        if not getattr(goal.backend, "tunes", False):
            self.refuse(goal)
        if self.runner:
            raise UsageError(f"backend '{goal.backend.name}' measures on this machine", hint="leave out --runner")
        if self.database in (CACHE, OFF):
            what = f"backend '{goal.backend.name}' has no database '{self.database}'"
            raise UsageError(what, hint="it keeps one in each artifact: --database names the folder 'tuning' there")
        return dict(given) if self.database is None else {**given, "database": str(self.database)}

    def refuse(self, goal: Goal) -> None:
        """UsageError for what is said of schedules to a backend that measures none."""
        given = {"--tune": self.seconds, "--database": self.database is not None, "--runner": self.runner}
        for name in (name for name, said in given.items() if said):
            what = f"target '{escape(goal.name)}' takes no {name}: its backend has no schedules to measure"
            raise UsageError(what, hint="targets of the C backend and of TVM do")

    def search(self, target: Target, lowering: Lowering) -> dict[str, Any]:
        """Search schedules if that is wanted; returns the report's part."""
        if not self.seconds:
            return {}
        path, compiler = database_path(self.database), find_compiler(target, self.compiler)
        own = self.winograd
        forms = FORMS if self.floats and own.startswith(("auto", "growth", "megabytes", "error")) else ("off",)
        tuner = Tuner(
            lambda form, book: lowering(own if form == "auto" else form, book), target, compiler, path, self.seconds,
            self.runner, forms, self.say,
        )  # fmt: skip
        return tuner.run()

    def say(self, text: str, done: float) -> None:
        if self.progress is not None:
            self.progress(f"tune: {text}", int(1000 * min(done, 1.0)), 1000)

    def book(self, target: Target) -> Book | None:
        """Where schedules come from: of a database that was named or searched, then of edgec's own."""
        searched = self.database is None and self.seconds > 0
        return book_of(CACHE if searched else self.database, target, self.compiler, self.runner, not self.seconds)

    def schedules(self, goal: Goal, lowering: Lowering) -> tuple[dict[str, Any], Book | None]:
        """The report of a search and where schedules come from; nothing of backends that have their own."""
        if goal.backend.name != "c" or goal.target is None:
            return {}, None
        return self.search(goal.target, lowering), self.book(goal.target)


def known_for(database: Database, target: Target, compiler: Compiler, runner: str = "") -> Known:
    """The schedules of a database for a target: those of this CPU, or of the device where there is only one in it."""
    if runs_natively(target) and not runner:
        return database.known(machine_of(target, compiler, host_cpu()))
    fitting = [one for one in database.times if one == machine_of(target, compiler, one.model)]
    return database.known(fitting[0]) if len(fitting) == 1 else Known(database.source, {})


def cache_path() -> Path:
    """The user's own database; versions of edgec that cannot read it have another one."""
    name = f"schedules-{VERSION}-{ABI}.jsonl"
    return cache_folder(sys.platform, os.environ, Path.home()) / "edgec" / name


def cache_folder(platform: str, environment: Mapping[str, str], home: Path) -> Path:
    """Where programs keep what they can make again."""
    if platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if platform == "darwin":
        return home / "Library" / "Caches"
    given = environment.get("XDG_CACHE_HOME", "")
    return Path(given) if Path(given).is_absolute() else home / ".cache"
