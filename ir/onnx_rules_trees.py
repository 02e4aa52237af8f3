"""Rules: ensembles of decision trees, in their old forms (a node table for all trees) and the new one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import ModelError
from .onnx_rules import Array, Node, NotCovered, rule
from .onnx_rules_math import cast
from .onnx_rules_scores import (
    TRANSFORMS,
    best_label,
    binary_label,
    label_count,
    labels_of,
    transformed,
    two_scores,
)
from .ops import Add, Div, Pad, TreeEnsemble, constant, like
from .ops.tree import MISSING_HOLDS, MODES
from .types import f32
from .value import Value

DOMAIN = "ai.onnx.ml"
MEMBER = len(MODES)
"""The comparison with a set, in the new form; it becomes a chain of comparisons with its members."""
AGGREGATES = {"SUM": "add", "AVERAGE": "add", "MIN": "min", "MAX": "max"}
Key = tuple[int, int]


@dataclass
class Forest:
    """The tables of a `tree-ensemble`, being filled."""

    nodes: list[list[int]] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)
    leaves: list[list[tuple[int, float]]] = field(default_factory=list)
    """The outputs and weights of each leaf."""

    def leaf(self, weights: Sequence[tuple[int, float]]) -> int:
        """A new leaf, as a place to go."""
        self.leaves.append(list(weights))
        return -len(self.leaves)

    def check(self) -> None:
        """`ModelError` where branches lead back to where they came from."""
        entered: dict[int, bool] = {}
        stack = [(root, False) for root in self.roots]
        while stack:
            node, left = stack.pop()
            if left:
                entered[node] = False
            elif node >= 0 and node not in entered:
                entered[node] = True
                stack.append((node, True))
                stack += [(child, False) for child in self.nodes[node][1:]]
            elif entered.get(node):
                raise ModelError("the branches of a tree lead in a circle")

    def build(self, x: Value, outputs: int, reduction: str, dtype: np.dtype) -> Value:
        """The op; tables without entries get one that nothing reads."""
        self.check()
        nodes = self.nodes or [[0, -1, -1]]
        leaves = [*self.leaves, [(0, 0.0)]]
        starts = np.cumsum([0, *(len(leaf) for leaf in leaves)])
        flat = [pair for leaf in leaves for pair in leaf]
        kinds = set(self.modes)
        modes = constant(np.array(self.modes, np.uint8)) if len(kinds) > 1 else None
        return TreeEnsemble(
            x if x.dtype.name in ("f32", "f64") else cast(x, f32),
            constant(np.array(nodes, np.int32)),
            constant(np.array(self.thresholds or [0.0], dtype)),
            constant(np.array(self.roots, np.int32)),
            constant(starts.astype(np.int32)),
            constant(np.array([t for t, _ in flat], np.int32)),
            constant(np.array([w for _, w in flat], dtype)),
            modes,
            outputs,
            reduction,
            0 if modes is not None else min(kinds, default=0),
        ).result


def _numbers(node: Node, name: str) -> Array:
    """An attribute that comes as floats or as a tensor of doubles."""
    tensor = node.attributes.get(f"{name}_as_tensor")
    return np.asarray(node.attributes.get(name) or (), np.float32) if tensor is None else np.asarray(tensor)


def _columns(node: Node, prefix: str, names: Sequence[str]) -> list[tuple[int, ...]]:
    """Integer attributes that must be equally long."""
    found = [node.ints(f"{prefix}_{name}") or () for name in names]
    if len({len(c) for c in found}) != 1:
        raise ModelError(f"its attributes {prefix}_* are not equally long")
    return found


def old_forest(node: Node, weights: str) -> Forest:
    """The trees of the old form, whose nodes are named by tree and number: the first begins, those of mode LEAF end."""
    names = ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids")
    trees, ids, features, true, false = _columns(node, "nodes", names)
    values, modes = _numbers(node, "nodes_values"), node.attributes.get("nodes_modes") or ()
    missing = node.ints("nodes_missing_value_tracks_true") or (0,) * len(trees)
    if not len(trees) == len(values) == len(modes) == len(missing) or not trees:
        raise ModelError("its attributes nodes_* are not equally long")
    given = _weights(node, weights)
    forest, places = Forest(), dict[Key, int]()
    for i, key in enumerate(zip(trees, ids, strict=True)):
        if key in places:
            raise ModelError(f"node {key[1]} of tree {key[0]} is there twice")
        places[key] = forest.leaf(given.get(key, ())) if modes[i] == "LEAF" else len(forest.nodes)
        if modes[i] != "LEAF":
            forest.nodes.append([features[i], i, i])
            forest.thresholds.append(values[i])
            forest.modes.append(_mode(modes[i]) + MISSING_HOLDS * (missing[i] != 0))
    children = set[Key]()
    for entry in forest.nodes:
        i = entry[1]
        pair = ((trees[i], true[i]), (trees[i], false[i]))
        if any(key not in places for key in pair):
            raise ModelError(f"the branches of node {ids[i]} of tree {trees[i]} lead nowhere")
        entry[1:] = [places[key] for key in pair]
        children |= set(pair)
    first = {tree: number for tree, number in reversed(places)}
    if any(key in children for key in first.items()):
        raise ModelError("the branches of a tree lead back to its first node")
    forest.roots = [places[tree, first[tree]] for tree in dict.fromkeys(trees)]
    return forest


def _mode(text: str) -> int:
    kind = text.removeprefix("BRANCH_").lower()
    if kind not in MODES:
        raise ModelError(f"there is no node of mode '{text}'")
    return MODES.index(kind)


def _weights(node: Node, prefix: str) -> dict[Key, list[tuple[int, float]]]:
    """The weights of each leaf by its tree and number."""
    trees, ids, targets = _columns(node, prefix, ("treeids", "nodeids", "ids"))
    weights = _numbers(node, f"{prefix}_weights")
    if len(weights) != len(trees):
        raise ModelError(f"its attributes {prefix}_* are not equally long")
    found: dict[Key, list[tuple[int, float]]] = {}
    for tree, number, target, weight in zip(trees, ids, targets, weights, strict=True):
        found.setdefault((tree, number), []).append((target, weight))
    return found


def _dtype(node: Node, *names: str) -> np.dtype:
    wide = any(_numbers(node, name).dtype == np.float64 for name in names)
    return np.dtype(np.float64 if wide else np.float32)


def _averaged(total: Value, kind: str, trees: int) -> Value:
    return Div(total, like(total, trees)).result if kind == "AVERAGE" else total


def _aggregate(kind: str) -> str:
    if kind not in AGGREGATES:
        raise ModelError(f"there is no aggregate_function '{kind}'", hint=", ".join(AGGREGATES))
    return AGGREGATES[kind]


@rule("TreeEnsembleRegressor", domain=DOMAIN)
def tree_ensemble_regressor(node: Node) -> Value:
    kind, outputs = node.text("aggregate_function", "SUM"), node.integer("n_targets", 1)
    forest, dtype = old_forest(node, "target"), _dtype(node, "nodes_values", "target_weights")
    total = forest.build(node.x, outputs, _aggregate(kind), dtype)
    total = cast(_averaged(total, kind, len(forest.roots)), f32)
    base = _numbers(node, "base_values")
    if base.size:
        total = Add(total, constant(base, f32)).result
    return transformed(total, node.text("post_transform", "NONE"))


@rule("TreeEnsembleClassifier", domain=DOMAIN)
def tree_ensemble_classifier(node: Node) -> tuple[Value | None, Value]:
    """Two classes of which only one has weights are one score; see ONNX Runtime for what is made of it."""
    labels, count = labels_of(node, "classlabels_int64s"), label_count(node, "classlabels_int64s")
    kind, classes = node.text("post_transform", "NONE"), set(node.ints("class_ids") or ())
    weights, base = _numbers(node, "class_weights"), _numbers(node, "base_values")
    forest, dtype = old_forest(node, "class"), _dtype(node, "nodes_values", "class_weights")
    if base.size not in (0, 1 if len(classes) == 1 and count < 3 else count):
        raise NotCovered(f"{base.size} base_values for {len(classes)} classes with weights", "one for each class")
    if count == 2 and len(classes) == 1:
        forest.leaves = [[(0, w) for _, w in leaf] for leaf in forest.leaves]
        score = cast(forest.build(node.x, 1, "add", dtype), f32)
        if base.size and classes == {0}:
            score = Add(score, constant(base, f32)).result
        positive = bool((weights >= 0).all())
        beside = Pad(score, (0, 1, 0, 0)).result
        scores = two_scores(score, positive, kind) if classes == {0} else transformed(beside, kind)
        return binary_label(score, 0.5 if positive else 0.0, labels), scores
    total = cast(forest.build(node.x, max(count, 1), "add", dtype), f32)
    if base.size:
        total = Add(total, constant(base, f32)).result
    return best_label(total, labels), transformed(total, kind)


@rule("TreeEnsemble", domain=DOMAIN)
def tree_ensemble(node: Node) -> Value:
    """The new form: trees begin at their roots, leaves stand in a table of their own."""
    kind = ("AVERAGE", "SUM", "MIN", "MAX")[node.integer("aggregate_function", 1)]
    forest, weights = _new_forest(node), np.asarray(node.attributes["leaf_weights"])
    total = forest.build(node.x, node.integer("n_targets", 1), _aggregate(kind), weights.dtype)
    return transformed(_averaged(total, kind, len(forest.roots)), TRANSFORMS[node.integer("post_transform", 0)])


def _new_forest(node: Node) -> Forest:
    names = ("featureids", "truenodeids", "falsenodeids", "trueleafs", "falseleafs")
    features, true, false, true_leaves, false_leaves = _columns(node, "nodes", names)
    splits, modes = np.asarray(node.attributes["nodes_splits"]), np.asarray(node.attributes["nodes_modes"])
    missing = node.ints("nodes_missing_value_tracks_true") or (0,) * len(features)
    targets, weights = node.ints("leaf_targetids") or (), np.asarray(node.attributes["leaf_weights"])
    if not len(features) == len(splits) == len(modes) == len(missing) or len(targets) != len(weights):
        raise ModelError("its attributes nodes_* or leaf_* are not equally long")
    forest = Forest()
    for target, weight in zip(targets, weights, strict=True):
        forest.leaf([(target, weight)])
    members = _members(node, int((modes == MEMBER).sum()))
    for i, feature in enumerate(features):
        ends = [-1 - t if leaf else t for t, leaf in ((true[i], true_leaves[i]), (false[i], false_leaves[i]))]
        if any(not -len(weights) <= end < len(features) for end in ends):
            raise ModelError(f"the branches of node {i} lead nowhere")
        forest.nodes.append([feature, *ends])
        forest.thresholds.append(splits[i])
        forest.modes.append(int(modes[i]) + MISSING_HOLDS * (missing[i] != 0))
    for member in np.flatnonzero(modes == MEMBER):
        _chain(forest, int(member), next(members))
    forest.roots = [_root(forest, r) for r in node.ints("tree_roots") or ()]
    if not forest.roots:
        raise ModelError("it has no trees")
    return forest


def _root(forest: Forest, root: int) -> int:
    """Where a tree begins: a node both of whose branches are one leaf is that leaf."""
    if not 0 <= root < len(forest.nodes):
        raise ModelError(f"there is no node {root} for a tree to begin at")
    _, true, false = forest.nodes[root]
    return true if true == false and true < 0 else root


def _members(node: Node, count: int) -> Iterator[list[float]]:
    """The sets of the nodes that test membership, each ended by NaN in the attribute."""
    values = node.attributes.get("membership_values")
    flat = np.asarray([] if values is None else values).reshape(-1)
    ends = np.flatnonzero(np.isnan(flat))
    if len(ends) != count:
        raise ModelError(f"{count} nodes test membership, {len(ends)} sets are given")
    return iter([list(part[~np.isnan(part)]) for part in np.split(flat, ends + 1)[:count]])


def _chain(forest: Forest, node: int, members: list[float]) -> None:
    """A test of membership as tests of equality, one after the other."""
    feature, true, false = forest.nodes[node]
    missing = forest.modes[node] & MISSING_HOLDS
    equal, at = MODES.index("eq"), node
    forest.nodes[node], forest.modes[node] = [feature, true, false], equal + missing
    forest.thresholds[node] = members[0] if members else np.nan
    for member in members[1:]:
        forest.nodes[at][2] = len(forest.nodes)
        at = len(forest.nodes)
        forest.nodes.append([feature, true, false])
        forest.thresholds.append(member)
        forest.modes.append(equal + missing)
