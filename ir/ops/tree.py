"""Decision trees, and numbers looked up by their keys."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, arg, operator
from ..types import TensorType, f32, f64, i32, i64, u8
from ..value import Value
from .constant import array_of, constant
from .routine import Number, Routine

MODES = ("leq", "lt", "gte", "gt", "eq", "neq")
"""How an element is compared with the threshold of a node; 8 more: NaN goes where the comparison holds."""
MISSING_HOLDS = 8


@operator("tree-ensemble")
class TreeEnsemble(Routine):
    """The joined weights of the leaves that the rows of x [N, F] reach in every tree: [N, outputs].

    `nodes` [M, 3] (i32, constant as all operands but x) holds of each node the column that it looks at, where to go if
    the comparison with its threshold holds, and where else; -1 - l is leaf l. `modes` [M] are the comparisons, or
    `mode` is that of all nodes. A tree begins at its `roots`. Leaf l has the weights `leaves[l]` to `leaves[l + 1]`,
    each for one output (`targets`). Weights are joined by `reduction` (add, max, min) from tree to tree.
    """

    x: Value
    nodes: Value
    thresholds: Value
    modes: Value | None
    roots: Value
    leaves: Value
    targets: Value
    weights: Value
    outputs: int
    reduction: str = "add"
    mode: int = 0
    family = "tree"

    def infer(self, x: TensorType, *tables: TensorType | None) -> TensorType:
        if x.rank != 2 or x.dtype not in (f32, f64) or self.reduction not in ("add", "max", "min") or self.outputs < 1:
            raise ModelError(f"trees on {x} joined by '{self.reduction}'", hint="f32[N, F]; add, max, min")
        arrays = [array_of(v) for v in self.operands[1:]]
        if any(a is None for a in arrays):
            raise ModelError("its trees are not constant")
        self._check(x.shape[1], *(a for a in arrays if a is not None))
        return TensorType(x.dtype, (x.shape[0], self.outputs))

    def _check(self, columns: int, nodes: Array, thresholds: Array, *rest: Array) -> None:
        roots, leaves, targets, weights = rest[-4:]
        modes = rest[0] if self.modes is not None else np.array([self.mode])
        if nodes.ndim != 2 or nodes.shape[1] != 3 or len(thresholds) != len(nodes) or {modes.ndim, roots.ndim} != {1}:
            raise ModelError("the tables of its nodes do not fit one another")
        if nodes[:, 0].min() < 0 or nodes[:, 0].max() >= columns or (modes % MISSING_HOLDS >= len(MODES)).any():
            raise ModelError(f"its nodes look at columns {nodes[:, 0].min()} .. {nodes[:, 0].max()} of {columns}")
        ends = np.concatenate([nodes[:, 1:].reshape(-1), roots])
        if ends.max() >= len(nodes) or ends.min() < 1 - len(leaves) or (np.diff(leaves) < 0).any() or leaves[0] != 0:
            raise ModelError("its branches lead nowhere")
        if (
            leaves[-1] != len(targets)
            or len(targets) != len(weights)
            or not 0 <= targets.min() <= targets.max() < self.outputs
        ):
            raise ModelError("the weights of its leaves do not fit one another")

    def evaluate(self, x: Array, nodes: Array, thresholds: Array, modes: Array | None, *rest: Array) -> Array:
        roots, leaves, targets, weights = rest
        start = {"add": 0.0, "max": np.finfo(x.dtype).min, "min": np.finfo(x.dtype).max}[self.reduction]
        found = np.full(self.type.shape, start, x.dtype)
        join = {"add": np.add, "max": np.maximum, "min": np.minimum}[self.reduction]
        kinds = np.full(len(nodes), self.mode, np.uint8) if modes is None else modes
        for root in roots:
            reached = self._leaf(x, nodes, thresholds, kinds, int(root))
            for row, leaf in enumerate(reached):
                for w in range(leaves[leaf], leaves[leaf + 1]):
                    found[row, targets[w]] = join(found[row, targets[w]], x.dtype.type(weights[w]))
        return found

    @staticmethod
    def _leaf(x: Array, nodes: Array, thresholds: Array, modes: Array, root: int) -> Array:
        """The leaf of one tree that each row reaches; the first one for a row that never reaches any."""
        at = np.full(len(x), root, np.int64)
        for _ in range(len(nodes)):
            inside = np.flatnonzero(at >= 0)
            if not inside.size:
                break
            here = at[inside]
            value, limit = x[inside, nodes[here, 0]], thresholds[here]
            tests = [value <= limit, value < limit, value >= limit, value > limit, value == limit, value != limit]
            holds = np.choose(modes[here] % MISSING_HOLDS, tests)
            holds |= np.isnan(value) & (modes[here] >= MISSING_HOLDS)
            at[inside] = np.where(holds, nodes[here, 1], nodes[here, 2])
        return np.where(at < 0, -1 - at, 0)

    @property
    def tasks(self) -> int:
        return self.x.shape[0]

    def numbers(self) -> dict[str, Number]:
        return {
            "type": self.x.dtype, "threshold_type": self.thresholds.dtype, "weight_type": self.weights.dtype,
            "reduction": self.reduction, "mode": self.mode, "columns": self.x.shape[1],
            "nodes": self.nodes.shape[0], "trees": self.roots.shape[0], "outputs": self.outputs,
        }  # fmt: skip

    @classmethod
    def samples(cls) -> Any:
        nodes = constant([[0, 1, 2], [2, -1, -2], [1, 3, -3], [0, -4, -1]], i32)
        thresholds, leaves = constant([0.5, -1.0, 0.25, 2.0], f32), constant([0, 1, 3, 4, 5], i32)
        targets, weights = constant([0, 1, 0, 2, 1], i32), constant([1.5, -2.0, 0.5, 3.0, 0.75], f32)
        rest = constant([0, 2], i32), leaves, targets, weights
        yield cls(arg(f32, 9, 3), nodes, thresholds, None, *rest, 3)
        yield cls(arg(f32, 9, 3), nodes, thresholds, constant([8, 3, 4, 10], u8), *rest, 3, "max")


@operator("look-up")
class LookUp(Routine):
    """values[i] where x equals keys[i], `default` [1] where it equals none; keys [K] ascend, NaN may be the last."""

    x: Value
    keys: Value
    values: Value
    default: Value
    family = "tree"

    def infer(self, x: TensorType, keys: TensorType, values: TensorType, default: TensorType) -> TensorType:
        if keys.dtype != x.dtype or keys.rank != 1 or values.shape != keys.shape or not keys.size:
            raise ModelError(f"keys {keys} and values {values} do not fit {x}")
        if default != TensorType(values.dtype, (1,)):
            raise ModelError(f"a default of type {default} beside values {values}")
        return TensorType(values.dtype, x.shape)

    def evaluate(self, x: Array, keys: Array, values: Array, default: Array) -> Array:
        at = np.minimum(np.searchsorted(keys, x), len(keys) - 1)
        same = (keys[at] == x) | ((keys[at] != keys[at]) & (x != x))
        return np.where(same, values[at], default[0])

    @property
    def tasks(self) -> int:
        return self.x.type.size

    def numbers(self) -> dict[str, Number]:
        return {"type": self.x.dtype, "value_type": self.values.dtype, "keys": self.keys.type.size}

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(i64, 3, 7), constant([-2, 0, 1, 5], i64), arg(f32, 4), arg(f32, 1))
        yield cls(arg(f32, 5), constant([0.0, np.nan], f32), arg(i64, 2), arg(i64, 1))
