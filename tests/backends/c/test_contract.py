"""Contractions over strides, and products of columns (gathers behind gathers), against `evaluate`."""

from __future__ import annotations

from edgec.ir import Op, arg, f32
from edgec.ir.ops import Contract, Conv, ConvInteger, ConvTranspose, Pool
from edgec.ir.types import f64, i8, u8

from ...samples import graph_of, reference
from .harness import compiled, outputs

OPS: list[Op] = [
    *Contract.samples(),
    Conv(arg(f32, 2, 4, 5, 6), arg(f32, 6, 2, 3, 2), arg(f32, 6), (2, 1), (1, 0, 1, 1), (1, 2), 2),
    ConvTranspose(arg(f64, 1, 4, 3, 5), arg(f64, 4, 2, 3, 2), None, (1, 3), (0, 1, 0, 0), groups=2),
    ConvInteger(arg(u8, 1, 2, 4, 4), arg(i8, 3, 2, 2, 2), None, 7, pads=(1, 0, 0, 1)),
    Pool(arg(f64, 1, 2, 5, 6), "max", (2, 3), (2, 1), (1, 0, 0, 1), (1, 2)),
]


def test_contractions() -> None:
    wanted = reference(graph_of((f"{i}-{op.name}", op) for i, op in enumerate(OPS)))
    with compiled(wanted.graph, "host") as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []
