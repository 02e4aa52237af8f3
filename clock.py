"""The time of phases, and what tells the caller about them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from .backends import Lowered

Progress = Callable[[str, int, int], None]
"""Called when a step begins, with what it does, its number from 0 and how many there are."""


@dataclass
class Clock:
    """Takes the time of phases and tells the caller about them."""

    times: dict[str, float]
    progress: Progress | None
    passes: int
    phases: Sequence[str]
    current: tuple[str, int] = ("", 0)

    @staticmethod
    def of(lowered: Lowered, progress: Progress | None) -> Clock:
        return Clock(lowered.times, progress, len(lowered.records), lowered.goal.backend.phases)

    @contextmanager
    def phase(self, name: str, number: int) -> Iterator[None]:
        self.tell(name, number)
        start = time.perf_counter()
        yield
        self.times[name] = self.times.get(name, 0.0) + time.perf_counter() - start

    def named_phase(self, name: str) -> AbstractContextManager[None]:
        place = list(self.phases).index(name) if name in self.phases else 0
        return self.phase(name, 1 + self.passes + place)

    def each_pass(self, name: str, position: int, _: int) -> None:
        self.tell(f"pass {name}", 1 + position)

    def tell(self, name: str, number: int) -> None:
        self.current = name, number
        if self.progress is not None:
            self.progress(name, number, 1 + self.passes + len(self.phases))

    def say(self, text: str) -> None:
        """Show how far the present phase is."""
        name, number = self.current
        if self.progress is not None:
            self.progress(f"{name}: {text}", number, 1 + self.passes + len(self.phases))
