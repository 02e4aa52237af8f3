"""Decision trees, numbers looked up by their keys, and n-grams counted: what tables of data are read with."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, arg, operator
from ..types import TensorType, f32, f64, i32, i64, u8
from ..value import Value
from .constant import array_of, constant
from .routine import MAX_RANK, Number, Routine

MODES = ("leq", "lt", "gte", "gt", "eq", "neq")
"""How an element is compared with the threshold of a node; 8 more: NaN goes where the comparison holds."""
MISSING_HOLDS = 8


@operator("tree-ensemble")
class TreeEnsemble(Routine):
    """The joined weights of the leaves that the rows of x [N, F] reach in every tree: [N, outputs].

    `nodes` [M, 3] (i32, constant as all operands but x) holds of each node the column that it looks at, where to go if
    the comparison with its threshold holds, and where else; -1 - l is leaf l. `modes` [M] are the comparisons, or
    `mode` is that of all nodes. A tree begins at its `roots`. Leaf l has the weights `leaves[l]` to `leaves[l + 1]`,
    each for one output (`targets`). Weights are joined by `reduction` (add, max, min) from tree to tree; an output
    that no leaf reaches keeps what they begin with: 0, the least number, the largest.
    """

    x: Value
    nodes: Value
    thresholds: Value
    roots: Value
    leaves: Value
    targets: Value
    weights: Value
    modes: Value | None = None
    outputs: int = 1
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
        roots, leaves, targets, weights = rest[:4]
        modes = rest[4] if self.modes is not None else np.array([self.mode])
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

    def evaluate(
        self, x: Array, nodes: Array, thresholds: Array, roots: Array, leaves: Array, targets: Array, weights: Array,
        modes: Array | None,
    ) -> Array:  # fmt: skip
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
        yield cls(arg(f32, 9, 3), nodes, thresholds, *rest, None, 3)
        rest = (*rest[:2], constant([0] * 5, i32), rest[3])
        yield cls(arg(f32, 9, 3), nodes, thresholds, *rest, constant([8, 3, 4, 10], u8), 1, "max")


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


@operator("n-grams")
class NGrams(Routine):
    """How often each n-gram of a pool occurs in the rows of x [N, C] (i64): f32 [N, size].

    The pool holds first all 1-grams, then all 2-grams and so on, those of n elements from `starts[n - 1]` on; `columns`
    [grams] says which column counts each. Only those of `shortest` to `longest` elements count. Between the elements
    of an n-gram lie 0 to `skips` others, always as many.
    """

    x: Value
    pool: Value
    columns: Value
    size: int
    starts: tuple[int, ...]
    shortest: int = 1
    longest: int = 1
    skips: int = 0
    family = "tree"

    def infer(self, x: TensorType, pool: TensorType, columns: TensorType) -> TensorType:
        if x.rank != 2 or {x.dtype, pool.dtype, columns.dtype} != {i64} or {pool.rank, columns.rank} != {1}:
            raise ModelError(f"rows {x}, a pool {pool} and columns {columns}", hint="i64[N, C], i64[P], i64[G]")
        ends = [*self.starts, pool.size]
        ordered = ends == sorted(ends) and ends[0] == 0 and len(ends) <= MAX_RANK + 1
        if not ordered or not 1 <= self.shortest <= self.longest:
            raise ModelError(f"n-grams of {self.shortest} to {self.longest} elements from {list(self.starts)} on")
        if sum(count for _, _, count in self.groups()) > columns.size or self.size < 1 or self.skips < 0:
            raise ModelError(f"{columns.size} columns for the n-grams of a pool {pool}")
        return TensorType(f32, (x.shape[0], self.size))

    def groups(self) -> list[tuple[int, int, int]]:
        """The n-grams by n: n, where they start in the pool, how many there are."""
        ends = (*self.starts[1:], self.pool.type.size)
        return [(n + 1, a, (b - a) // (n + 1)) for n, (a, b) in enumerate(zip(self.starts, ends, strict=True))]

    def evaluate(self, x: Array, pool: Array, columns: Array) -> Array:
        found, first = np.zeros(self.type.shape, np.float32), 0
        for n, start, count in self.groups():
            for gram in range(count if self.shortest <= n <= self.longest else 0):
                wanted, column = pool[start + gram * n : start + (gram + 1) * n], columns[first + gram]
                if 0 <= column < self.size:
                    found[:, column] += self._occurrences(x, wanted)
            first += count
        return found

    def _occurrences(self, x: Array, gram: Array) -> Array:
        """How often a n-gram occurs in each row."""
        n, found = len(gram), np.zeros(len(x))
        for step in range(1, 2 if n == 1 else self.skips + 2):
            last = x.shape[1] - (n - 1) * step
            if last > 0:
                windows = np.arange(last)[:, None] + step * np.arange(n)
                found += (x[:, windows] == gram).all(2).sum(1)
        return found

    @property
    def tasks(self) -> int:
        return self.x.shape[0]

    def numbers(self) -> dict[str, Number]:
        groups = self.groups()
        return {
            "row": self.x.shape[1], "size": self.size, "longest": min(self.longest, len(groups)),
            "shortest": self.shortest, "skips": self.skips, "pool": self.pool.type.size,
            "groups": len(groups), "starts": self.starts,
        }  # fmt: skip

    @classmethod
    def samples(cls) -> Any:
        pool, columns = constant([-1, 0, 1, 2, 0, -1, 0, 1, 1, 2], i64), constant([3, 1, 0, 2, 4, 5, 1], i64)
        yield cls(arg(i64, 3, 9), pool, columns, 6, (0, 4), 1, 2, 3)
        yield cls(arg(i64, 2, 7), pool, columns, 6, (0, 4), 2, 2)
