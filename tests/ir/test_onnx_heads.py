"""Attention as ONNX Runtime's tools write it: the same numbers as ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.errors import Unsupported
from edgec.ir.onnx_import import load

onnxruntime = pytest.importorskip("onnxruntime")

KINDS = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "int32": TensorProto.INT32}
BATCH, LENGTH, HEADS, SIZE, KEYS = 2, 3, 4, 6, 5
WIDTH = HEADS * SIZE
GENERATOR = np.random.default_rng(3)


def numbers(*shape: int) -> np.ndarray:
    return GENERATOR.standard_normal(shape).astype(np.float32)


def kinds(op: str, results: int) -> list[int]:
    """The element types of the results: floats, but for the counts of a mask."""
    return [TensorProto.INT32 if op.startswith("Embed") and i else TensorProto.FLOAT for i in range(results)]


def model(op: str, attributes: dict[str, Any], arrays: list[Any], results: int, fixed: tuple[int, ...] = ()) -> bytes:
    names = ["" if a is None else f"x{i}" for i, a in enumerate(arrays)]
    inputs = [
        helper.make_tensor_value_info(names[i], KINDS[a.dtype.name], a.shape)
        for i, a in enumerate(arrays)
        if a is not None and i not in fixed
    ]
    outputs = [helper.make_tensor_value_info(f"y{i}", kind, None) for i, kind in enumerate(kinds(op, results))]
    node = helper.make_node(op, names, [v.name for v in outputs], domain="com.microsoft", **attributes)
    constants = [numpy_helper.from_array(arrays[i], names[i]) for i in fixed]
    graph = helper.make_graph([node], "one", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def check(
    op: str, attributes: dict[str, Any], arrays: list[Any], results: int = 1, fixed: tuple[int, ...] = ()
) -> None:
    content = model(op, attributes, arrays, results, fixed)
    fed = {f"x{i}": a for i, a in enumerate(arrays) if a is not None and i not in fixed}
    wanted = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, fed)
    for a, b in zip(load(content).evaluate(list(fed.values())), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


MASKS = {
    "none": None,
    "keys that count": np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32),
    "how many keys count": np.array([3, 5], np.int32),
}


@pytest.mark.parametrize("mask", MASKS)
def test_multi_head_attention(mask: str) -> None:
    arrays = [numbers(BATCH, n, WIDTH) for n in (LENGTH, KEYS, KEYS)] + [numbers(3 * WIDTH), MASKS[mask]]
    check("MultiHeadAttention", {"num_heads": HEADS}, arrays)


def test_multi_head_attention_in_other_forms() -> None:
    q, k, v = (numbers(BATCH, LENGTH, WIDTH) for _ in range(3))
    past = [numbers(BATCH, HEADS, 2, SIZE) for _ in range(2)]
    cross = [numbers(BATCH, HEADS, KEYS, SIZE) for _ in range(2)]
    check("MultiHeadAttention", {"num_heads": HEADS, "scale": 0.3}, [q, k, v, None, None, None, *past], 3)
    bias = numbers(1, HEADS, LENGTH, LENGTH)
    check("MultiHeadAttention", {"num_heads": HEADS, "unidirectional": 1}, [q, k, v, None, None, bias])
    check("MultiHeadAttention", {"num_heads": HEADS}, [q, *cross])


def test_attention() -> None:
    x, weights, bias = numbers(BATCH, LENGTH, WIDTH), numbers(WIDTH, 3 * WIDTH), numbers(3 * WIDTH)
    mask, past = np.array([[1, 1, 0], [1, 1, 1]], np.int32), numbers(2, BATCH, HEADS, 2, SIZE)
    check("Attention", {"num_heads": HEADS, "unidirectional": 1}, [x, weights, bias, mask])
    check("Attention", {"num_heads": HEADS, "unidirectional": 1}, [x, weights, bias, None, past], 2)


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_embedding(interleaved: int) -> None:
    tables = [numbers(9, SIZE // 2) for _ in range(2)]
    places = np.arange(BATCH * LENGTH).reshape(BATCH, LENGTH)
    check("RotaryEmbedding", {"interleaved": interleaved}, [numbers(BATCH, LENGTH, WIDTH), places, *tables])
    image = numbers(BATCH, HEADS, LENGTH, SIZE)
    check("RotaryEmbedding", {"interleaved": interleaved}, [image, np.array([2]), *tables])


@pytest.mark.parametrize("rotary", [0, 1])
def test_group_query_attention(rotary: int) -> None:
    size, groups = 16, 2
    tables = [numbers(16, size // 2) for _ in range(2)] if rotary else []
    attributes = {"num_heads": HEADS, "kv_num_heads": groups, "do_rotary": rotary}
    first = [numbers(BATCH, LENGTH, n * size) for n in (HEADS, groups, groups)]
    lengths, total = np.full(BATCH, LENGTH - 1, np.int32), np.array(LENGTH, np.int32)
    check("GroupQueryAttention", attributes, [*first, None, None, lengths, total, *tables], 3, (6,))
    packed = numbers(BATCH, 1, (HEADS + 2 * groups) * size)
    past = [numbers(BATCH, groups, 7, size) for _ in range(2)]
    lengths, total = np.full(BATCH, 7, np.int32), np.array(8, np.int32)
    attributes |= {"local_window_size": 3, "softcap": 2.0}
    check("GroupQueryAttention", attributes, [packed, None, None, *past, lengths, total, *tables], 3, (6,))


def test_embeddings() -> None:
    words = GENERATOR.integers(0, 9, (BATCH, LENGTH)).astype(np.int32)
    tables = [numbers(9, 16), numbers(8, 16), numbers(2, 16), numbers(16), numbers(16)]
    check("EmbedLayerNormalization", {}, [words, words % 2, *tables], 2)


@pytest.mark.parametrize("length", [1, LENGTH])
@pytest.mark.parametrize("causal", [0, 1])
def test_multi_head_attention_in_buffers(length: int, causal: int) -> None:
    new = [numbers(BATCH, length, WIDTH) for _ in range(3)]
    past = [numbers(BATCH, HEADS, 8, SIZE) for _ in range(2)]
    attributes = {"num_heads": HEADS, "unidirectional": causal}
    filled = np.array([4], np.int32)
    check("MultiHeadAttention", attributes, [*new, None, None, None, *past, filled], 3)
    bias = numbers(1, HEADS, length, 4 + length)
    check("MultiHeadAttention", attributes, [*new, None, None, bias, *past, filled.reshape(())], 3)
    mask = np.array([[1, 0, 1, 1, *[1] * length], [1] * (4 + length)], np.int32)
    check("MultiHeadAttention", attributes, [*new, None, mask, None, *past, filled], 3)


def test_attention_in_buffers_is_that_of_the_filled_part() -> None:
    """ONNX Runtime has it on GPUs only: there it is what the first rows alone give."""
    x, weights, bias = numbers(BATCH, LENGTH, WIDTH), numbers(WIDTH, 3 * WIDTH), numbers(3 * WIDTH)
    past, filled = numbers(2, BATCH, HEADS, 8, SIZE), np.array([4], np.int32)
    attributes = {"num_heads": HEADS, "unidirectional": 1}
    plain = model("Attention", attributes, [x, weights, bias, None, past[:, :, :, :4]], 2)
    session = onnxruntime.InferenceSession(plain, providers=["CPUExecutionProvider"])
    y, present = session.run(None, {"x0": x, "x1": weights, "x2": bias, "x4": past[:, :, :, :4]})
    arrays = [x, weights, bias, None, past, None, filled]
    shared = load(model("Attention", {**attributes, "past_present_share_buffer": 1}, arrays, 2))
    got = shared.evaluate([x, weights, bias, past, filled])
    np.testing.assert_allclose(got[0], y, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(got[1][:, :, :, : 4 + LENGTH], present, rtol=2e-4, atol=2e-5)
    np.testing.assert_array_equal(got[1][:, :, :, 4 + LENGTH :], past[:, :, :, 4 + LENGTH :])


def test_attention_with_sizes_of_its_own() -> None:
    x, weights, past = numbers(BATCH, LENGTH, WIDTH), numbers(WIDTH, 3 * WIDTH), numbers(2, BATCH, HEADS, 2, SIZE)
    sizes = {"num_heads": HEADS, "qkv_hidden_sizes": [WIDTH] * 3}
    check("Attention", sizes, [x, weights, numbers(3 * WIDTH), None, past], 2)


@pytest.mark.parametrize("heads", [(4, 2), (3, 1)])
@pytest.mark.parametrize("sink", [False, True])
def test_grouped_queries_with_places_and_sinks(heads: tuple[int, int], sink: bool) -> None:
    count, groups = heads
    tables, places = [numbers(16, 8) for _ in range(2)], GENERATOR.integers(0, 16, (BATCH, LENGTH))
    attributes = {"num_heads": count, "kv_num_heads": groups, "do_rotary": 1, "softcap": 3.0}
    attributes |= {} if sink else {"smooth_softmax": 1}
    more = [*tables, places, None, numbers(count) if sink else None]
    first = [numbers(BATCH, LENGTH, n * 16) for n in (count, groups, groups)]
    lengths, total = np.full(BATCH, LENGTH - 1, np.int32), np.array(LENGTH, np.int32)
    for known in ((6,), ()):
        check("GroupQueryAttention", attributes, [*first, None, None, lengths, total, *more], 3, known)
    attributes |= {"local_window_size": 3}
    for batch, count in ((BATCH, 1), (1, 2)):  # a token behind the past of each, and a prompt behind one
        new, past = [a[:batch, :count] for a in first], [numbers(batch, groups, 7, 16) for _ in range(2)]
        lengths, total = np.full(batch, 6 + count, np.int32), np.array(7 + count, np.int32)
        more[2] = places[:batch, :count]
        check("GroupQueryAttention", attributes, [*new, *past, lengths, total, *more], 3, (6,))


def test_what_has_no_translation_is_refused_by_name() -> None:
    q, k, v = (numbers(BATCH, LENGTH, WIDTH) for _ in range(3))
    past, filled = [numbers(BATCH, HEADS, 8, SIZE) for _ in range(2)], np.array([1], np.int32)
    beams = np.zeros((BATCH, 1, 8), np.int32)
    with pytest.raises(Unsupported, match="cache indirection"):
        load(model("MultiHeadAttention", {"num_heads": HEADS}, [q, k, v, None, None, None, *past, filled, beams], 1))
    with pytest.raises(Unsupported, match="rotary positions; works: RotaryEmbedding before MultiHeadAttention"):
        load(model("Attention", {"num_heads": HEADS, "do_rotary": 1}, [q, numbers(WIDTH, 3 * WIDTH)], 1))
    scale = numbers(1)
    grouped = [q, k, v, None, None, filled, filled, *[None] * 5, scale, scale]
    with pytest.raises(Unsupported, match="key scale"):
        load(model("GroupQueryAttention", {"num_heads": HEADS, "kv_num_heads": HEADS}, grouped, 1))
