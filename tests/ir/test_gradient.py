"""Derivatives, against differences of what `evaluate` gives, and the Gradient operator of ONNX."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx.parser
import pytest

from edgec.errors import EdgecError, ModelError, Unsupported
from edgec.ir import REGISTRY, Graph, TensorType, Value, ops, verify
from edgec.ir.derivatives import NoDerivative, derivatives
from edgec.ir.onnx_fold import Folder, insert_constants
from edgec.ir.onnx_import import load
from edgec.ir.op import Origin
from edgec.ir.types import f64

HEAD = '<ir_version: 8, opset_import: ["" : 13, "ai.onnx.preview.training" : 1]>\n'
STEP = 1e-6
FLAT = {"bit-and", "bit-not", "bit-or", "bit-xor", "shift-left", "shift-right", "dequantize", "quantize", "requantize"}
REFUSED = {"fmod": "mod", "portable-exp": "power_of_two", "portable-sigmoid": "power_of_two"}
REFUSED |= {"portable-tanh": "power_of_two"}


def elementwise() -> list[str]:
    kinds = {n: k for n, k in REGISTRY.items() if issubclass(k, ops.Elementwise) and k.__module__.startswith("edgec.")}
    return sorted(name for name in kinds if name not in FLAT)


def derived(make: Callable[..., Value], *shapes: tuple[int, ...]) -> Graph:
    """A graph of f64 inputs that gives an expression and its derivatives by all of them."""
    graph = Graph()
    xs = [graph.input(TensorType(f64, shape)) for shape in shapes]
    y = make(*xs)
    folder = Folder(graph)
    outputs = [folder.settle(v, Origin(0, "y")) for v in (y, *derivatives(y, xs))]
    insert_constants(outputs, graph)
    graph.set_outputs(outputs)
    verify(graph)
    return graph


def check(make: Callable[..., Value], *shapes: tuple[int, ...], low: float = 0.2) -> None:
    """Derivatives at random places between `low` and 0.9, against central differences of the sum of the result."""
    graph, random = derived(make, *shapes), np.random.default_rng(1)
    arrays = [random.uniform(low, 0.9, shape) for shape in shapes]
    found = graph.evaluate(arrays)[1:]
    for place, array in enumerate(arrays):
        wanted = np.zeros(array.shape)
        for at in np.ndindex(*array.shape):
            both = []
            for sign in (1, -1):
                moved = [a.copy() for a in arrays]
                moved[place][at] += sign * STEP
                both.append(np.sum(graph.evaluate(moved)[0].astype(np.float64)))
            wanted[at] = (both[0] - both[1]) / (2 * STEP)
        np.testing.assert_allclose(found[place], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", elementwise())
def test_elementwise_operators(name: str) -> None:
    kind = REGISTRY[name]
    count = len(kind.operand_fields())

    def make(*xs: Value) -> Value:
        if name == "where":
            return ops.Where(ops.Less(xs[0], xs[1]).result, xs[1], xs[2]).result
        if name in ("and", "or", "xor", "not"):
            flags = [ops.Less(x, ops.like(x, 0.5)).result for x in xs]
            return ops.Where(kind(*flags).result, xs[0], ops.Mul(xs[0], xs[0]).result).result  # type: ignore[call-arg]
        if name == "clip":
            return ops.Clip(xs[0], 0.4, 0.6).result
        found: Value = kind(*xs).result  # type: ignore[call-arg]
        return found

    if name in REFUSED:
        with pytest.raises(NoDerivative, match=rf"the derivative of {name} \({REFUSED[name]}\)"):
            derived(make, *[(2, 3)] * count)
    elif name in ("less", "less-equal", "equal"):
        assert not np.any(
            derived(lambda *xs: ops.Cast(make(*xs), f64).result, (3,), (3,)).evaluate([np.ones(3)] * 2)[1]
        )
    else:
        check(make, *[(2, 3), (3,), (2, 1)][:count])


@pytest.mark.parametrize(
    ("a", "b"), [((2, 3), (3, 4)), ((3,), (3,)), ((5, 2, 3), (3,)), ((3,), (2, 3, 4)), ((2, 1, 2, 3), (4, 3, 2))]
)
def test_products(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    check(lambda x, y: ops.MatMul(x, y).result, a, b)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: ops.Reduce(x, "sum", (1,), False).result,
        lambda x: ops.Reduce(x, "mean", (0, 2)).result,
        lambda x: ops.Reduce(x, "max", (2,)).result,
        lambda x: ops.Reduce(x, "min", (), False).result,
        lambda x: ops.Exp(ops.Slice(x, (0, 1, 1), (2, 2, 3)).result).result,
        lambda x: ops.Exp(ops.Pad(x, (1, 0, 0, 0, 2, 0), 0.5).result).result,
        lambda x: ops.Exp(ops.Transpose(ops.Reshape(x, (3, 8)).result, (1, 0)).result).result,
        lambda x: ops.Log(ops.Concat((x, ops.Mul(x, x).result), 1).result).result,
        lambda x: ops.Log(ops.Expand(x, (5, 2, 3, 4)).result).result,
        lambda x: ops.Exp(ops.Softmax(x, 2).result).result,
        lambda x: ops.Exp(ops.LayerNorm(x, ops.constant(np.ones(4)), None).result).result,
    ],
)
def test_other_operators(make: Callable[[Value], Value]) -> None:
    check(make, (2, 3, 4))


def test_equal_largest_elements_share() -> None:
    graph = derived(lambda x: ops.Reduce(x, "max", (0,)).result, (4,))
    assert graph.evaluate([np.array([1.0, 3, 3, 2])])[1].tolist() == [0, 0.5, 0.5, 0]


def test_what_has_no_rule_is_named() -> None:
    with pytest.raises(NoDerivative, match=r"the derivative of reduce \(prod\)"):
        derived(lambda x: ops.Reduce(x, "prod", (0,)).result, (4,))
    with pytest.raises(NoDerivative, match="the derivative of top-k"):
        derived(lambda x: ops.TopK(x, 1, 0).results[0], (4,))
    with pytest.raises(NoDerivative, match=r"the derivative of slice in steps \[2]"):
        derived(lambda x: ops.Slice(x, (0,), (2,), (2,)).result, (4,))


# --- Gradient -------------------------------------------------------------------------------------------------------

LOSS = """
    h = MatMul (x, w)
    s = Sigmoid (h)
    d = Sub (s, t)
    q = Mul (d, d)
    loss = ReduceSum <keepdims = 0> (q)
"""


def imported(text: str) -> Graph:
    graph = load(onnx.parser.parse_model(HEAD + text).SerializeToString())
    verify(graph)
    return graph


def test_a_loss_is_differentiated_by_its_weights_and_at_other_values() -> None:
    graph = imported(f"""g (float[4,3] x, float[3,2] w, float[4,2] t, float[3,2] v) => (float[3,2] a, float[3,2] b) {{
        a = ai.onnx.preview.training.Gradient <xs = ["w"], zs = ["x", "t"], y = "loss"> (w, x, t)
        b = ai.onnx.preview.training.Gradient <xs = ["w"], zs = ["x", "t"], y = "loss"> (v, x, t)
        {LOSS}
    }}""")
    random = np.random.default_rng(0)
    x, w, t, v = (random.standard_normal(s).astype(np.float32) for s in ((4, 3), (3, 2), (4, 2), (3, 2)))
    for at, found in zip((w, v), graph.evaluate([x, w, t, v]), strict=True):
        s = 1 / (1 + np.exp(-x @ at))
        np.testing.assert_allclose(found, x.T @ (2 * (s - t) * s * (1 - s)), rtol=1e-4, atol=1e-6)


def test_a_derivative_is_differentiated_again() -> None:
    graph = imported("""g (float[2] x) => (float[2] second) {
        first = ai.onnx.preview.training.Gradient <xs = ["x"], y = "cube"> (x)
        square = Mul (x, x)
        cube = Mul (square, x)
        second = ai.onnx.preview.training.Gradient <xs = ["x"], y = "first"> (x)
    }""")
    np.testing.assert_allclose(graph.evaluate([np.array([2, -1], np.float32)])[0], [12, -6])


BY = "ai.onnx.preview.training.Gradient <xs = "


@pytest.mark.parametrize(
    ("inside", "error", "words"),
    [
        (f'y = Floor (x) z = {BY} ["x"], y = "y"> ()', ModelError, "0 operands"),
        (f'y, i = TopK (x, k) z = {BY} ["x"], y = "y"> (x)', Unsupported, "the derivative of top-k"),
        (f'y = Mul (x, c) z = {BY} ["c"], y = "y"> (c)', Unsupported, "'c' is known"),
        (f'z = {BY} ["x"], y = "nobody"> (x)', ModelError, "nothing produces it"),
    ],
)
def test_what_cannot_be_differentiated_is_refused(inside: str, error: type[EdgecError], words: str) -> None:
    with pytest.raises(error) as caught:
        imported(f"g (float[2] x) => (float[2] z) <int64[1] k = {{1}}, float[2] c = {{1, 2}}> {{ {inside} }}")
    assert words in str(caught.value)
