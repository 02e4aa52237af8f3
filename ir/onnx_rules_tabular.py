"""Rules: what ai.onnx.ml has for tables of numbers beside trees: encoders, scalers, linear models, support vectors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from ..errors import ModelError
from .onnx_rules import Array, Node, NotCovered, rule
from .onnx_rules_math import cast
from .onnx_rules_scores import (
    best_label,
    binary_label,
    label_count,
    labels_of,
    transformed,
    two_scores,
)
from .onnx_rules_shape import padded, part, reshaped
from .ops import (
    Abs,
    Add,
    Concat,
    Div,
    Equal,
    Exp,
    Gather,
    Less,
    LookUp,
    MatMul,
    Mul,
    Not,
    Pow,
    Reduce,
    Sqrt,
    Sub,
    Tanh,
    TextFind,
    Where,
    constant,
    like,
)
from .strings import stored
from .types import f32, i64
from .value import Value

DOMAIN = "ai.onnx.ml"


def _floats(node: Node, name: str) -> Array:
    return np.asarray(node.attributes.get(name) or (), np.float32)


def _table(x: Value) -> Value:
    """Floats of two dimensions; a single row may come without the first."""
    rows = reshaped(x, (1, x.type.size)) if x.rank == 1 else x
    if rows.rank != 2:
        raise ModelError(f"{x.type} is no table")
    return rows if rows.dtype.is_float else cast(rows, f32)


@rule("ZipMap", domain=DOMAIN)
def zip_map(node: Node) -> Value:
    """Maps from label to score have no place in a tensor program: the table of scores stays as it is."""
    return node.x


@rule("Binarizer", domain=DOMAIN)
def binarizer(node: Node) -> Value:
    return cast(Less(like(node.x, node.number("threshold", 0.0)), node.x).result, node.x.dtype)


@rule("Scaler", domain=DOMAIN)
def scaler(node: Node) -> Value:
    """(x - offset) * scale, each one number or one for each column."""
    x = node.x if node.x.dtype.is_float else cast(node.x, f32)
    for name, operator in (("offset", Sub), ("scale", Mul)):
        given = _floats(node, name)
        if given.size not in (0, 1, x.shape[-1]):
            raise ModelError(f"{given.size} numbers '{name}' for {x.shape[-1]} columns")
        x = operator(x, constant(given, x.dtype)).result if given.size else x
    return cast(x, f32)


@rule("Normalizer", domain=DOMAIN)
def normalizer(node: Node) -> Value:
    """Rows divided by their largest element, the sum of their magnitudes or their length; zeros stay."""
    x, norm = cast(node.x, f32), node.text("norm")
    axes = (x.rank - 1,)
    if norm == "MAX":
        size = Reduce(x, "max", axes).result
    elif norm == "L1":
        size = Reduce(Abs(x).result, "sum", axes).result
    elif norm == "L2":
        size = Sqrt(Reduce(Mul(x, x).result, "sum", axes).result).result
    else:
        raise ModelError(f"there is no norm '{norm}'", hint="MAX, L1, L2")
    one = Where(Equal(size, like(size, 0)).result, like(size, 1), size).result
    return Div(x, one).result


@rule("FeatureVectorizer", domain=DOMAIN)
def feature_vectorizer(node: Node) -> Value:
    """Columns side by side, each operand cut or filled with zeros to the width that is asked for."""
    widths = node.ints("inputdimensions") or tuple(_table(x).shape[1] for x in node.given)
    if len(widths) != len(node.given):
        raise ModelError(f"{len(widths)} widths for {len(node.given)} operands")
    parts = []
    for x, width in zip(node.given, widths, strict=True):
        rows = cast(_table(x), f32)
        kept = part(rows, 1, 0, min(width, rows.shape[1]))
        parts.append(padded(kept, (0, 0), (0, width - kept.shape[1])))
    return Concat(tuple(parts), 1).result


@rule("Imputer", domain=DOMAIN)
def imputer(node: Node) -> Value:
    """What is missing, NaN or a number that stands for it, is replaced column by column."""
    x = node.x
    kind = "float" if x.dtype.is_float else "int64"
    values = np.asarray(node.attributes.get(f"imputed_value_{kind}s") or (), x.dtype.numpy)
    replaced = node.attributes.get(f"replaced_value_{kind}") or 0
    if values.size not in (1, x.shape[-1]):
        raise ModelError(f"{values.size} numbers to put into {x.shape[-1]} columns")
    missing = Equal(x, like(x, replaced)) if replaced == replaced else Not(Equal(x, x).result)
    return Where(missing.result, constant(values), x).result


@rule("LabelEncoder", domain=DOMAIN)
def label_encoder(node: Node) -> Value:
    """Numbers or strings for numbers or strings; of equal keys the first one counts."""
    keys, values = _entries(node, "keys"), _entries(node, "values")
    tensor = node.attributes.get("default_tensor")
    standard = _standard(node, values) if tensor is None else np.asarray(tensor)
    if keys.shape != values.shape or keys.ndim != 1 or standard.size != 1 or not keys.size:
        raise ModelError(f"{keys.size} keys for {values.size} values")
    return _looked_up(node.x, keys, values, standard)


def _standard(node: Node, values: Array) -> Array:
    """What stands for a key that there is not."""
    if values.dtype.kind == "S":
        return stored(node.text("default_string", "_Unused"), node.strings)
    kind = {np.float32: "float", np.int64: "int64"}.get(values.dtype.type, "")
    return np.asarray(node.attributes.get(f"default_{kind}", 0))


def _entries(node: Node, name: str) -> Array:
    """The keys or values of an encoder."""
    for kind, dtype in (("int64s", np.int64), ("floats", np.float32)):
        if node.attributes.get(f"{name}_{kind}"):
            return np.asarray(node.attributes[f"{name}_{kind}"], dtype)
    if node.attributes.get(f"{name}_strings"):
        return stored(np.array(node.attributes[f"{name}_strings"], object), node.strings)
    tensor = node.attributes.get(f"{name}_tensor")
    if tensor is None:
        raise ModelError(f"it has no {name}")
    return np.asarray(tensor)


def _looked_up(x: Value, keys: Array, values: Array, standard: Array) -> Value:
    if x.dtype.is_text != (keys.dtype.kind == "S"):
        raise ModelError(f"keys of {keys.dtype} for {x.type}")
    distinct, first = np.unique(keys if x.dtype.is_text else keys.astype(x.dtype.numpy), return_index=True)
    others = standard.reshape(1).astype(values.dtype)
    if not x.dtype.is_text and values.dtype.kind != "S":
        return LookUp(x, constant(distinct), constant(values[first]), constant(others)).result
    places = constant(np.arange(len(distinct))), constant(np.array([len(distinct)]))
    place = TextFind(x, constant(distinct)) if x.dtype.is_text else LookUp(x, constant(distinct), *places)
    return Gather(constant(np.concatenate([values[first], others])), place.result, 0).result


@rule("CategoryMapper", domain=DOMAIN)
def category_mapper(node: Node) -> Value:
    """Strings for integers, or the other way round; of equal keys the first one counts."""
    numbers = np.asarray(node.ints("cats_int64s") or (), np.int64)
    strings = stored(np.array(node.attributes.get("cats_strings") or (), object), node.strings)
    if numbers.shape != strings.shape or not numbers.size:
        raise ModelError(f"{numbers.size} integers for {strings.size} strings")
    if node.x.dtype.is_text:
        return _looked_up(node.x, strings, numbers, np.array(node.integer("default_int64", -1)))
    return _looked_up(node.x, numbers, strings, stored(node.text("default_string", "_Unused"), node.strings))


@rule("DictVectorizer", domain=DOMAIN)
def dict_vectorizer(node: Node) -> Value:
    raise NotCovered("it maps dictionaries", "LabelEncoder")


@rule("OneHotEncoder", domain=DOMAIN)
def one_hot_encoder(node: Node) -> Value:
    """One column for each category; zeros in all of them for what is none."""
    strings = node.attributes.get("cats_strings")
    if strings:
        keys = stored(np.array(strings, object), node.strings)
        x, categories = _looked_up(node.x, keys, np.arange(len(keys)), np.array(-1)), tuple(range(len(keys)))
    else:
        x, categories = cast(node.x, i64), node.ints("cats_int64s") or ()
    if not categories:
        raise ModelError("it has no categories")
    column = reshaped(x, (*x.shape, 1))
    return cast(Equal(column, constant(np.array(categories, np.int64))).result, f32)


# --- linear models ----------------------------------------------------------------------------------------------------


def _linear(x: Value, coefficients: Array, intercepts: Array, outputs: int) -> Value:
    """x [N, F] times the coefficients of each output, plus its intercept."""
    if coefficients.size != outputs * x.shape[1] or intercepts.size not in (0, 1, outputs):
        raise ModelError(f"{coefficients.size} coefficients for {outputs} outputs of {x.shape[1]} columns")
    scores = MatMul(x, constant(coefficients.reshape(outputs, -1).T, x.dtype)).result
    return Add(scores, constant(intercepts, x.dtype)).result if intercepts.size else scores


@rule("LinearRegressor", domain=DOMAIN)
def linear_regressor(node: Node) -> Value:
    x = _table(node.x)
    outputs = node.integer("targets", 1)
    found = _linear(x, _floats(node, "coefficients"), _floats(node, "intercepts"), outputs)
    return transformed(cast(found, f32), node.text("post_transform"))


@rule("LinearClassifier", domain=DOMAIN)
def linear_classifier(node: Node) -> tuple[Value | None, Value]:
    """One score for two classes is that of the second."""
    x, kind = _table(node.x), node.text("post_transform")
    coefficients, intercepts = _floats(node, "coefficients"), _floats(node, "intercepts")
    labels, count = labels_of(node, "classlabels_ints"), label_count(node, "classlabels_ints")
    outputs = max(1, intercepts.size or coefficients.size // max(1, x.shape[1]))
    scores = cast(_linear(x, coefficients, intercepts, outputs), f32)
    if outputs == 1 and count == 2:
        return binary_label(scores, 0.0, labels), two_scores(scores, True, kind)
    if outputs == 1:
        first = (0, labels[0] if labels else 1)
        limit = 0.5 if kind == "LOGISTIC" else 0.0
        scores = transformed(scores, kind)
        return binary_label(scores, limit, None if labels is None else first, kind == "NONE"), scores
    return best_label(scores, labels), transformed(scores, kind)


# --- support vectors --------------------------------------------------------------------------------------------------


def _kernel(node: Node, x: Value, vectors: Array) -> Value:
    """The kernel function of each row of x [N, F] and each vector [V, F]: [N, V]."""
    kind = node.text("kernel_type").upper()
    gamma, offset, degree = (*_floats(node, "kernel_params"), 0.0, 0.0, 0.0)[:3]
    if vectors.ndim != 2 or vectors.shape[1] != x.shape[1]:
        raise ModelError(f"vectors {list(vectors.shape)} do not fit {x.type}")
    if kind == "RBF":
        return _radial(x, vectors, float(gamma))
    product = MatMul(x, constant(vectors.T, x.dtype)).result
    if kind == "LINEAR":
        return product
    scaled = Add(Mul(product, like(product, float(gamma))).result, like(product, float(offset))).result
    kinds: dict[str, Callable[[], Value]] = {
        "POLY": lambda: Pow(scaled, like(scaled, float(degree))).result,
        "SIGMOID": lambda: Tanh(scaled).result,
    }
    if kind not in kinds:
        raise ModelError(f"there is no kernel_type '{kind}'", hint="LINEAR, POLY, RBF, SIGMOID")
    return kinds[kind]()


def _radial(x: Value, vectors: Array, gamma: float) -> Value:
    """exp(-gamma * |x - v|^2), the differences taken one by one: the square of a sum cancels."""
    rows = reshaped(x, (x.shape[0], 1, x.shape[1]))
    apart = Sub(rows, constant(vectors[None], x.dtype)).result
    square = Reduce(Mul(apart, apart).result, "sum", (2,), False).result
    return Exp(Mul(square, like(square, -gamma)).result).result


@rule("SVMRegressor", domain=DOMAIN)
def svm_regressor(node: Node) -> Value:
    """Without support vectors a linear model; a one-class machine says 1 or -1."""
    x, count = _table(node.x), node.integer("n_supports", 0)
    coefficients, rho = _floats(node, "coefficients"), _floats(node, "rho")
    if count > 0:
        kernels = _kernel(node, x, _floats(node, "support_vectors").reshape(count, -1))
        found = _linear(kernels, coefficients[:count], rho[:1], 1)
    else:
        found = _linear(x, coefficients, rho[:1], 1)
    if node.flag("one_class", 0):
        found = Where(Less(like(found, 0), found).result, like(found, 1), like(found, -1)).result
    return transformed(cast(found, f32), node.text("post_transform"))


@rule("SVMClassifier", domain=DOMAIN)
def svm_classifier(node: Node) -> tuple[Value | None, Value]:
    """Support vectors decide between each two classes, and each decision is a vote; linear machines have one score a
    class."""
    x, kind = _table(node.x), node.text("post_transform")
    if node.attributes.get("prob_a"):
        raise NotCovered("probabilities from pairwise decisions", "a classifier without prob_a")
    labels, count = labels_of(node, "classlabels_ints"), max(1, label_count(node, "classlabels_ints"))
    coefficients, rho = _floats(node, "coefficients"), _floats(node, "rho")
    each = node.ints("vectors_per_class") or ()
    if not sum(each):
        scores = _linear(x, coefficients, rho[:1], count)
        return best_label(scores, labels), transformed(cast(scores, f32), kind)
    if len(each) != count or rho.size < count * (count - 1) // 2 or coefficients.size != (count - 1) * sum(each):
        raise ModelError(f"vectors of {len(each)} classes, {rho.size} offsets and {count} labels")
    kernels = _kernel(node, x, _floats(node, "support_vectors").reshape(sum(each), -1))
    pairs = list(itertools.combinations(range(count), 2))
    table = _decisions(coefficients.reshape(count - 1, -1), each, pairs)
    scores = cast(_linear(kernels, table, rho[: len(pairs)], len(pairs)), f32)
    if count == 2:
        return binary_label(scores, 0.0, labels and labels[::-1]), two_scores(scores, kind != "NONE", kind)
    return best_label(_votes(scores, pairs, count), labels), transformed(scores, kind)


def _decisions(coefficients: Array, each: Sequence[int], pairs: Sequence[tuple[int, int]]) -> Array:
    """The weight of every vector in every decision between two classes."""
    starts = np.cumsum([0, *each])
    table = np.zeros((len(pairs), starts[-1]), np.float32)
    for row, (i, j) in zip(table, pairs, strict=True):
        first, second = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
        row[first], row[second] = coefficients[j - 1, first], coefficients[i, second]
    return table


def _votes(scores: Value, pairs: Sequence[tuple[int, int]], count: int) -> Value:
    """How many decisions each class has won."""
    won = cast(Less(like(scores, 0), scores).result, f32)
    first, second = np.zeros((2, len(pairs), count), np.float32)
    for row, (i, j) in enumerate(pairs):
        first[row, i], second[row, j] = 1, 1
    lost = Sub(like(won, 1), won).result
    return Add(MatMul(won, constant(first)).result, MatMul(lost, constant(second)).result).result
