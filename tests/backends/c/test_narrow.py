"""Narrow element types: every cast on every target, views as bits, arithmetic in wide types."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir import Graph
from edgec.ir.ops import Add, Cast, Concat, MatMul, Pad, Reshape, Transpose
from edgec.ir.types import DTYPES, TensorType, bf16, f16, f32, f64, i4

from .harness import compiled, outputs

NARROW = [kind for kind in DTYPES.values() if kind.is_narrow]
FLOATS = [kind for kind in NARROW if kind.is_float]
EDGES = np.array(
    [0, -0.0, 1, -1, 0.3, 1e-3, 1e-6, 3e-8, 1e-40, 448, 464, 465, 57344, 61440, 65519, 65520, 1e9, 1e38], "f4"
)


def numbers() -> np.ndarray:
    drawn = np.random.default_rng(0).standard_normal(80).astype(np.float32)
    special = np.array([np.nan, np.inf, -np.inf], np.float32)
    return np.concatenate([EDGES, -EDGES, special, drawn, drawn * 100, drawn * 1e-3])


def from_numbers() -> tuple[Graph, list[np.ndarray]]:
    graph, given = Graph(), numbers()
    x = graph.input(TensorType(f32, given.shape), "x")
    ways = [Cast(x, kind, saturate) for kind in FLOATS for saturate in (True, False)]
    ways += [Cast(x, DTYPES["f8e8m0"], True, how) for how in ("down", "nearest")]
    graph.set_outputs([graph.add(way) for way in ways], [f"y{i}" for i in range(len(ways))])
    return graph, [given]


def every_pattern() -> tuple[Graph, list[np.ndarray]]:
    graph = Graph()
    arrays = [np.arange(1 << kind.bits, dtype=f"u{kind.bytes}").view(kind.numpy) for kind in NARROW]
    inputs = [graph.input(TensorType(kind, a.shape), kind.name) for kind, a in zip(NARROW, arrays, strict=True)]
    graph.set_outputs([graph.add(Cast(x, f32)) for x in inputs], [f"y{i}" for i in range(len(inputs))])
    return graph, arrays


def between_halves() -> tuple[Graph, list[np.ndarray]]:
    """Numbers halfway between two of half precision, and those next to them, in f32 and f64."""
    halves = np.arange(0x7C01, dtype=np.uint16).view(np.float16).astype(np.float64)
    halves[-1] = 65536
    middle = (halves[1:] + halves[:-1]) / 2
    graph, arrays = Graph(), []
    for kind in (f32, f64):
        there = middle.astype(kind.numpy)
        arrays.append(
            np.concatenate([there, -there, np.nextafter(there, 0), np.nextafter(there, 1e9).astype(there.dtype)])
        )
    casts = [Cast(graph.input(TensorType(kind, arrays[0].shape), kind.name), f16) for kind in (f32, f64)]
    graph.set_outputs([graph.add(cast) for cast in casts], ["single", "double"])
    return graph, arrays


def same(got: np.ndarray, wanted: np.ndarray) -> bool:
    with np.errstate(invalid="ignore"):  # signaling NaN
        wide = got.astype(np.float64), wanted.astype(np.float64)
    return bool(got.dtype == wanted.dtype and np.array_equal(*wide, equal_nan=True))


@pytest.mark.parametrize("make", [from_numbers, every_pattern, between_halves])
@pytest.mark.parametrize("target", ["c", "x86-64-v3", "arm-neon"])
def test_casts_give_the_bits_of_numpy(make: object, target: str) -> None:
    graph, given = make()  # type: ignore[operator]
    wanted = graph.evaluate(given)
    with compiled(graph, target) as artifact:
        found = outputs(artifact, given)
    wrong = [n for n, a, b in zip(graph.output_names, found, wanted, strict=True) if not same(a, b)]
    assert wrong == []


def test_integers_of_four_bits_wrap() -> None:
    graph = Graph()
    x = graph.input(TensorType(i4, (16,)), "x")
    graph.set_outputs([graph.add(Add(x, x))], ["y"])
    given = np.arange(16, dtype=np.uint8).view(i4.numpy)
    with compiled(graph, "host") as artifact:
        (found,) = outputs(artifact, [given])
    assert found.tolist() == graph.evaluate([given])[0].tolist()
    assert (found.view(np.uint8) < 16).all()


@pytest.mark.parametrize("kind", [f16, bf16])
def test_views_keep_bits_and_products_are_wide(kind: object) -> None:
    graph = Graph()
    x = graph.input(TensorType(kind, (3, 5)), "x")  # type: ignore[arg-type]
    padded = Pad(Transpose(Reshape(x, (5, 3)).result, (1, 0)).result, (0, 1, 0, 0), 1.5).result
    product = MatMul(Transpose(x, (1, 0)).result, x).result
    graph.set_outputs([graph.add(padded.producer), graph.add(product.producer)], ["moved", "product"])  # type: ignore[arg-type]
    given = np.random.default_rng(0).standard_normal((3, 5)).astype(x.dtype.numpy)
    moved, product_wanted = graph.evaluate([given])
    with compiled(graph, "host") as artifact:
        found = outputs(artifact, [given])
    assert found[0].tobytes() == moved.tobytes()
    assert np.allclose(found[1].astype("f4"), product_wanted.astype("f4"), rtol=2**-7)


def test_joined_constants_are_bits() -> None:
    graph = Graph.parse("""graph "g"(%0: bf16[2] "x") {
      %1 = constant(value=values(1.5, -2.0)) : bf16[2]
      %2 = constant(value=fill(0.25)) : bf16[3]
      %3 = concat([%1, %0, %2], axis=0) : bf16[7]
      return %3 "y"
    }""")
    given = np.array([3, 4]).astype(bf16.numpy)
    with compiled(graph, "host") as artifact:
        assert outputs(artifact, [given])[0].tolist() == [1.5, -2, 3, 4, 0.25, 0.25, 0.25]
    assert Concat in {type(op) for op in graph}


HALVES = """graph "halves"(%x: f16[37,3] "x", %y: f16[3,1] "y", %z: f16[37] "z", %w: f16[3,37] "w") {
  %t = transpose(%x, perm=[1, 0]) : f16[3,37]
  %a = mul(%t, %w) : f16[3,37]
  %b = add(%a, %y) : f16[3,37]
  %c = mul(%b, %z) : f16[3,37]
  %d = sub(%c, %a) : f16[3,37]
  %e = cast(%d, to=f32) : f32[3,37]
  %f = max(%e, %e) : f32[3,37]
  %g = transpose(%d, perm=[1, 0]) : f16[37,3]
  %h = add(%g, %x) : f16[37,3]
  %i = transpose(%h, perm=[1, 0]) : f16[3,37]
  return %d "d", %f "f", %i "i"
}"""


@pytest.mark.parametrize("target", ["c", "x86-64", "x86-64-v3", "host", "arm-neon", "armv7-neon"])
def test_each_result_of_half_precision_is_rounded(target: str) -> None:
    graph = Graph.parse(HALVES)
    generator = np.random.default_rng(3)
    given = [generator.standard_normal(v.shape).astype(np.float16) * 4 for v in graph.inputs]
    given[0][:4], given[3][0, :4] = 300, [300, np.inf, np.nan, -300]
    with np.errstate(all="ignore"):
        wanted = graph.evaluate(given)
    assert not np.isfinite(wanted[0].astype(np.float32)).all()
    with compiled(graph, target) as artifact:
        assert "ec_f32_round_f16" in (artifact.folder / "model.c").read_text(encoding="utf-8")
        found = outputs(artifact, given)
    assert [same(a, b) for a, b in zip(found, wanted, strict=True)] == [True] * 3
