"""The whole suite, by processes side by side."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ..errors import EdgecError
from ..ir.onnx_suite import Case, load_cases, matching
from .verdict import CRASHED, PASSED, Verdict
from .worker import Task, serve

BATCH = 48
PATIENCE = 900.0
"""Seconds without news of a case after which its process is ended; those of the C compiler on a batch among them."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Coverage:
    """What came of all cases of some kinds."""

    verdicts: tuple[Verdict, ...]
    seconds: float

    @property
    def total(self) -> int:
        return len(self.verdicts)

    @property
    def passed(self) -> int:
        return sum(one.status == PASSED for one in self.verdicts)

    def facts(self) -> dict[str, Any]:
        """What `--json` prints."""
        missed = [one for one in self.verdicts if one.status != PASSED]
        rows = [{"name": o.name, "kind": o.kind, "status": o.status, "reason": o.reason} for o in missed]
        return {"passed": self.passed, "total": self.total, "seconds": round(self.seconds, 1), "failed": rows}


def measure(
    kinds: Sequence[str] = ("node",),
    pattern: str = "",
    target: str = "host",
    evaluate: bool = False,
    compiler: str = "",
    processes: int = 2,
    progress: Progress | None = None,
) -> Coverage:
    """Run all cases of the kinds whose name holds `pattern`, a regular expression.

    Each is compiled for `target`, many to one call of the C compiler, and run; with `evaluate` numpy computes it.
    """
    start = time.perf_counter()
    verdicts: list[Verdict] = []
    for kind in kinds:
        cases = matching(load_cases(kind), pattern)
        verdicts += _Run(cases, Task(kind, target, evaluate, compiler), progress).all(processes)
    return Coverage(tuple(verdicts), time.perf_counter() - start)


@dataclass
class _Run:
    """The cases of one kind, and what came of them so far."""

    cases: Sequence[Case]
    task: Task
    progress: Progress | None
    found: dict[str, Verdict] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def all(self, processes: int) -> list[Verdict]:
        names = [case.name for case in self.cases]
        waiting = [names[at : at + BATCH] for at in range(0, len(names), BATCH)][::-1]
        with ThreadPoolExecutor(processes) as pool:
            for done in [pool.submit(self.work_off, waiting) for _ in range(processes)]:
                done.result()
        return [self.found[name] for name in names]

    def work_off(self, waiting: list[list[str]]) -> None:
        """Run batches until none is left, in a process that is started anew when it dies."""
        while batch := self.next_batch(waiting):
            with _Process(self.task) as process:
                while batch and process.run(batch, self.take):
                    batch = self.next_batch(waiting)
            self.give_up(process.current if len(batch) > 1 else batch[0] if batch else "", batch)
            rest = [name for name in batch if name not in self.found]
            waiting += [rest] if process.current and rest else [[name] for name in rest]

    def next_batch(self, waiting: list[list[str]]) -> list[str]:
        with self.lock:
            return waiting.pop() if waiting else []

    def take(self, verdict: Verdict) -> None:
        with self.lock:
            self.found[verdict.name] = verdict
            if self.progress is not None:
                self.progress(verdict.name, len(self.found), len(self.cases))

    def give_up(self, name: str, batch: Sequence[str]) -> None:
        """Note the case that a process died of."""
        case = next((one for one in self.cases if one.name == name and name in batch), None)
        if case is not None:
            self.take(Verdict(name, case.kind, CRASHED, "the compiler died", case.operators))


class _Process:
    """A worker and the connection to it."""

    def __init__(self, task: Task) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, task), daemon=True)
        self.process.start()
        theirs.close()
        self.current, self.reason = "", ""

    def run(self, names: list[str], take: Callable[[Verdict], None]) -> bool:
        """Run a batch; False if the process ended or hangs, then `current` is the case that it was at."""
        try:
            self.connection.send(names)
            while self.connection.poll(PATIENCE):
                said = self.connection.recv()
                if said is None:
                    return True
                if isinstance(said, EdgecError):
                    raise said
                if isinstance(said, str):
                    self.current = said
                else:
                    take(said)
        except (EOFError, OSError) as error:
            self.reason = str(error)
        return False

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: Any) -> None:
        self.connection.close()
        self.process.join(1)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
