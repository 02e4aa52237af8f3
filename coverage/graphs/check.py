"""Three ways to compute a graph, each against `evaluate`: the C that it compiles to, ONNX Runtime on the ONNX that it
is exported as, and what is imported from that ONNX again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...driver import import_model, lower
from ...errors import EdgecError
from ...ir import Graph, Op, Value
from ...ir.onnx_export import export
from ...targets import get_target
from ...toolchain import find_compiler
from ..batch import Model, run_models
from .axes import counted_from_the_end
from .exceptions import ONNX, RUNTIME, by_numbers, exemption, foreign
from .grow import Case
from .known import Known, differs, known_outputs
from .part import held_values, without

Array = np.ndarray
AGREES, PART, EXEMPT = "agrees", "agrees in part", "exempt"
DIFFERS, REFUSED, DIED = "differs", "refused", "died"
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
    runs = {RUNTIME: by_runtime, AGAIN: again}
    return [_exported(one, way, runs[way]) for way in ways if way in runs]


def _exported(one: Expected, way: str, run: Callable[[bytes, Sequence[Array]], list[Array]]) -> Finding:
    """What comes of a case one way, without its ops that are exempt there."""
    left, reasons = comparable(one.case, way)
    if left is None:
        return Finding(one.case.name, way, EXEMPT, reasons)
    some = Expected.of(left) if reasons else one
    got = _attempt(one, way, lambda: run(counted_from_the_end(export(left.graph)), left.inputs))
    found = got if isinstance(got, Finding) else some.finding(way, got)
    return Finding(found.name, way, PART, reasons) if reasons and found.status == AGREES else found


def comparable(case: Case, way: str) -> tuple[Case | None, str]:
    """A case without what is exempt, if anything is left, and the reasons why some is."""
    names = (ONNX, RUNTIME) if way == RUNTIME else (ONNX,)
    held = held_values(case) if way == RUNTIME else {}
    reasons = {op: _reason(op, names, held) for op in case.graph}
    of_inputs = [foreign(case.graph.inputs, who) for who in names]
    said = "; ".join(dict.fromkeys(filter(None, (*of_inputs, *reasons.values()))))
    return (without(case, lambda op: bool(reasons[op])) if said else case), said


def _reason(op: Op, names: Sequence[str], held: Mapping[Value, Array]) -> str:
    """Why an op is exempt, by itself or by the numbers that it meets."""
    return next(filter(None, (exemption(op, who) for who in names)), by_numbers(op, held) if held else "")


def by_runtime(content: bytes, inputs: Sequence[Array]) -> list[Array]:
    """The outputs by ONNX Runtime, which runs the graph as it was written."""
    import onnxruntime as runtime

    runtime.set_default_logger_severity(4)
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
