"""Graphs and arrays made from the operators' own samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgec.ir import REGISTRY, Graph, Op, Tolerance, Value
from edgec.ir.ops import constant
from edgec.ir.strings import as_numbers, words

WITH_WEIGHTS = ("conv", "conv-transpose", "half-conv", "winograd-conv")
"""Operators whose operands after the first are known at compile time."""

POSITIVE = ("log", "sqrt", "pow", "batch-norm")
"""Operators that are tried on positive numbers."""

INTERNAL = ("cascade", "constant", "fused", "impossible", "output")
"""What stands in every graph, or is made by passes alone."""


def samples_of(name: str) -> list[Op]:
    """Fresh samples of an operator."""
    return list(REGISTRY[name].samples())


def random_array(value: Value, generator: np.random.Generator, positive: bool = False) -> np.ndarray:
    """Numbers for a value: floats around 0 (or all above 0.1), small integers, bools."""
    if value.dtype.is_text:
        return words(value.type, generator)
    if value.dtype.name == "bool":
        return np.asarray(generator.random(value.shape) > 0.5)
    drawn = generator.standard_normal(value.shape) * 2
    return np.asarray(np.abs(drawn) + 0.1 if positive else drawn).astype(value.dtype.numpy)


def with_weights(op: Op, seed: int = 0) -> Op:
    """The op, its weights constant where it needs them so."""
    if op.name not in WITH_WEIGHTS:
        return op
    generator = np.random.default_rng(seed)
    fixed = {v: constant(random_array(v, generator)) for v in op.operands[1:]}
    return op.with_operands(lambda v: fixed.get(v, v))


def graph_of(ops: Iterable[tuple[str, Op]], name: str = "samples") -> Graph:
    """One graph of named ops side by side; operands that nothing computes become inputs."""
    graph = Graph(name)
    results: list[Value] = []
    names: list[str] = []
    for label, op in ops:
        for value in op.operands:
            if value.producer is None and value not in graph.inputs:
                value.name = f"i{len(graph.inputs)}"
                graph.inputs.append(value)
        graph.add(op)
        results += op.results
        names += [label] * len(op.results)
    graph.set_outputs(results, [f"{n}.{i}" for i, n in enumerate(names)])
    return graph


def inputs_of(graph: Graph, seed: int = 1) -> list[np.ndarray]:
    """Random arrays for the inputs, positive where their readers want that."""
    generator = np.random.default_rng(seed)
    return [random_array(v, generator, any(u.name in POSITIVE for u in v.users)) for v in graph.inputs]


@dataclass(frozen=True)
class Reference:
    """A graph with arrays for its inputs, what `evaluate` makes of them, and how near others must come."""

    graph: Graph
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    tolerances: list[Tolerance]

    def faults(self, got: Sequence[np.ndarray]) -> list[str]:
        """Outputs that differ by more than their tolerance, named."""
        rows = zip(self.graph.output_names, got, self.outputs, self.tolerances, strict=True)
        described = ((name, fault(a, b, t)) for name, a, b, t in rows)
        return [f"{name}: {text}" for name, text in described if text]


def reference(graph: Graph, inputs: list[np.ndarray] | None = None, tolerance: Tolerance | None = None) -> Reference:
    """Evaluate a graph; without a tolerance each output has that of its op."""
    arrays = inputs_of(graph) if inputs is None else inputs
    with np.errstate(all="ignore"):
        wanted = graph.evaluate(arrays)
    own = [v.producer.tolerance if v.producer else Tolerance(0, 0) for v in graph.outputs]
    return Reference(graph, arrays, wanted, own if tolerance is None else [tolerance] * len(own))


def fault(got: np.ndarray, wanted: np.ndarray, tolerance: Tolerance) -> str:
    """How two arrays differ beyond |a - b| <= absolute + relative * max|b|; NaN and infinities must stand in place."""
    if (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
        return f"{got.dtype}{got.shape} instead of {wanted.dtype}{wanted.shape}"
    a, b = (as_numbers(array).astype(np.float64) for array in (got, wanted))
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return f"{a[~finite][:4]} instead of {b[~finite][:4]}"
    a, b = np.where(finite, a, 0), np.where(finite, b, 0)
    apart = np.abs(a - b)
    allowed = tolerance.absolute + tolerance.relative * np.abs(b).max(initial=0)
    if (apart <= allowed).all():
        return ""
    place = np.unravel_index(int(np.argmax(~(apart <= allowed))), a.shape)
    return f"{got[place]} instead of {wanted[place]} at {[int(i) for i in place]} ({got.shape}, {allowed:.3g} allowed)"
