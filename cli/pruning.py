"""The option about pruning that commands share, and what to print of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .quantization import percent, points

PruneOption = Annotated[
    str,
    typer.Option("--prune", metavar="2:4|0.7|channels:0.25|FILE.toml", help="Prune weights or channels first."),
]


def pruning_outcome(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what to print of the report's part on pruning: what went, what that cost."""
    done = report.get("pruning")
    if not done:
        return []
    before, after = done["weights_before"], done["weights_after"]
    facts = [("pruned", f"{before} weights to {after} ({percent(1 - after / max(before, 1))} went)")]
    if "accuracy" in done:
        facts.append((done["accuracy"]["metric"], _change(done["accuracy"])))
    return facts


def _change(accuracy: dict[str, Any]) -> str:
    drop = 100 * accuracy["drop"]
    before, after = percent(accuracy["float"]), percent(accuracy["pruned"])
    return f"{before} before, {after} pruned: {points(drop)} on {accuracy['samples']} samples"
