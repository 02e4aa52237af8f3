"""What one run of a pass did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PassRecord:
    """Name, time in milliseconds, op counts, whether the graph changed, and how often which rule fired."""

    name: str
    ms: float
    ops_before: int
    ops_after: int
    changed: bool
    fired: Mapping[str, int]

    def __str__(self) -> str:
        result = f"{self.ops_before} -> {self.ops_after} ops" if self.changed else "no change"
        return f"{self.name:<24} {self.ms:8.1f} ms  {result}"
