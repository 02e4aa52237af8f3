"""What the report of an artifact says of its compilation."""

from __future__ import annotations

from typing import Any

from . import __version__
from .artifact.report import FORMAT, alias_rows, described, size_rows
from .backends import Built, Lowered
from .escaping import escape
from .ir import Note
from .targets import Target


def report_of(lowered: Lowered, built: Built) -> dict[str, Any]:
    """The report: what was compiled, for what, by which passes, and what its parts have to say."""
    goal = lowered.goal
    about = {"format": FORMAT, "edgec": __version__, "model": escape(lowered.name), "target": goal.name}
    about |= {"backend": goal.backend.name, **_row(goal.target)}
    about |= dict(zip(("inputs", "outputs"), described(lowered.graph), strict=True))
    about |= {"sizes": size_rows(lowered.graph)} if lowered.graph.symbols else {}
    about |= alias_rows(lowered.graph)
    about |= {"checks_run": True} if lowered.graph.checks_run else {}
    passes = [{"name": one.name, "changed": one.changed, "fired": dict(one.fired)} for one in lowered.records]
    notes = [note_row(note) for note in lowered.graph.journal]
    done = {} if lowered.quantized is None else {"quantization": lowered.quantized.report}
    done |= {} if lowered.pruned is None else {"pruning": lowered.pruned.report}
    own = {name: section for name, section in built.report.items() if name not in about}
    verdicts = {"toolchain": dict(built.toolchain), "selftest": dict(built.selftest)}
    return {**about, **own, "passes": passes, "notes": notes, **done, **verdicts}


def _row(target: Target | None) -> dict[str, Any]:
    if target is None:
        return {}
    return {"row": target.row, "isa": target.isa, "cpu": target.cpu, "features": list(target.features)}


def note_row(note: Note) -> dict[str, str]:
    """Return a recorded decision as the report holds it."""
    node, other = (str(origin) if origin else "" for origin in (note.origin, note.other))
    return {"source": note.source, "reason": note.reason, "node": node, "other": other}
