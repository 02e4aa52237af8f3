"""ai.onnx.ml on tables of numbers: the same labels and scores as ONNX Runtime."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgec.errors import ModelError, Unsupported
from edgec.ir.onnx_import import load

onnxruntime = pytest.importorskip("onnxruntime")

KINDS = {np.float32: TensorProto.FLOAT, np.float64: TensorProto.DOUBLE, np.int64: TensorProto.INT64}
SCORES, LABELS = ("y", TensorProto.FLOAT), ("label", TensorProto.INT64)
TABLE = np.random.default_rng(4).standard_normal((9, 5)).astype(np.float32)
ALL = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")


def model(op: str, attributes: dict[str, Any], arrays: list[np.ndarray], results: Any, version: int = 3) -> bytes:
    names = [f"x{i}" for i in range(len(arrays))]
    inputs = [
        helper.make_tensor_value_info(n, KINDS[a.dtype.type], a.shape) for n, a in zip(names, arrays, strict=True)
    ]
    node = helper.make_node(op, names, [name for name, _ in results], domain="ai.onnx.ml", **attributes)
    outputs = [helper.make_tensor_value_info(name, kind, None) for name, kind in results]
    graph = helper.make_graph([node], "one", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", version)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def check(op: str, attributes: dict[str, Any], x: np.ndarray | list[np.ndarray], *results: Any) -> None:
    arrays = x if isinstance(x, list) else [x]
    content = model(op, attributes, arrays, results or (SCORES,))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    wanted = session.run(None, {f"x{i}": a for i, a in enumerate(arrays)})
    for a, b in zip(load(content).evaluate(arrays), wanted, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def forest(
    prefix: str, classes: list[int], every: bool, modes: tuple[str, ...] = ALL[:1], positive: bool = False
) -> Any:
    """Attributes of three random trees; each leaf has a weight for every class, or for one."""
    generator = np.random.default_rng(len(classes) + every)
    nodes, weights = defaultdict[str, list[Any]](list), defaultdict[str, list[Any]](list)

    def grow(tree: int, depth: int) -> int:
        place = len(nodes["treeids"])
        number = sum(t == tree for t in nodes["treeids"])
        row = {
            "treeids": tree, "nodeids": number, "featureids": int(generator.integers(5)), "truenodeids": 0,
            "falsenodeids": 0, "values": float(generator.standard_normal()),
            "modes": str(generator.choice(modes)) if depth else "LEAF",
            "missing_value_tracks_true": int(generator.integers(2)),
        }  # fmt: skip
        for name, value in row.items():
            nodes[name].append(value)
        if depth:
            nodes["truenodeids"][place] = grow(tree, depth - 1)
            nodes["falsenodeids"][place] = grow(tree, depth - 1)
        for target in (classes if every else classes[:1]) if not depth else ():
            weight = float(generator.standard_normal()) * 0.3
            entry = {"treeids": tree, "nodeids": number, "ids": target, "weights": abs(weight) if positive else weight}
            for name, value in entry.items():
                weights[name].append(value)
        return number

    for tree in range(3):
        grow(tree, 3)
    return {f"nodes_{k}": v for k, v in nodes.items()} | {f"{prefix}_{k}": v for k, v in weights.items()}


def with_nan() -> np.ndarray:
    x = TABLE.copy()
    x[0, 1] = x[3, 2] = np.nan
    return x


@pytest.mark.parametrize("kind", ["SUM", "AVERAGE", "MIN", "MAX"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tree_regressors(kind: str, dtype: type) -> None:
    attributes = forest("target", [0, 1], every=True, modes=ALL) | {"n_targets": 2, "aggregate_function": kind}
    check("TreeEnsembleRegressor", attributes | {"base_values": [0.5, -1.0]}, with_nan().astype(dtype))


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("only", [0, 1])
@pytest.mark.parametrize("positive", [False, True])
def test_tree_classifiers_of_two_classes_with_one_score(transform: str, only: int, positive: bool) -> None:
    attributes = forest("class", [only], every=False, positive=positive)
    attributes |= {"post_transform": transform, "classlabels_int64s": [3, 7]}
    check("TreeEnsembleClassifier", attributes, with_nan(), LABELS, SCORES)
    if only == 0:
        check("TreeEnsembleClassifier", attributes | {"base_values": [0.25]}, TABLE, LABELS, SCORES)


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"])
def test_tree_classifiers_of_three_classes(transform: str) -> None:
    attributes = forest("class", [0, 1, 2], every=True, modes=ALL)
    attributes |= {"post_transform": transform, "classlabels_int64s": [3, 7, 9], "base_values": [0.1, 0.2, 0.3]}
    check("TreeEnsembleClassifier", attributes, with_nan(), LABELS, SCORES)


def test_trees_that_lead_in_a_circle_or_nowhere() -> None:
    attributes = forest("target", [0], every=True) | {"n_targets": 1}
    attributes["nodes_truenodeids"][1] = 0
    with pytest.raises(ModelError, match="lead back"):
        load(model("TreeEnsembleRegressor", attributes, [TABLE], (SCORES,)))
    attributes["nodes_truenodeids"][1] = 99
    with pytest.raises(ModelError, match="lead nowhere"):
        load(model("TreeEnsembleRegressor", attributes, [TABLE], (SCORES,)))


def test_strings_for_numbers_and_numbers_for_strings() -> None:
    def mapped(op: str, attributes: dict[str, Any], x: np.ndarray, kind: int) -> np.ndarray:
        node = helper.make_node(op, ["x"], ["y"], domain="ai.onnx.ml", **attributes)
        given = TensorProto.STRING if x.dtype == object else helper.np_dtype_to_tensor_dtype(x.dtype)
        ends = helper.make_tensor_value_info("x", given, x.shape), helper.make_tensor_value_info("y", kind, None)
        graph = helper.make_graph([node], "g", ends[:1], ends[1:])
        opsets = [helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 21)]
        return load(helper.make_model(graph, opset_imports=opsets).SerializeToString()).evaluate([x])[0]

    words, numbers = np.array(["b", "x", "\xe9"], object), np.array([7, 1, 5])
    for op, strings in (("LabelEncoder", "keys_strings"), ("CategoryMapper", "cats_strings")):
        to = "values_int64s" if op == "LabelEncoder" else "cats_int64s"
        pairs = {strings: ["a", "\xe9", "b", "b"], to: [1, 7, 3, 4], "default_int64": -2}
        assert mapped(op, pairs, words, TensorProto.INT64).tolist() == [3, -2, 7]
    back = {"keys_int64s": [7, 5], "values_strings": ["seven", "\xe9"], "default_string": "none"}
    assert mapped("LabelEncoder", back, numbers, TensorProto.STRING).tolist() == [b"seven", b"none", "\xe9".encode()]
    back = {"cats_int64s": [7, 5], "cats_strings": ["seven", "\xe9"]}
    assert mapped("CategoryMapper", back, numbers, TensorProto.STRING).tolist()[1] == b"_Unused"
    again = {"keys_strings": ["b", "x"], "values_strings": ["x", "y"]}
    assert mapped("LabelEncoder", again, words, TensorProto.STRING).tolist() == [b"x", b"y", b"_Unused"]
    columns = mapped("OneHotEncoder", {"cats_strings": ["\xe9", "a", "b"]}, words, TensorProto.FLOAT)
    assert columns.tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_n_grams_of_words() -> None:
    attributes = {
        "mode": "TF", "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 0, "ngram_counts": [0, 2],
        "ngram_indexes": [1, 0, 2], "pool_strings": ["tea", "cup", "cup", "tea"],
    }  # fmt: skip
    node = helper.make_node("TfIdfVectorizer", ["x"], ["y"], **attributes)
    ends = helper.make_tensor_value_info("x", TensorProto.STRING, [4]), helper.make_tensor_value_info("y", 1, None)
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]).SerializeToString()
    x = np.array(["cup", "tea", "pot", "tea"], object)
    assert load(content).evaluate([x])[0].tolist() == [1, 2, 1]


def test_labels_of_text_are_refused_by_name() -> None:
    attributes = forest("class", [0, 1, 2], every=True) | {"classlabels_strings": ["a", "b", "c"]}
    with pytest.raises(Unsupported, match="its labels are text"):
        load(model("TreeEnsembleClassifier", attributes, [TABLE], (("label", TensorProto.STRING), SCORES)))


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"])
def test_linear_models(transform: str) -> None:
    numbers = np.random.default_rng(1).standard_normal(15).tolist()
    check("LinearRegressor", {"coefficients": numbers[:10], "intercepts": [0.1, 0.2], "targets": 2}, TABLE)
    for scores, labels in ((3, [4, 2, 8]), (2, [4, 2]), (1, [4, 2])):
        attributes = {"coefficients": numbers[: 5 * scores], "intercepts": [0.1, 0.2, -0.1][:scores]}
        attributes |= {"classlabels_ints": labels, "post_transform": transform}
        check("LinearClassifier", attributes, TABLE, LABELS, SCORES)


@pytest.mark.parametrize("kernel", ["LINEAR", "POLY", "RBF", "SIGMOID"])
def test_support_vectors(kernel: str) -> None:
    numbers = np.random.default_rng(2).standard_normal(60).tolist()
    common = {"kernel_type": kernel, "kernel_params": [0.3, 0.2, 3.0]}
    for one_class in (0, 1):
        attributes = {"coefficients": numbers[:4], "support_vectors": numbers[4:24], "n_supports": 4, "rho": [0.3]}
        check("SVMRegressor", common | attributes | {"one_class": one_class}, TABLE)
    for counts, labels in (([2, 3], [4, 2]), ([2, 3, 2], [4, 2, 8])):
        total, classes = sum(counts), len(counts)
        attributes = {"coefficients": numbers[: (classes - 1) * total], "support_vectors": numbers[20 : 20 + 5 * total]}
        attributes |= {"rho": numbers[: classes * (classes - 1) // 2], "vectors_per_class": counts}
        for transform in ("NONE", "LOGISTIC"):
            given = common | attributes | {"classlabels_ints": labels, "post_transform": transform}
            check("SVMClassifier", given, TABLE, LABELS, SCORES)


def test_encoders_and_scalers() -> None:
    integers = np.arange(12).reshape(4, 3) % 7
    check("Scaler", {"offset": [0.1, 0.2, 0.3, 0.4, 0.5], "scale": [2.0, 1.0, 3.0, 0.5, 1.5]}, TABLE)
    for norm in ("MAX", "L1", "L2"):
        check("Normalizer", {"norm": norm}, np.concatenate([TABLE, 0 * TABLE[:1]]))
    check("Binarizer", {"threshold": 0.2}, TABLE)
    check("LabelEncoder", {"keys_int64s": [5, 1, 3], "values_floats": [0.5, 0.1, 0.9], "default_float": -2.0}, integers)
    check("LabelEncoder", {"keys_int64s": [5, 1, 3], "values_int64s": [1, 2, 3]}, integers, LABELS)
    check("OneHotEncoder", {"cats_int64s": [3, 1, 5]}, integers)
    check("Imputer", {"imputed_value_floats": [1.0, 2, 3, 4, 5], "replaced_value_float": float("nan")}, with_nan())
    check("Imputer", {"imputed_value_int64s": [7], "replaced_value_int64": 2}, integers, LABELS)
    check("FeatureVectorizer", {"inputdimensions": [2, 5]}, [TABLE[:, :2], TABLE])


def test_maps_of_scores_stay_tables() -> None:
    attributes = {"coefficients": [1.0] * 10, "intercepts": [0.0, 0.5], "classlabels_ints": [0, 1]}
    content = onnx.load_model_from_string(model("LinearClassifier", attributes, [TABLE], (LABELS, SCORES)))
    content.graph.node.append(helper.make_node("ZipMap", ["y"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]))
    content.graph.output[1].name = "z"
    graph = load(content.SerializeToString())
    assert [v.shape for v in graph.outputs] == [(9,), (9, 2)]
