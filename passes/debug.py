"""What passes do, for people: the EDGEC_DEBUG ladder on stderr and the dump folder."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UsageError
from ..escaping import escape
from ..ir import Graph
from ..ir.text import print_graph
from .record import PassRecord

LADDER = "1 passes and their time, 2 the IR after each, 3 rules that fired, 4 rules that refused"


def debug_level() -> int:
    """The level that EDGEC_DEBUG sets, 0 to 4."""
    text = os.environ.get("EDGEC_DEBUG", "") or "0"
    if not text.isdecimal():
        raise UsageError(f"EDGEC_DEBUG must be a number, is '{escape(text)}'", hint=LADDER)
    return int(text)


@dataclass
class Trace:
    """Prints the ladder's steps and writes the numbered dumps."""

    level: int = 0
    dump: Path | None = None
    _count: int = 0
    _notes: int = field(default=0)

    def begin(self, graph: Graph) -> None:
        """Show the graph before any pass."""
        self._notes = len(graph.journal)
        self._write(graph, "import")

    def after(self, graph: Graph, record: PassRecord) -> None:
        """Show what a pass did."""
        self._say(1, str(record))
        for rule, count in record.fired.items():
            self._say(3, f"  fired {rule} x{count}")
        for note in graph.journal[self._notes :]:
            self._say(4, f"  skipped {note}")
        self._notes = len(graph.journal)
        if self.level >= 2:
            self._say(2, print_graph(graph, elide=True).rstrip("\n"))
        self._write(graph, record.name)

    def _say(self, level: int, text: str) -> None:
        if self.level >= level:
            print(text, file=sys.stderr)

    def _write(self, graph: Graph, name: str) -> None:
        if self.dump is not None:
            self.dump.mkdir(parents=True, exist_ok=True)
            (self.dump / f"{self._count:02}-{name}.ir").write_text(print_graph(graph, elide=True), encoding="utf-8")
        self._count += 1
