"""Running passes: in order, timed, counted, and checked where that is asked for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import EdgecError, ModelError, Unsupported, UnsupportedNode
from ..ir import Graph, verify
from .debug import Trace, debug_level
from .fingerprint import Fingerprint, fingerprint
from .numeric import NumericCheck
from .record import PassRecord
from .registry import Pass
from .tally import claim, take_claims

Progress = Callable[[str, int, int], None]
"""Called before each pass with its name, its position from 0, and how many there are."""


@dataclass
class PassManager:
    """Runs passes over a graph; `records` tells what each did.

    `verify` checks the graph after every pass; `numeric` runs it on random inputs and compares with the graph as it
    came; `check_modified` compares what passes claim to have done with what changed; `dump` is a folder for the graph
    before the first and after each pass. EDGEC_DEBUG=1..4 prints to stderr.
    """

    passes: Sequence[Pass]
    verify: bool = False
    numeric: bool = False
    dump: Path | None = None
    check_modified: bool = False
    progress: Progress | None = None
    records: list[PassRecord] = field(default_factory=list)

    def run(self, graph: Graph) -> Graph:
        """The graph after all passes; the one that came may have been edited.

        `Unsupported` lists what a pass refuses and what passes that only check (`checks`) refuse behind it.
        """
        self.records = []
        trace = Trace(debug_level(), self.dump)
        reference = NumericCheck(graph) if self.numeric else None
        state = fingerprint(graph)
        take_claims(graph)
        trace.begin(graph)
        refused: list[UnsupportedNode] = []
        for position, each in enumerate(self.passes):
            if refused and not getattr(each, "checks", False):
                continue
            if self.progress is not None:
                self.progress(each.name, position, len(self.passes))
            try:
                graph, state = self._step(each, graph, state)
            except Unsupported as error:
                refused += error.nodes
                continue
            trace.after(graph, self.records[-1])
            if self.verify:
                _verify_after(each, graph)
            if reference is not None and self.records[-1].changed:
                reference.check(graph, each.name)
        if refused:
            raise Unsupported(list(dict.fromkeys(refused)), rest=graph)
        return graph

    def _step(self, each: Pass, graph: Graph, before: Fingerprint) -> tuple[Graph, Fingerprint]:
        count, start = len(graph), time.perf_counter()
        result = run_throughout(each, graph)
        ms = (time.perf_counter() - start) * 1e3
        after, claims = fingerprint(result), take_claims(result)
        changed = after != before
        if self.check_modified and claims is not None and bool(claims) != changed:
            said = f"fired {', '.join(claims)}" if claims else "changed nothing"
            raise EdgecError(f"pass '{each.name}' claims to have {said}, but the graph {_did(changed)}")
        self.records.append(PassRecord(each.name, ms, count, len(result), changed, dict(claims or {})))
        return result, after


def run_throughout(each: Pass, graph: Graph) -> Graph:
    """Run a pass on a graph, and before on the bodies of its control flow, whose notes and claims it takes over."""
    inner = Counter[str]()
    for op in graph:
        for name in op.bodies if getattr(each, "throughout", True) else ():
            body = run_throughout(each, getattr(op, name))
            setattr(op, name, body)
            graph.journal += body.journal
            body.journal = []
            inner.update(take_claims(body) or {})
    result = each.run(graph)
    if not isinstance(result, Graph):
        got = type(result).__name__
        raise EdgecError(f"pass '{each.name}' returned {got}, not a graph", hint="return the graph")
    if inner:
        claim(result, inner)
    return result


def _did(changed: bool) -> str:
    return "changed" if changed else "did not change"


def _verify_after(each: Pass, graph: Graph) -> None:
    try:
        verify(graph)
    except EdgecError as error:
        raise ModelError(f"after pass '{each.name}': {error.what}", error.where, error.hint) from error
