"""The database of schedules: made by a search for the time that was asked for, kept in the artifact, used again.

It holds our own schedule of each function, with its time, and what the search found where that is faster in its place
in the network. TVM reads it too (`relax.transform.MetaScheduleApplyDatabase`).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ...errors import ToolchainError, UsageError
from ...toolchain.emulator import runs_natively
from ..protocol import Goal, Options
from .packages import tvm
from .program import Program
from .schedule import workload
from .search import Search, applied, meta, record

FOLDER = "tuning"
FILES = ("database_workload.json", "database_tuning_record.json")
HINT = "tune for --target tvm on the device itself, and keep its database"


def tuned(program: Program, goal: Goal, target: Any, folder: Path, options: Options) -> dict[str, Any]:
    """Put the best known schedules into the program, after a search where one is wanted; returns the report's part.

    The database of the artifact that is replaced is taken over; `--option database=DIR` names another one.
    """
    known = _known(options)
    if options.tune <= 0 and known is None:
        return {}
    if options.tune > 0 and (goal.target is None or not runs_natively(goal.target)):
        raise UsageError(f"a search measures on this machine, which cannot run code for '{goal.name}'", hint=HINT)
    here, described = folder / FOLDER, _with_cores(target)
    here.mkdir(parents=True)
    searched = _searched(program, described, known, here, options) if options.tune > 0 else {"candidates": 0}
    if options.tune <= 0 and known is not None:
        for name in FILES:
            shutil.copyfile(known / name, here / name)
    return {"tuning": {"folder": FOLDER, **searched, "functions": _apply(program, described, _opened(here))}}


def _known(options: Options) -> Path | None:
    """The folder of a database that is there already."""
    given = options.extra.get("database")
    if given is not None and not all((Path(given) / name).is_file() for name in FILES):
        raise UsageError("option database names no folder with a database", hint=f"it holds {' and '.join(FILES)}")
    before = None if options.previous is None else options.previous / FOLDER
    candidates = [Path(given)] if given is not None else [before] if before is not None else []
    return next((one for one in candidates if all((one / name).is_file() for name in FILES)), None)


def _opened(folder: Path) -> Any:
    try:
        return meta.database.JSONDatabase(*(str(folder / name) for name in FILES))
    except (RuntimeError, ValueError) as error:
        raise ToolchainError("the tuning database cannot be read", hint="leave it out, and tune again") from error


def _with_cores(target: Any) -> Any:
    """The target as the search wants it: with a number of cores."""
    return tvm.target.Target({**target.export(), "num-cores": 1})


def _searched(program: Program, target: Any, known: Path | None, here: Path, options: Options) -> dict[str, Any]:
    """Search, and write what is worth keeping into a new database; returns what the report says of the search."""
    search = Search(program, target, None if known is None else _opened(known), options)
    search.run()
    database, tasks = _opened(here), search.tasks.values()
    for task in tasks:
        entry = database.commit_workload(workload(task.plain))
        for found in (task.own, task.best) if task.best is not task.own else (task.own,):
            database.commit_tuning_record(record(found, entry, task.plain, target))
    times = {"own_us": sum(t.calls * t.own.seconds for t in tasks), "us": sum(t.calls * t.best.seconds for t in tasks)}
    return {"candidates": search.measured, **{name: round(seconds * 1e6, 1) for name, seconds in times.items()}}


def _apply(program: Program, target: Any, database: Any) -> dict[str, dict[str, float]]:
    """Take the best schedule of each function; returns its time."""
    rows: dict[str, dict[str, float]] = {}
    for name in program.traces:
        found = applied(database, program.plain[name], target)
        if found is not None:
            program.kernels[name] = found.function
            rows[name] = {"us": round(found.seconds * 1e6, 3)}
    return rows
