"""Small networks in text form that together hold what the translation has to tell apart."""

from __future__ import annotations

import numpy as np

from edgec.ir import Graph

CLASSIFIER = """\
graph "classifier"(%x: f32[1,3,9,7] "x") {
  %w = constant(value=fill(0.125)) : f32[20,3,3,3]
  %b = constant(value=fill(0.5)) : f32[20]
  %conv = conv(%x, %w, %b, pads=[1, 1, 1, 1]) : f32[1,20,9,7]
  %act = hard-swish(%conv) : f32[1,20,9,7]
  %dw = constant(value=fill(0.25)) : f32[20,1,3,3]
  %deep = conv(%act, %dw, pads=[1, 1, 1, 1], groups=20) : f32[1,20,9,7]
  %s = add(%deep, %act) : f32[1,20,9,7]
  %p = pool(%s, kind="max", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0], dilations=[1, 1]) : f32[1,20,4,3]
  %mean = reduce(%p, kind="mean", axes=[2, 3], keepdims=false) : f32[1,20]
  %k = constant(value=fill(0.1)) : f32[20,5]
  %scores = matmul(%mean, %k) : f32[1,5]
  %y = softmax(%scores, axis=1) : f32[1,5]
  return %y "y", %x "same"
}
"""

ATTENTION = """\
graph "attention"(%x: f32[1,13,24] "x") {
  %wq = constant(value=fill(0.05)) : f32[24,24]
  %q = matmul(%x, %wq) : f32[1,13,24]
  %heads = reshape(%q, shape=[1, 13, 2, 12]) : f32[1,13,2,12]
  %a = transpose(%heads, perm=[0, 2, 1, 3]) : f32[1,2,13,12]
  %b = transpose(%heads, perm=[0, 2, 3, 1]) : f32[1,2,12,13]
  %scores = matmul(%a, %b) : f32[1,2,13,13]
  %p = softmax(%scores, axis=3) : f32[1,2,13,13]
  %mixed = matmul(%p, %a) : f32[1,2,13,12]
  %back = transpose(%mixed, perm=[0, 2, 1, 3]) : f32[1,13,2,12]
  %flat = reshape(%back, shape=[1, 13, 24]) : f32[1,13,24]
  %sum = add(%flat, %x) : f32[1,13,24]
  %norm = layer-norm(%sum, axis=2) : f32[1,13,24]
  %y = gelu(%norm) : f32[1,13,24]
  return %y "y"
}
"""

EDGES = """\
graph "edges"(%x: f32[1,3,6,6] "x") {
  %w = constant(value=fill(0.125)) : f32[1,3,3,3]
  %b = constant(value=fill(0.5)) : f32[1]
  %one = conv(%x, %w, %b) : f32[1,1,4,4]
  %rows = reshape(%x, shape=[6, 18]) : f32[6,18]
  %s = constant(value=fill(0.25)) : f32[1,18]
  %scaled = mul(%rows, %s) : f32[6,18]
  %y = softmax(%scaled, axis=1) : f32[6,18]
  return %one "one", %y "y"
}
"""
"""A bias of one number; a largest element of what is computed and needed again."""

LARGE = """\
graph "large"(%x: f32[1,4,64,64] "x") {
  %w = constant(value=fill(0.125)) : f32[16,4,3,3]
  %conv = conv(%x, %w, pads=[1, 1, 1, 1]) : f32[1,16,64,64]
  %dw = constant(value=fill(0.25)) : f32[16,1,3,3]
  %deep = conv(%conv, %dw, pads=[1, 1, 1, 1], groups=16) : f32[1,16,64,64]
  %act = gelu(%deep) : f32[1,16,64,64]
  %rows = reshape(%act, shape=[256, 256]) : f32[256,256]
  %y = softmax(%rows, axis=1) : f32[256,256]
  %back = transpose(%y, perm=[1, 0]) : f32[256,256]
  %long = reshape(%back, shape=[4, 16384]) : f32[4,16384]
  %z = softmax(%long, axis=1) : f32[4,16384]
  return %y "y", %z "z"
}
"""
"""Tensors so large that threads share them; the last rows need more memory than a thread's stack may hold."""


def network(text: str, seed: int = 3) -> tuple[Graph, list[np.ndarray]]:
    """A graph with random weights, and arrays for its inputs."""
    random = np.random.default_rng(seed)
    graph = Graph.parse(text)
    for op in graph:
        if op.name == "constant":
            op.value = (random.standard_normal(op.value.shape) / 4).astype(op.value.dtype)
    return graph, [random.standard_normal(v.shape).astype(np.float32) for v in graph.inputs]
