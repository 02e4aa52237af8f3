"""Small ONNX models with control flow, in ONNX's text form."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser

HEAD = '<ir_version: 8, opset_import: ["" : 17]>\n'

WHILE = """
g (float[3,5] x, float limit) => (float[3,5] y, int64 runs) {
  none = Constant <value_int = 0> ()
  sum0 = ReduceSum <keepdims = 0> (x)
  go0 = Less (sum0, limit)
  y, runs = Loop ("", go0, x, none) <body = once (int64 i, bool go, float[3,5] v, int64 n) =>
    (bool more, float[3,5] w, int64 m) {
      w = Add (v, v)
      one = Constant <value_int = 1> ()
      m = Add (n, one)
      sum = ReduceSum <keepdims = 0> (w)
      more = Less (sum, limit)
  }>
}
"""

COUNTED = """
g (float[4] x, float[4] step, int64 count) => (float[4] y, float[4] z) {
  yes = Constant <value = bool {1}> ()
  y, z = Loop (count, yes, x, step) <body = once (int64 i, bool go, float[4] a, float[4] b) =>
    (bool on, float[4] c, float[4] d) {
      on = Identity (go)
      f = Cast <to = 1> (i)
      s = Add (a, f)
      c = Mul (b, step)
      d = Identity (s)
  }>
}
"""

ROWS = """
g (float[2,3] x, float[3] w) => (float[2,3] y, float[40,2] sums, float[40] trips) {
  times = Constant <value_int = 40> ()
  yes = Constant <value = bool {1}> ()
  y, sums, trips = Loop (times, yes, x) <body = once (int64 i, bool go, float[2,3] v) =>
    (bool on, float[2,3] next, float[2] s, float t) {
      on = Identity (go)
      half = Constant <value_float = 0.5> ()
      moved = Add (v, w)
      next = Mul (moved, half)
      s = ReduceSum <keepdims = 0> (next, last)
      t = Cast <to = 1> (i)
  }>
  last = Constant <value_ints = [1]> ()
}
"""

CONVOLUTION = """
g (float[1,3,9,7] x, float[4,3,3,3] taps) => (float[1,3,9,7] y, float[30,1,3] means) {
  times = Constant <value_int = 30> ()
  yes = Constant <value = bool {1}> ()
  y, means = Loop (times, yes, x) <body = once (int64 i, bool go, float[1,3,9,7] v) =>
    (bool on, float[1,3,9,7] next, float[1,3] mean) {
      on = Identity (go)
      wide = Conv <pads = [1,1,1,1]> (v, weight, bias)
      bent = Relu (wide)
      narrow = Conv (bent, back)
      sum = Add (narrow, x)
      next = Tanh (sum)
      all = GlobalAveragePool (next)
      to = Constant <value_ints = [1, 3]> ()
      mean = Reshape (all, to)
  }>
}
"""

NESTED = """
g (float[2,3] x, bool flag, float[3] w) => (float[2,3] y, float[2,3] z) {
  y, z = If (flag) <
    then_branch = a () => (float[2,3] p, float[2,3] q) {
      many = Constant <value_int = 70> ()
      yes = Constant <value = bool {1}> ()
      scaled = Mul (x, w)
      p = Loop (many, yes, scaled) <body = b (int64 i, bool go, float[2,3] v) => (bool on, float[2,3] next) {
        on = Identity (go)
        ten = Constant <value_int = 10> ()
        early = Less (i, ten)
        next = If (early) <
          then_branch = c () => (float[2,3] r) {
            more = Add (v, w)
            r = Mul (more, x)
          },
          else_branch = d () => (float[2,3] s) {
            s = Sub (v, scaled)
          }>
      }>
      q = Identity (x)
    },
    else_branch = e () => (float[2,3] t, float[2,3] u) {
      t = Neg (x)
      u = Constant <value = float[2,3] {1,2,3,4,5,6}> ()
    }>
}
"""

SCAN = """
g (float[3] first, float[3,90,2] a, float[90,3] b) => (float[3] last, float[3,90] sums, float[90,2] picked) {
  last, sums, picked = Scan <
    num_scan_inputs = 2, scan_input_axes = [1, 0], scan_input_directions = [0, 1],
    scan_output_axes = [1, 0], scan_output_directions = [1, 0],
    body = once (float[3] s, float[3,2] p, float[3] q) => (float[3] next, float[3] sum, float[2] top) {
      mean = ReduceMean <axes = [1], keepdims = 0> (p)
      both = Add (mean, q)
      sum = Add (s, both)
      next = Tanh (sum)
      zero = Constant <value_int = 0> ()
      top = Gather (p, zero)
    }> (first, a, b)
}
"""

SWAPPED = """
g (float[2,3] x, float[3] w, bool flag) => (float[2,3] y, float[2,3] z, float[4,3] joined) {
  times = Constant <value = int64 {33}> ()
  y, z = Loop (times, "", x, other) <body = once (int64 i, bool go, float[2,3] a, float[2,3] b) =>
    (bool on, float[2,3] c, float[2,3] d) {
      on = Constant <value = bool {1}> ()
      d = Identity (a)
      c = Add (b, w)
  }>
  other = Mul (x, w)
  turned = Transpose <perm = [1, 0]> (x)
  chosen = If (flag) <
    then_branch = a () => (float[2,3] p) { p = Transpose <perm = [1, 0]> (turned) },
    else_branch = b () => (float[2,3] q) { q = Add (other, x) }>
  joined = Concat <axis = 0> (chosen, x)
}
"""

CANNOT_RUN = """
g (float[2,3] x, bool flag) => (float[2,3] y) {
  y = If (flag) <
    then_branch = a () => (float[2,3] p) { p = Add (x, x) },
    else_branch = b () => (float[2,3] q) { q = MatMul (x, x) }>
}
"""

MODELS = {
    "while": WHILE, "counted": COUNTED, "rows": ROWS, "convolution": CONVOLUTION, "nested": NESTED, "scan": SCAN,
    "swapped": SWAPPED,
}  # fmt: skip


def control_model(name: str, text: str = "") -> onnx.ModelProto:
    """The model of a name, or of a text; weights of the convolutions are constants."""
    model = onnx.parser.parse_model(HEAD + (text or MODELS[name]))
    if name == "convolution":
        random = np.random.default_rng(3)
        shapes = {"weight": (4, 3, 3, 3), "bias": (4,), "back": (3, 4, 1, 1)}
        arrays = {n: (random.standard_normal(s) / 4).astype(np.float32) for n, s in shapes.items()}
        model.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in arrays.items())
    return model


def control_inputs(name: str, seed: int = 0) -> list[np.ndarray]:
    """Inputs of a model, in order; seeds differ in what they choose."""
    random = np.random.default_rng(seed)
    drawn = []
    for value in control_model(name).graph.input:
        kind = value.type.tensor_type
        shape = [d.dim_value for d in kind.shape.dim]
        if value.name == "limit":
            drawn.append(np.array(40 * seed, np.float32))
        elif kind.elem_type == onnx.TensorProto.BOOL:
            drawn.append(np.array(seed % 2 == 0))
        elif kind.elem_type == onnx.TensorProto.INT64:
            drawn.append(np.array(seed * 3 - 1, np.int64))
        else:
            drawn.append(np.asarray(random.random(shape), np.float32))
    return drawn
