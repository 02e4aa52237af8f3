"""Quantization in the form that TensorRT takes.

TensorRT knows one kind of integers: signed 8-bit ones around zero, with one scale for a tensor, or for weights one for
each output channel. A range that was quantized around another zero point gets a scale of its own, 127 steps for the
larger side. What it cannot compute on integers becomes float.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..ir import Graph
from .registry import register
from .rules.symmetric import RULES
from .tally import apply_rules


@register
@dataclass(frozen=True)
class SymmetricScales:
    """Quantize activations around zero; weights and biases that no integer layer reads become floats."""

    name: ClassVar[str] = "symmetric-scales"
    integers: ClassVar[bool] = True

    def run(self, graph: Graph) -> Graph:
        apply_rules(graph, RULES)
        return graph
