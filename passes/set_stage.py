"""Say which stage of the pipeline a graph has reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..errors import UsageError
from ..escaping import escape
from ..ir import Graph
from ..ir.verify import STAGES
from .registry import register


@register
@dataclass(frozen=True)
class SetStage:
    """Set the stage, which decides what the verifier allows."""

    name: ClassVar[str] = "set-stage"
    to: str = "canonical"

    def run(self, graph: Graph) -> Graph:
        if self.to not in STAGES:
            raise UsageError(f"there is no stage '{escape(self.to)}'", hint=f"stages: {', '.join(STAGES)}")
        graph.stage = self.to
        return graph
