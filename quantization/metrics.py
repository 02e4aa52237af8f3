"""How good a network's answers are: a function of outputs and labels; larger is better."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..escaping import escape
from ..ir import Graph
from .data import Data
from .executor import CHUNK, Executor

Array = np.ndarray
Metric = Callable[[Any, Array], float]
"""The outputs (an array [samples, ...], a tuple of them where there are several) and the labels to a number."""


def top1(outputs: Any, labels: Array) -> float:
    """The share of samples whose largest output is the one that the label names."""
    return _top(outputs, labels, 1)


def top5(outputs: Any, labels: Array) -> float:
    """The share of samples whose label is among the five largest outputs."""
    return _top(outputs, labels, 5)


def ctc(outputs: Any, labels: Array) -> float:
    """The share of sequences that a greedy CTC reading gets right from beginning to end.

    Scores are [samples, classes, steps] with the blank as last class, labels [samples, length], padded with -1.
    """
    scores = _first(outputs)
    if scores.ndim != 3 or labels.ndim != 2:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} are not [N, classes, steps] and [N, length]")
    best = zip(scores.argmax(axis=1), labels, strict=True)
    return float(np.mean([_read(row, scores.shape[1] - 1) == [c for c in label if c >= 0] for row, label in best]))


def _read(best: Array, blank: int) -> list[int]:
    """A line of best classes without repetitions and blanks."""
    changed = np.append(True, best[1:] != best[:-1])
    return [int(c) for c in best[changed] if c != blank]


def _top(outputs: Any, labels: Array, count: int) -> float:
    scores = _first(outputs)
    if labels.size != len(scores):
        what = f"labels {labels.shape} for {len(scores)} samples: it takes one label a sample"
        raise ValueError(f"{what}; ctc reads sequences, FILE.py:function anything")
    best = np.argsort(-scores.reshape(len(scores), -1), axis=1, kind="stable")[:, :count]
    return float((best == labels.reshape(-1, 1)).any(axis=1).mean())


def _first(outputs: Any) -> Array:
    return np.asarray(outputs[0] if isinstance(outputs, tuple) else outputs)


METRICS: dict[str, Metric] = {"top1": top1, "top5": top5, "ctc": ctc}


def find_metric(chosen: str | Metric) -> Metric:
    """A metric by name, or the function that `FILE.py:function` names; the file is run."""
    if callable(chosen):
        return chosen
    if chosen in METRICS:
        return METRICS[chosen]
    file, separator, name = chosen.rpartition(":")
    if not separator or not file.endswith(".py"):
        hint = f"{', '.join(METRICS)} or FILE.py:function"
        raise UsageError(f"there is no metric '{escape(chosen)}'", hint=hint)
    return _from_file(Path(file), name)


def _from_file(path: Path, name: str) -> Metric:
    if not path.is_file():
        raise UsageError(f"there is no file '{escape(str(path))}'")
    spec = importlib.util.spec_from_file_location(f"edgec_metric_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"'{escape(str(path))}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        what = f"'{escape(str(path))}' does not run: {type(error).__name__}: {escape(str(error))}"
        raise UsageError(what) from error
    found = getattr(module, name, None)
    if not callable(found):
        raise UsageError(f"'{escape(str(path))}' has no function '{escape(name)}'")
    return found  # type: ignore[no-any-return]


def outputs_of(graph: Graph, data: Data, executor: Executor, limit: int | None = None) -> list[Array]:
    """Each output of a graph on all samples (or the first `limit`): [samples, ...] without a leading 1."""
    run = executor(graph)
    chunks = [run(chunk) for chunk in data.chunks(CHUNK, limit)]
    found = [np.concatenate(column) for column in zip(*chunks, strict=True)]
    return [a[:, 0] if a.ndim > 1 and a.shape[1] == 1 and a.ndim > 2 else a for a in found]


def score(metric: Metric, outputs: list[Array], labels: Array) -> float:
    """The metric of outputs; UsageError where it fails or gives no number, or labels do not match."""
    if len(outputs[0]) > len(labels):
        raise UsageError(f"there are {len(outputs[0])} samples and {len(labels)} labels")
    given = outputs[0] if len(outputs) == 1 else tuple(outputs)
    try:
        return float(metric(given, labels[: len(outputs[0])]))
    except Exception as error:
        name = escape(getattr(metric, "__name__", "metric"))
        raise UsageError(f"metric '{name}' failed: {type(error).__name__}: {escape(str(error))}") from error


def sqnr(reference: list[Array], found: list[Array]) -> float:
    """Signal to quantization noise over all outputs, in decibels; infinite where they are equal."""
    signal = sum(float(np.sum(np.square(a, dtype=np.float64))) for a in reference)
    noise = sum(float(np.sum(np.square(a.astype(np.float64) - b))) for a, b in zip(reference, found, strict=True))
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(max(signal, 1e-300) / noise))
