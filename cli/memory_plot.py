"""Memory over time as text: one bar a step, steps joined where there are many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ROWS = 40
WIDTH = 50
NAME_WIDTH = 60

Buffers = Sequence[Mapping[str, Any]]


def live_bytes(buffers: Buffers, steps: int) -> list[int]:
    """Return how many bytes are alive in each step."""
    changes = [0] * (steps + 2)
    for buffer in buffers:
        changes[min(buffer["first"], steps)] += buffer["bytes"]
        changes[min(buffer["last"], steps) + 1] -= buffer["bytes"]
    total, found = 0, []
    for change in changes[:steps]:
        total += change
        found.append(total)
    return found


def plot(buffers: Buffers, steps: Sequence[str]) -> str:
    """Return the plot; a row for several steps shows the one that needs most."""
    live = live_bytes(buffers, len(steps))
    top = max(live, default=0) or 1
    working = [step for step, name in enumerate(steps) if not name.startswith("constant")]
    stride = -(-len(working) // ROWS) or 1
    groups = (working[start : start + stride] for start in range(0, len(working), stride))
    rows = [max(group, key=live.__getitem__) for group in groups]
    return "\n".join(_row(step, live[step], top, steps[step]) for step in rows)


def _row(step: int, size: int, top: int, name: str) -> str:
    bar = "#" * round(WIDTH * size / top)
    mark = " <- peak" if size == top else ""
    return f"{step:>5} {size / 1024:>10.1f} KiB |{bar:<{WIDTH}}| {name[:NAME_WIDTH]}{mark}"
