"""An op that cannot be compiled, told by the node of the model that it comes from."""

from __future__ import annotations

from ..errors import UnsupportedNode
from .op import Op


def unsupported(op: Op, reason: str, nearest: str = "") -> UnsupportedNode:
    """The node that an op comes from, and why it is refused; `nearest` is what could stand in its place."""
    name = op.origin.name if op.origin else ""
    shapes = tuple("x".join(map(str, v.shape)) for v in op.operands)
    return UnsupportedNode(name, (op.origin and op.origin.onnx_type) or op.name, reason, shapes=shapes, nearest=nearest)
