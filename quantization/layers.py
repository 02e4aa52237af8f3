"""The layers of a graph that carry weights: how they are called and along which axes their weights run."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..ir import Graph, Op, Value
from ..ir.ops import Add, Conv, ConvTranspose, MatMul, array_of

Array = np.ndarray


@dataclass(frozen=True)
class Layer:
    """A convolution or matrix product with constant weights.

    `name` is unique in its graph and the same in every copy of it.
    """

    name: str
    op: Op
    x: Value
    w: Value

    @property
    def weights(self) -> Array:
        """Weights as the op holds them: [M, C/groups, kernel...], transposed [C, M/groups, kernel...], [..., K, N]."""
        found = array_of(self.w)
        assert found is not None
        return found

    @property
    def kind(self) -> str:
        """`conv`, `depthwise`, `conv-transpose` or `matmul`."""
        return "depthwise" if isinstance(self.op, Conv) and self.op.is_depthwise else self.op.name

    @property
    def groups(self) -> int:
        """Convolution groups; 1 for a matrix product."""
        return self.op.groups if isinstance(self.op, Conv | ConvTranspose) else 1

    @property
    def is_matmul(self) -> bool:
        return isinstance(self.op, MatMul)

    @property
    def x_axis(self) -> int:
        """The axis of the input along which its channels run."""
        return self.x.rank - 1 if self.is_matmul else 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run."""
        return self.op.macs()

    @property
    def bias(self) -> Value | None:
        """The bias operand of a convolution."""
        return self.op.bias if isinstance(self.op, Conv | ConvTranspose) else None

    @property
    def bias_values(self) -> Array | None:
        """What is added to each row: a bias, or a constant that the only reader of a matrix product adds."""
        if not self.is_matmul:
            return array_of(self.bias)
        result = self.op.results[0]
        reader = next(iter(result.users)) if result.has_one_use else None
        added = [array_of(v) for v in reader.operands if v is not result] if isinstance(reader, Add) else []
        columns = [a.reshape(-1) for a in added if a is not None and a.shape[-1:] == self.w.shape[-1:] == (a.size,)]
        return columns[0] if columns and self.w.rank == 2 else None

    def rows(self, weights: Array) -> Array:
        """Weights as a matrix [outputs, what one output sums over]; taps outermost, input channels innermost.

        A transposed convolution has one row for each output channel of a group.
        """
        if self.is_matmul:
            return np.moveaxis(weights, -2, -1).reshape(-1, weights.shape[-2])
        if isinstance(self.op, ConvTranspose):
            weights = np.swapaxes(weights, 0, 1)
        return np.moveaxis(weights, 1, -1).reshape(weights.shape[0], -1)

    def from_rows(self, rows: Array) -> Array:
        """The inverse of `rows`."""
        shape = self.w.shape
        if self.is_matmul:
            return np.moveaxis(rows.reshape(*shape[:-2], shape[-1], shape[-2]), -1, -2)
        if isinstance(self.op, ConvTranspose):
            swapped = (shape[1], *shape[2:], shape[0])
            return np.swapaxes(np.moveaxis(rows.reshape(swapped), -1, 1), 0, 1)
        return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)

    @property
    def row_scale_shape(self) -> tuple[int, ...]:
        """The shape of one number for each row, as it broadcasts against the weights."""
        shape = self.w.shape
        if self.is_matmul:
            return (*shape[:-2], 1, shape[-1])
        ones = (1,) * (len(shape) - 2)
        return (1, shape[1], *ones) if isinstance(self.op, ConvTranspose) else (shape[0], 1, *ones)

    @property
    def row_length(self) -> int:
        """How many products one output sums."""
        return int(self.rows(self.weights).shape[1])


def find_layers(graph: Graph) -> list[Layer]:
    """The layers of a graph with floating-point weights, in order."""
    found = [(op, *_operands(op)) for op in graph if _has_weights(op)]
    names = _unique([op.origin.name if op.origin and op.origin.name else op.name for op, _, _ in found])
    return [Layer(name, op, x, w) for name, (op, x, w) in zip(names, found, strict=True)]


def _has_weights(op: Op) -> bool:
    if not isinstance(op, Conv | ConvTranspose | MatMul):
        return False
    x, w = _operands(op)
    weights = array_of(w)
    usable = weights is not None and weights.dtype == np.float32 and weights.ndim >= 2 and math.prod(weights.shape) > 0
    return usable and array_of(x) is None


def _operands(op: Op) -> tuple[Value, Value]:
    return (op.operands[0], op.operands[1])


def _unique(names: list[str]) -> list[str]:
    counts, seen = Counter(names), Counter[str]()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if counts[name] == 1 else f"{name}#{seen[name]}")
    return found
