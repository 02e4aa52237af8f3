"""Three ways to compute a graph, each against `evaluate`: the C that it compiles to, ONNX Runtime on the ONNX that it
is exported as, and what is imported from that ONNX again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...driver import import_model, lower
from ...errors import EdgecError
from ...ir import Graph
from ...ir.onnx_export import export_bytes
from ...targets import get_target
from ...toolchain import find_compiler
from ..batch import Model, run_models
from .exceptions import NOT_A_NUMBER, ONNX, RUNTIME, exemptions
from .grow import Case
from .known import Known, as_double, differs, is_float, known_outputs

Array = np.ndarray
AGREES, DIFFERS, REFUSED, DIED, EXEMPT = "agrees", "differs", "refused", "died", "exempt"
C, AGAIN = "c", "import"
WAYS = (C, RUNTIME, AGAIN)


@dataclass(frozen=True)
class Finding:
    """What came of a case one way."""

    name: str
    way: str
    status: str
    reason: str = ""


@dataclass(frozen=True)
class Expected:
    """A case and what `evaluate` makes of it."""

    case: Case
    outputs: list[Known]

    @staticmethod
    def of(case: Case) -> Expected:
        return Expected(case, known_outputs(case.graph, case.inputs))

    def finding(self, way: str, got: Sequence[Array]) -> Finding:
        """Whether arrays are what is expected."""
        rows = zip(self.case.graph.output_names, self.case.graph.outputs, got, self.outputs, strict=True)
        said = [(name, differs(array, known, value.dtype)) for name, value, array, known in rows]
        reason = "; ".join(f"{name}: {text}" for name, text in said if text)
        return Finding(self.case.name, way, DIFFERS if reason else AGREES, reason)


def check(cases: Sequence[Case], ways: Sequence[str] = WAYS, target: str = "host") -> list[Finding]:
    """What comes of each case each way."""
    expected = [Expected.of(case) for case in cases]
    found = compiled(expected, target) if C in ways else []
    return found + [one for each in expected for one in exported(each, ways)]


# --- compiled ---------------------------------------------------------------------------------------------------------


def compiled(expected: Sequence[Expected], target: str) -> list[Finding]:
    """All cases as C, by one call of the C compiler."""
    found: list[Finding] = []
    ready: list[tuple[Expected, Model]] = []
    for one in expected:
        made = _attempt(one, C, lambda one=one: _model(one.case, target))  # type: ignore[misc]
        if isinstance(made, Finding):
            found.append(made)
        else:
            ready.append((one, made))
    with tempfile.TemporaryDirectory(prefix="edgec-") as folder:
        compiler = find_compiler(get_target(target))
        results = run_models([model for _, model in ready], compiler, Path(folder)) if ready else ()
        for (one, _), got in zip(ready, results, strict=True):
            found.append(Finding(one.case.name, C, DIED, got) if isinstance(got, str) else one.finding(C, got[0]))
    return found


def _model(case: Case, target: str) -> Model:
    lowered = lower(case.graph, target)
    return Model.of(lowered.graph, get_target(target), [list(case.inputs)])


def _attempt(one: Expected, way: str, work: Callable[[], Any]) -> Any:
    """What the work gives, or what came instead."""
    try:
        return work()
    except EdgecError as error:
        return Finding(one.case.name, way, REFUSED, str(error))
    except Exception as error:
        return Finding(one.case.name, way, DIED, f"{type(error).__name__}: {error}")


# --- exported ---------------------------------------------------------------------------------------------------------


def exported(one: Expected, ways: Sequence[str]) -> list[Finding]:
    """A case as ONNX, run by ONNX Runtime and imported again."""
    chosen = [way for way in ways if way != C]
    if not chosen:
        return []
    reason = next(exemptions(one.case.graph, ONNX), "")
    if reason:
        return [Finding(one.case.name, way, EXEMPT, reason) for way in chosen]
    content = _attempt(one, "export", lambda: export_bytes(one.case.graph))
    if isinstance(content, Finding):
        return [Finding(one.case.name, way, content.status, f"export: {content.reason}") for way in chosen]
    runs = {RUNTIME: lambda: by_runtime(content, one.case.inputs), AGAIN: lambda: again(content, one.case.inputs)}
    found = []
    for way in chosen:
        reason = not_by_runtime(one.case) if way == RUNTIME else ""
        if reason:
            found.append(Finding(one.case.name, way, EXEMPT, reason))
            continue
        got = _attempt(one, way, runs[way])
        found.append(got if isinstance(got, Finding) else one.finding(way, got))
    return found


def not_by_runtime(case: Case) -> str:
    """Why ONNX Runtime cannot be compared with; empty where it can."""
    finite = all(np.isfinite(as_double(array)).all() for array in case.inputs if is_float(array))
    return next(exemptions(case.graph, RUNTIME), "") if finite else NOT_A_NUMBER


def by_runtime(content: bytes, inputs: Sequence[Array]) -> list[Array]:
    """The outputs by ONNX Runtime, which runs the graph as it was written."""
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return [np.asarray(one) for one in session.run(None, dict(zip(names, inputs, strict=True)))]


def again(content: bytes, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of what is imported from ONNX."""
    graph: Graph = import_model(content)
    with np.errstate(all="ignore"):
        return graph.evaluate(list(inputs))
