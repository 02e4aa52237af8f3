"""Sequences and optionals as inputs: their tensors, where the user says of what shapes these are.

`shapes` with `x[0]`, `x[1]`, ... makes a sequence `x` of so many tensors, each an input of the graph; an optional that
`shapes` names is one with content, any other one is without.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import onnx


@dataclass
class Inputs:
    """The inputs of a model as tensors, and which of them make up a sequence."""

    tensors: list[onnx.ValueInfoProto] = field(default_factory=list)
    sequences: dict[str, list[str]] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    """Optionals without content."""


def unfolded(inputs: Sequence[onnx.ValueInfoProto], named: Collection[str]) -> Inputs:
    """Inputs with those sequences and optionals resolved whose tensors are among the names of given shapes."""
    found, taken = Inputs(), {value.name for value in inputs}
    for value in inputs:
        kind = value.type
        if kind.WhichOneof("value") == "optional_type":
            kind = kind.optional_type.elem_type
        members = [] if kind.WhichOneof("value") != "sequence_type" else _members(value.name, named)
        if members and not taken.intersection(members):
            found.sequences[value.name] = members
            found.tensors += [_tensor(name, kind.sequence_type.elem_type) for name in members]
        elif kind is not value.type and value.name not in named:
            found.absent.append(value.name)
        else:
            given = kind.WhichOneof("value") == "tensor_type" and value.name in named
            found.tensors.append(_tensor(value.name, kind) if given and kind is not value.type else value)
    return found


def _members(name: str, named: Collection[str]) -> list[str]:
    names = (f"{name}[{place}]" for place in itertools.count())
    return list(itertools.takewhile(lambda one: one in named, names))


def _tensor(name: str, kind: onnx.TypeProto) -> onnx.ValueInfoProto:
    """A tensor of a type; names of dimensions are left out, for each tensor has its own."""
    made = onnx.ValueInfoProto(name=name, type=kind)
    for dim in made.type.tensor_type.shape.dim:
        dim.ClearField("dim_param")
    return made
