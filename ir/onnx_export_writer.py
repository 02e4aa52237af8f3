"""What export rules write to: nodes, weights and the tensors between them, named when all is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper

from .op import Array, Op
from .types import DType
from .value import Value

SMALL = 1024
"""Weights of up to this many bytes are shared by content: shapes, scales, zero points."""


@dataclass(eq=False)
class Tensor:
    """A tensor of the ONNX graph; it gets its name at the end."""

    name: str = ""


@dataclass(frozen=True)
class Spelled:
    """One ONNX node and the op of the graph that it comes from."""

    op_type: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    attributes: dict[str, Any]
    source: Op


class Writer:
    """An ONNX graph in the making."""

    def __init__(self) -> None:
        self.nodes: list[Spelled] = []
        self.arrays: dict[Tensor, Array] = {}
        self.values: dict[Value, Tensor] = {}
        self._shared: dict[tuple[str, tuple[int, ...], bytes], Tensor] = {}
        self._produced: set[Tensor] = set()
        self._source: Op | None = None
        self.taken: set[str] = set()
        """The names in use, once they are given."""

    @contextmanager
    def writing(self, source: Op) -> Iterator[None]:
        """Nodes of the body come from an op."""
        before, self._source = self._source, source
        yield
        self._source = before

    def input(self, value: Value) -> None:
        """Add an input of the graph."""
        self.values[value] = Tensor()

    def output(self, value: Value) -> Tensor:
        """A tensor of its own for an output: inputs, weights and tensors that are outputs already are copied."""
        tensor = self.of(value)
        if tensor in self._produced:
            self._produced.discard(tensor)
            return tensor
        with self.writing(value.producer or _copying()):
            copied = self.emit("Identity", tensor)
        self._produced.discard(copied)
        return copied

    def of(self, value: Value) -> Tensor:
        """The tensor of a value that has been written."""
        return self.values[value]

    def weights(self, array: Array) -> Tensor:
        """A tensor known now."""
        array = np.asarray(array)
        if array.nbytes > SMALL:
            return self.own_weights(array)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._shared:
            self._shared[key] = self.own_weights(array)
        return self._shared[key]

    def own_weights(self, array: Array) -> Tensor:
        """A tensor known now that no other node reads."""
        tensor = Tensor()
        self.arrays[tensor] = array
        return tensor

    def integers(self, numbers: Sequence[int]) -> Tensor:
        """A list of int64: shapes, axes, pads."""
        return self.weights(np.asarray(numbers, np.int64))

    def emit(self, op_type: str, *inputs: Tensor | None, **attributes: Any) -> Tensor:
        """A node with one result."""
        return self.emit_many(op_type, 1, *inputs, **attributes)[0]

    def emit_many(self, op_type: str, count: int, *inputs: Tensor | None, **attributes: Any) -> tuple[Tensor, ...]:
        """A node with several results; absent optional inputs are None."""
        assert self._source is not None
        outputs = tuple(Tensor() for _ in range(count))
        self.nodes.append(Spelled(op_type, inputs, outputs, attributes, self._source))
        self._produced.update(outputs)
        return outputs

    def cast(self, tensor: Tensor, to: DType) -> Tensor:
        """A tensor in another element type; a small one that is known is cast now."""
        known = self.arrays.get(tensor)
        if known is not None and known.nbytes <= SMALL:
            return self.weights(known.astype(to.numpy))
        return self.emit("Cast", tensor, to=int(helper.np_dtype_to_tensor_dtype(to.numpy)))

    def reshape(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """A tensor in another shape; a 0 in it means no elements, not a copied dimension."""
        return self.emit("Reshape", tensor, self.integers(shape), **({"allowzero": 1} if 0 in shape else {}))


def _copying() -> Op:
    """What a node comes from that copies an input to an output."""
    op = Op()
    op.results, op.origin = (), None
    return op
