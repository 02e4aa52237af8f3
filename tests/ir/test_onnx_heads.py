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


def test_what_has_no_translation_is_refused_by_name() -> None:
    q, k, v = (numbers(BATCH, LENGTH, WIDTH) for _ in range(3))
    arrays = [q, k, v, None, None, None, None, None, np.array([1], np.int32)]
    with pytest.raises(Unsupported, match="past sequence length"):
        load(model("MultiHeadAttention", {"num_heads": HEADS}, arrays, 1))
