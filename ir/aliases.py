"""Inputs and outputs that the caller passes as one buffer: caches that grow in place, states that are updated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import UsageError
from ..escaping import escape
from .dims import lower, upper
from .graph import Graph
from .types import TensorType

KEY = "aliases"
"""Where the metadata of a graph has the names of inputs with those of their outputs."""

Tensors = Sequence[tuple[str, TensorType]]
"""Names and types of inputs or outputs, in order."""


@dataclass(frozen=True)
class Alias:
    """An input and an output, by their places among inputs and outputs, that are one buffer.

    `axis` is the dimension along which the output is longer than the input, -1 where they have one shape. `type` is
    that of the buffer: the output's, as long along that dimension as it can get.
    """

    input: int
    output: int
    axis: int
    type: TensorType

    @property
    def grows(self) -> bool:
        """Whether the output holds the input and more; it lies in the buffer with the strides of `type`."""
        return self.axis >= 0


def declare_aliases(graph: Graph, pairs: Mapping[str, str]) -> None:
    """Say which inputs, by name, share their buffer with which output; UsageError where they cannot."""
    if pairs:
        graph.metadata[KEY] = dict(pairs)
        aliases_of(graph)


def aliases_of(graph: Graph) -> tuple[Alias, ...]:
    """The aliases that a graph declares, in the order of its inputs."""
    pairs: Mapping[str, str] = graph.metadata.get(KEY, {})
    if not pairs:
        return ()
    inputs = [(v.name, v.type.with_order(())) for v in graph.inputs]
    outputs = [(n, v.type.with_order(())) for n, v in zip(graph.output_names, graph.outputs, strict=True)]
    return resolve(pairs, inputs, outputs)


def resolve(pairs: Mapping[str, str], inputs: Tensors, outputs: Tensors) -> tuple[Alias, ...]:
    """The aliases of an interface in the order of its inputs; UsageError where names or types do not fit."""
    twice = [name for name in pairs.values() if list(pairs.values()).count(name) > 1]
    if twice:
        raise UsageError(f"output '{escape(twice[0])}' shares its buffer with two inputs")
    found = [_resolved(pair, inputs, outputs) for pair in pairs.items()]
    return tuple(sorted(found, key=lambda alias: alias.input))


def _resolved(pair: tuple[str, str], inputs: Tensors, outputs: Tensors) -> Alias:
    at, to = _find(pair[0], inputs, "input"), _find(pair[1], outputs, "output")
    given, made = inputs[at][1], outputs[to][1]
    unequal = [a for a in range(made.rank) if given.rank == made.rank and given.shape[a] != made.shape[a]]
    longer = all(lower(made.shape[a] - given.shape[a]) >= 0 for a in unequal)
    if given.dtype != made.dtype or given.rank != made.rank or len(unequal) > 1 or not longer:
        types = f"{given} and {made}"
        what = f"input '{escape(pair[0])}' and output '{escape(pair[1])}' cannot be one buffer: {types}"
        raise UsageError(
            what, hint="they must have one element type and one shape; the output may be longer along one axis"
        )
    axis = unequal[0] if unequal else -1
    most = tuple(upper(d) if a == axis else d for a, d in enumerate(made.shape))
    return Alias(at, to, axis, made.with_shape(most))


def _find(name: str, tensors: Tensors, kind: str) -> int:
    names = [one for one, _ in tensors]
    if name not in names:
        raise UsageError(f"there is no {kind} '{escape(name)}' to share a buffer", hint=f"{kind}s: {_listed(names)}")
    return names.index(name)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{escape(name)}'" for name in names)
