"""Axes of an exported model counted from the end, as other models count them; the exporter counts from the start."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.onnx_export import Exported, serialized

BY_ATTRIBUTE = ("arg-reduce", "concat", "gather", "layer-norm", "scatter-elements", "softmax", "top-k")
BY_INPUT = {"reduce": 1, "slice": 3}
"""Where the list of axes stands among the inputs of a node."""
INT64 = 7


def counted_from_the_end(exported: Exported) -> bytes:
    """The file of a model that is changed so that every second node that has axes counts them from the end."""
    model: Any = exported.model
    made = [(node, exported.ops[node.name]) for node in model.graph.node if node.name in exported.ops]
    having = [(node, op) for node, op in made if op.name in (*BY_ATTRIBUTE, *BY_INPUT)]
    for node, op in having[::2]:
        if op.name in BY_INPUT:
            _count_input(model.graph, node, BY_INPUT[op.name], op.operands[0].rank)
        else:
            _count_attribute(node, op.operands[0].rank)
    return serialized(model)


def _count_attribute(node: Any, rank: int) -> None:
    for attribute in node.attribute:
        if attribute.name == "axis" and attribute.i >= 0:
            attribute.i -= rank


def _count_input(graph: Any, node: Any, place: int, rank: int) -> None:
    """A weight of its own: other nodes may read the old one."""
    weights = {one.name: one for one in graph.initializer}
    known = weights.get(node.input[place]) if len(node.input) > place else None
    if known is None:
        return
    axes = [int(axis) - rank for axis in np.frombuffer(known.raw_data, np.int64)]
    name = f"{node.name} from the end"
    graph.initializer.add(name=name, data_type=INT64, dims=[len(axes)], int64_data=axes)
    node.input[place] = name
