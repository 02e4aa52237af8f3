"""Which ops stay in fp32 in a model of half precision, found by running it.

A network that cancels large numbers early makes much of the rounding of half precision, and no single op is to blame:
what counts is how much follows. So ops are kept in fp32 from the inputs on, as few as do, and groups of them are given
back where that does not show. The runs are ONNX Runtime's, on the inputs of the self-test.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...artifact.compare import compare
from ...errors import ToolchainError, UsageError
from ...escaping import escape
from ...ir import Graph, Op
from ...ir.ops import Constant, Quantize
from .onnx_model import model_of
from .runner import session

Array = np.ndarray
TOLERANCE = 0.01
"""How far outputs in fp16 may be from those in fp32, as a part of the largest."""

GROUPS = 8


@dataclass(frozen=True)
class Mixed:
    """The ops that stay in fp32, and how far the outputs are then from those in fp32; or why nobody knows."""

    kept: tuple[Op, ...] = ()
    worst: float | None = None
    unknown: str = ""

    def facts(self, tolerance: float) -> dict[str, Any]:
        """The section of the report."""
        names = [op.origin.name if op.origin else op.name for op in self.kept]
        return {"worst": self.worst, "tolerance": tolerance, "unknown": self.unknown, "fp32": names}


def check_tolerance(text: str) -> float:
    """A tolerance from its text; UsageError where it is none."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 < found < 1:
        raise UsageError(f"'{escape(text)}' is no tolerance", hint="a part of the largest output, as 0.01")
    return found


def mixed(graph: Graph, expand: Callable[[Op], bool], inputs: Mapping[str, Array], tolerance: float) -> Mixed:
    """What to keep in fp32 so that the outputs in fp16 stay within a tolerance."""
    if any(isinstance(op, Quantize) for op in graph):
        return Mixed(unknown="the model is quantized: verify counts steps")
    if importlib.util.find_spec("onnxruntime") is None:
        return Mixed(unknown="onnxruntime is not installed")
    try:
        return _found(_Trial(graph, expand, inputs), tolerance)
    except ToolchainError as error:
        return Mixed(unknown=error.what)


class _Trial:
    """Runs a model that rounds the results of all ops but some to half precision."""

    def __init__(self, graph: Graph, expand: Callable[[Op], bool], inputs: Mapping[str, Array]) -> None:
        from .onnx_rounded import Rounded

        model, self.nodes = model_of(graph, "fp32", expand)
        self.rounded, self.names, self.inputs = Rounded(model), graph.output_names, dict(inputs)
        self.ops = [op for op in graph if not isinstance(op, Constant)]
        self.wanted = self._run(model)

    def _run(self, model: bytes) -> dict[str, Array]:
        return dict(zip(self.names, session(model).run(None, self.inputs), strict=True))

    def worst(self, kept: Collection[Op]) -> float:
        """The largest distance of an output as a part of its largest value."""
        chosen = set(kept)
        names = {name for name, op in self.nodes.items() if op in chosen}
        return max((one.worst for one in compare(self._run(self.rounded.bytes(names)), self.wanted, 0.0)), default=0.0)


def _found(trial: _Trial, tolerance: float) -> Mixed:
    worst = trial.worst(())
    if worst <= tolerance:
        return Mixed((), worst)
    first = trial.ops[: _prefix(trial, tolerance)]
    kept = _thinned(trial, first, tolerance)
    return Mixed(tuple(kept), trial.worst(kept))


def _prefix(trial: _Trial, tolerance: float) -> int:
    """How many ops from the inputs on must stay in fp32; all of them always do."""
    low, high = 0, len(trial.ops)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if trial.worst(trial.ops[:middle]) <= tolerance else (middle, high)
    return high


def _thinned(trial: _Trial, ops: Sequence[Op], tolerance: float) -> list[Op]:
    """Some ops without the groups of neighbours that half precision does no harm to."""
    kept, size = list(ops), -(-len(ops) // GROUPS)
    for start in range(0, len(ops), size):
        rest = [op for op in kept if op not in ops[start : start + size]]
        kept = rest if trial.worst(rest) <= tolerance else kept
    return kept
