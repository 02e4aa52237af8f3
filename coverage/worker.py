"""One of the processes that run cases: whatever dies in it, dies alone."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from ..driver import import_model, lower
from ..errors import EdgecError, ToolchainError, Unsupported
from ..ir import Graph
from ..ir.evaluate import bind_inputs
from ..ir.onnx_suite import Case, given_shapes, load_cases
from ..targets import get_target
from ..toolchain import cannot_run, find_compiler
from .batch import Model, run_models
from .disputes import DISPUTES
from .verdict import CRASHED, DISPUTED, PASSED, RANDOM, REFUSED, WRONG, Verdict, judge

Array = np.ndarray
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """How to run cases: on a target by the C compiler, or with numpy alone."""

    kind: str
    target: str
    evaluate: bool
    compiler: str = ""


@dataclass(frozen=True)
class _Ready:
    """A case that was compiled, and what is known of it."""

    case: Case
    types: tuple[str, ...]
    kernels: tuple[str, ...]
    model: Model


def serve(connection: Connection, task: Task) -> None:
    """Take lists of names, run the cases, and send what came of each; before each its name, so that it is known."""
    warnings.simplefilter("ignore")
    cases = {case.name: case for case in load_cases(task.kind)}
    with suppress(EOFError):
        while names := connection.recv():
            connection.send(_sent([cases[name] for name in names], task, connection))


def _sent(cases: Sequence[Case], task: Task, connection: Connection) -> EdgecError | None:
    """Send what comes of cases; what ended that early, if anything did."""
    try:
        for verdict in verdicts(cases, task, connection.send):
            connection.send(verdict)
    except EdgecError as error:
        return error
    return None


def verdicts(cases: Sequence[Case], task: Task, tell: Tell = lambda name: None) -> Iterator[Verdict]:
    """Run cases of one kind together."""
    if task.evaluate:
        yield from (_evaluated(case, tell) for case in cases)
    else:
        yield from _compiled(cases, task, tell)


def _evaluated(case: Case, tell: Tell) -> Verdict:
    tell(case.name)
    made = _attempt(case, lambda: _evaluate(case))
    if isinstance(made, Verdict):
        return made
    types, results = made
    return _judged(case, results, types, ())


def _evaluate(case: Case) -> tuple[tuple[str, ...], list[list[Array]]]:
    graph = import_model(case.model, given_shapes(case))
    return _types(graph), [graph.evaluate(_arrays(given)) for given, _ in case.samples]


def _compiled(cases: Sequence[Case], task: Task, tell: Tell) -> Iterator[Verdict]:
    target = get_target(task.target)
    compiler = find_compiler(target, task.compiler)
    if reason := cannot_run(target):
        raise ToolchainError(reason)
    ready: list[_Ready] = []
    for case in cases:
        tell(case.name)
        made = _attempt(case, lambda case=case: _lower(case, task))  # type: ignore[misc]
        if isinstance(made, Verdict):
            yield made
        else:
            ready.append(made)
    if not ready:
        return
    tell("")
    with tempfile.TemporaryDirectory(prefix="edgec-") as name:
        results = run_models([one.model for one in ready], compiler, Path(name))
        for one, got in zip(ready, results, strict=True):
            if isinstance(got, str):
                yield Verdict(one.case.name, one.case.kind, CRASHED, got, one.case.operators, one.types, one.kernels)
            else:
                yield _judged(one.case, got, one.types, one.kernels)


def _lower(case: Case, task: Task) -> _Ready:
    lowered = lower(case.model, task.target, shapes=given_shapes(case))
    samples = [bind_inputs(lowered.graph, _arrays(given)) for given, _ in case.samples]
    model = Model.of(lowered.graph, lowered.target, samples)
    kernels = tuple(dict.fromkeys(one["kernel"] for one in model.emitted.report["regions"]))
    return _Ready(case, _types(lowered.imported), kernels, model)


def _arrays(given: Sequence[Any]) -> list[Array]:
    return [np.asarray(one) for one in _flat(given)]


def _flat(given: Sequence[Any]) -> list[Any]:
    """Tensors in the place of sequences and optionals, as they are inputs and outputs of a graph."""
    return [item for one in given if one is not None for item in (one if isinstance(one, list) else [one])]


def _types(graph: Graph) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value.dtype.name for value in (*graph.inputs, *graph.outputs)))


def _attempt(case: Case, work: Callable[[], Any]) -> Any:
    """What the work gives, or the verdict where it raises."""
    try:
        return work()
    except Unsupported as error:
        return Verdict(case.name, case.kind, REFUSED, str(error.nodes[0]), case.operators)
    except EdgecError as error:
        return Verdict(case.name, case.kind, REFUSED, error.what, case.operators)
    except Exception as error:
        return Verdict(case.name, case.kind, CRASHED, f"{type(error).__name__}: {error}", case.operators)


def _judged(
    case: Case, results: Sequence[Sequence[Array]], types: tuple[str, ...], kernels: tuple[str, ...]
) -> Verdict:
    numbers = not any(name in RANDOM for name, _ in case.operators)
    reason, ulp = judge(results, [_flat(wanted) for _, wanted in case.samples], case.rtol, case.atol, numbers)
    status = WRONG if reason else PASSED
    if reason and _is_disputed(case, results):
        status, reason = DISPUTED, DISPUTES[case.name].reason
    return Verdict(case.name, case.kind, status, reason, case.operators, types, kernels, ulp)


def _is_disputed(case: Case, results: Sequence[Sequence[Array]]) -> bool:
    """Whether results that are not the expected ones are those of the standard's words."""
    if case.name not in DISPUTES:
        return False
    found = [DISPUTES[case.name].by_the_words(given[0]) for given, _ in case.samples]
    wanted = [[one.astype(got[0].dtype)] for one, got in zip(found, results, strict=True)]
    return not judge(results, wanted, case.rtol, case.atol, True)[0]
