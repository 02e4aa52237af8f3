"""Networks in small: what exporters write over and over, fused and not, on every target, at every width, with NaN."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest

from edgec.ir import Graph, TensorType, Tolerance, Value, f32
from edgec.ir.ops import (
    Add,
    BatchNorm,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Expand,
    Gather,
    HardSigmoid,
    LayerNorm,
    MatMul,
    Max,
    Min,
    Mul,
    Pad,
    Pool,
    Reduce,
    Relu,
    Reshape,
    Resize,
    Sigmoid,
    Silu,
    Slice,
    Softmax,
    Sub,
    Tanh,
    Transpose,
    constant,
)

from ...random_graphs import joined, random_graph
from ...samples import Reference, reference
from .harness import FOREIGN, NATIVE, compiled, outputs

LOOSE = Tolerance(2e-5, 2e-5)


def array(*shape: int, scale: float = 0.5) -> Value:
    return constant((np.random.default_rng(sum(shape)).standard_normal(shape) * scale).astype(np.float32))


def conv(x: Value, channels: int, size: int = 3, stride: int = 1, groups: int = 1, bias: bool = True) -> Value:
    weight = array(channels, x.shape[1] // groups, size, size)
    pads = (size // 2,) * 4
    return Conv(x, weight, array(channels) if bias else None, (stride,) * 2, pads, groups=groups).result


def batch_norm(x: Value) -> Value:
    channels = x.shape[1]
    spread = constant(np.linspace(0.5, 2, channels, dtype=np.float32))
    return BatchNorm(x, spread, array(channels), array(channels, scale=0.1), spread).result


def residual(x: Value) -> Value:
    inner = Relu(batch_norm(conv(x, x.shape[1], bias=False))).result
    return Relu(Add(batch_norm(conv(inner, x.shape[1], bias=False)), x).result).result


def inverted_bottleneck(x: Value) -> Value:
    wide = Clip(batch_norm(conv(x, 3 * x.shape[1], 1)), 0.0, 6.0).result
    deep = Clip(batch_norm(conv(wide, wide.shape[1], 5, groups=wide.shape[1])), 0.0, 6.0).result
    return Add(x, batch_norm(conv(deep, x.shape[1], 1))).result


def squeeze_and_excite(x: Value) -> Value:
    pooled = Reduce(x, "mean", (2, 3)).result
    narrow = Relu(conv(pooled, 3, 1)).result
    return Mul(x, HardSigmoid(conv(narrow, x.shape[1], 1)).result).result


def fire(x: Value) -> Value:
    squeezed = Relu(conv(x, 5, 1)).result
    return Concat((Relu(conv(squeezed, 7, 1)).result, Relu(conv(squeezed, 9, 3)).result), 1).result


def dense_block(x: Value) -> Value:
    for _ in range(3):
        x = Concat((x, Relu(conv(x, 4)).result), 1).result
    return x


def shuffled(x: Value) -> Value:
    n, c, h, w = x.shape
    grouped = Transpose(Reshape(conv(x, c, 1, groups=2), (n, 2, c // 2, h, w)).result, (0, 2, 1, 3, 4)).result
    return conv(Reshape(grouped, (n, c, h, w)).result, c, 3, 2, c)


def split_and_join(x: Value) -> Value:
    half = x.shape[1] // 2
    sizes = (x.shape[0], half, *x.shape[2:])
    low, high = (Slice(x, (0, start, 0, 0), sizes).result for start in (0, half))
    return Concat((Silu(conv(low, half)).result, high, low), 1).result


def upsampled(x: Value) -> Value:
    n, c, h, w = x.shape
    resized = Resize(conv(x, c, 1), (n, c, 2 * h, 2 * w), (1.0, 1.0, 2.0, 2.0), "linear").result
    nearest = Resize(x, (n, c, 2 * h, 2 * w), (1.0, 1.0, 2.0, 2.0), "nearest", "asymmetric", "floor").result
    return conv(Add(resized, nearest).result, 3)


def pooled(x: Value) -> Value:
    deepest = Pool(x, "max", (3, 3), (2, 2), (1, 1, 1, 1), (1, 1)).result
    mean = Pool(x, "average", (3, 3), (2, 2), (1, 1, 1, 1), (1, 1)).result
    return Sub(deepest, mean).result


def deconvolved(x: Value) -> Value:
    return Relu(ConvTranspose(x, array(x.shape[1], 3, 4, 4), array(3), (2, 2), (1, 1, 1, 1)).result).result


def reflected(x: Value) -> Value:
    """Padding by values of the image itself, as exporters of other frameworks write it."""
    indices = constant(np.int64([1, *range(x.shape[3]), x.shape[3] - 2]))
    return conv(Gather(x, indices, 3).result, 4)


def classified(x: Value) -> Value:
    flat = Reshape(x, (x.shape[0], x.type.size // x.shape[0])).result
    hidden = Relu(Add(MatMul(flat, array(flat.shape[1], 19, scale=0.1)).result, array(19)).result).result
    return Softmax(MatMul(hidden, array(19, 10)).result).result


def attention(x: Value) -> Value:
    n, c, h, w = x.shape
    rows = Transpose(Reshape(x, (n, c, h * w)).result, (0, 2, 1)).result
    rows = LayerNorm(rows, array(c), array(c)).result
    query, key, value = (Add(MatMul(rows, array(c, c + i * 0)).result, array(c)).result for i in range(3))
    heads = [Transpose(Reshape(v, (n, h * w, 2, c // 2)).result, (0, 2, 1, 3)).result for v in (query, key, value)]
    scores = Mul(MatMul(heads[0], Transpose(heads[1], (0, 1, 3, 2)).result).result, constant(np.float32(0.5))).result
    mixed = MatMul(Softmax(scores).result, heads[2]).result
    joined_heads = Reshape(Transpose(mixed, (0, 2, 1, 3)).result, (n, h * w, c)).result
    return Add(rows, MatMul(joined_heads, array(c, c)).result).result


def normalized(x: Value) -> Value:
    mean = Reduce(x, "mean", (1, 2, 3)).result
    centered = Sub(x, mean).result
    return Concat((centered, Softmax(x, 1).result, Softmax(x, 2).result), 1).result


def bordered(x: Value) -> Value:
    return Tanh(
        Pad(Pad(Sigmoid(x).result, (0, 0, 1, 2, 0, 0, 0, 1), 0.5).result, (0, 1, 0, 0, 0, 0, 0, 0), -1.0).result
    ).result


def spread(x: Value) -> Value:
    row = Reduce(x, "max", (3,)).result
    return Mul(Expand(row, x.shape).result, x).result


CHAINS: tuple[Callable[[Value], Value], ...] = (
    residual, inverted_bottleneck, squeeze_and_excite, fire, dense_block, shuffled, split_and_join, upsampled, pooled,
    deconvolved, reflected, classified, attention, normalized, bordered, spread,
)  # fmt: skip


def chains(channels: int = 6, height: int = 7, width: int = 5) -> Reference:
    """All chains side by side on one image."""
    graph = Graph("chains")
    x = graph.input(TensorType(f32, (1, channels, height, width)), "x")
    results = [graph.add(chain(x).producer) for chain in CHAINS]  # type: ignore[arg-type]
    graph.set_outputs(results, [chain.__name__ for chain in CHAINS])
    return reference(graph, tolerance=LOOSE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "fusion"),
    [*((target, "greedy") for target in NATIVE + FOREIGN), ("x86-64-v3", "none"),
     pytest.param("arm-neon", "none", marks=pytest.mark.long)],
)  # fmt: skip
def test_chains(target: str, fusion: str) -> None:
    wanted = chains()
    with compiled(wanted.graph, target, fusion) as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []


@pytest.mark.slow
def test_chains_in_a_batch_of_wide_images() -> None:
    wanted = chains(34, 9, 11)
    with compiled(wanted.graph, "host") as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []


# --- every width ----------------------------------------------------------------------------------------------------


def of_width(graph: Graph, n: int) -> Iterator[tuple[str, Value]]:
    """What a kernel does to rows of n elements, or to n channels."""
    row = graph.input(TensorType(f32, (3, n)), f"row{n}")
    image = graph.input(TensorType(f32, (1, n, 4, 3)), f"image{n}")
    yield "elementwise", Tanh(Add(row, array(n)).result).result
    yield "softmax", Softmax(row).result
    yield "columns", Softmax(row, 0).result
    yield "largest", Reduce(row, "max", (1,)).result
    yield "smallest", Reduce(Min(row, array(3, 1)).result, "min", (0, 1)).result
    yield "reversed", Slice(row, (0, n - 1), (3, n), (1, -1)).result
    yield "product", MatMul(array(5, 3), row).result
    yield "computed", MatMul(Sigmoid(row).result, Transpose(row, (1, 0)).result).result
    yield "pointwise", Relu(conv(image, n, 1)).result
    yield "depthwise", conv(image, n, 3, 1, n) if n > 1 else conv(image, 1)
    yield "pool", Pool(image, "max", (2, 2), (1, 1), (0, 0, 0, 0), (1, 1)).result
    yield "joined", Concat((image, Relu(image).result), 1).result


def widths(sizes: Iterable[int]) -> Reference:
    graph = Graph("widths")
    results: list[Value] = []
    names: list[str] = []
    for n in sizes:
        for name, value in of_width(graph, n):
            results.append(graph.add(value.producer))  # type: ignore[arg-type]
            names.append(f"{name}.{n}")
    graph.set_outputs(results, names)
    return reference(graph, tolerance=LOOSE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "lanes"), [("c", 4), ("x86-64", 4), ("x86-64-v3", 8), ("arm-neon", 4), ("armv7-neon", 4)]
)
def test_every_width(target: str, lanes: int) -> None:
    wanted = widths(range(1, 2 * lanes + 2))
    with compiled(wanted.graph, target) as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []


# --- NaN and infinities ---------------------------------------------------------------------------------------------

SPECIAL = (np.nan, np.inf, -np.inf, -np.nan, 3e38, -3e38, 0.0, -0.0)


def special(shape: tuple[int, ...]) -> np.ndarray:
    found = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    places = np.random.default_rng(4).choice(found.size, found.size // 5, replace=False)
    found.reshape(-1)[places] = np.resize(np.float32(SPECIAL), len(places))
    return found


def unordered() -> Reference:
    """What NaN must pass through: outputs are compared NaN by NaN."""
    graph = Graph("special")
    x = graph.input(TensorType(f32, (9, 37)), "x")
    y = graph.input(TensorType(f32, (9, 37)), "y")
    image = graph.input(TensorType(f32, (1, 5, 9, 11)), "image")
    made = {
        "relu": Relu(x), "clip": Clip(x, -1.0, 1.0), "max": Max(x, y), "min": Min(x, y), "softmax": Softmax(x),
        "down": Softmax(x, 0), "sigmoid": Sigmoid(x), "tanh": Tanh(x), "hard": HardSigmoid(x),
        "largest": Reduce(x, "max", (1,)), "least": Reduce(x, "min", (0,)), "sum": Reduce(x, "sum", (1,)),
        "pool": Pool(image, "max", (3, 3), (2, 2), (1, 1, 1, 1), (1, 1)), "conv": conv(image, 4, 1).producer,
        "after": Relu(conv(image, 4, 1)), "scale": Mul(x, y),
    }  # fmt: skip
    graph.set_outputs([graph.add(op) for op in made.values()], list(made))  # type: ignore[arg-type]
    return reference(graph, [special(v.shape) for v in graph.inputs], LOOSE)


@pytest.mark.slow
@pytest.mark.parametrize("target", NATIVE + FOREIGN)
def test_nan_and_infinity(target: str) -> None:
    wanted = unordered()
    with compiled(wanted.graph, target) as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []


# --- random graphs --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.long) for first in range(25, 100, 25))])
def test_random_graphs_with_and_without_fusion(first: int) -> None:
    """Strategies make other kernels and other plans, never other numbers."""
    print("seeds", first, "to", first + 24)
    graph = joined([random_graph(seed) for seed in range(first, first + 25)])
    wanted = reference(graph, tolerance=Tolerance(1e-4, 1e-5))
    for fusion in ("greedy", "none"):
        with compiled(graph, "host", fusion) as artifact:
            assert wanted.faults(outputs(artifact, wanted.inputs)) == [], fusion
