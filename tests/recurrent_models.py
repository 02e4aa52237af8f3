"""Random ONNX models of one recurrent layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FUNCTIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}
ACTIVATIONS = (
    "Relu", "Tanh", "Sigmoid", "Affine", "LeakyRelu", "ScaledTanh", "HardSigmoid", "Elu", "Softsign",
)  # fmt: skip
"""Without ThresholdedRelu, which jumps, and Softplus, which overflows above 88 in ONNX Runtime."""
ALPHA = ("Affine", "LeakyRelu", "ScaledTanh", "HardSigmoid", "Elu")
BETA = ("Affine", "ScaledTanh", "HardSigmoid")
HIDDEN = (1, 3, 8, 17, 33)

Arrays = dict[str, np.ndarray]


def random_layer(seed: int, constant: bool = True, layout: int = 0) -> tuple[bytes, Arrays]:
    """A model of one layer with random options and the arrays of its inputs; X alone is one where `constant`."""
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(list(GATES)))
    steps, batch, size, hidden = (int(rng.choice(c)) for c in ((1, 2, 5), (1, 2, 3), (1, 4, 7), HIDDEN))
    direction = str(rng.choice(["forward", "reverse", "bidirectional"]))
    both, gates = 1 + (direction == "bidirectional"), GATES[kind] * hidden
    state = (batch, both, hidden) if layout else (both, batch, hidden)
    shapes = {
        "X": (batch, steps, size) if layout else (steps, batch, size), "W": (both, gates, size),
        "R": (both, gates, hidden), "B": (both, 2 * gates), "L": (batch,), "H": state, "C": state,
        "P": (both, 3 * hidden),
    }  # fmt: skip
    names = ["X", "W", "R", *(n if rng.random() < 0.5 else "" for n in ("BLHCP" if kind == "LSTM" else "BLH"))]
    arrays = {n: (rng.standard_normal(shapes[n]) * 0.5).astype(np.float32) for n in names if n}
    if "L" in arrays:
        arrays["L"] = rng.integers(1, steps + 1, batch).astype(np.int32)
    attributes = {"hidden_size": hidden, "direction": direction, **_options(rng, kind, FUNCTIONS[kind] * both)}
    if layout:
        attributes["layout"] = 1
    outputs = ["Y", "Y_h", *(["Y_c"] if kind == "LSTM" else [])]
    inputs = {n: a for n, a in arrays.items() if n in ("X", "L") or not constant}
    made = helper.make_graph(
        [helper.make_node(kind, names, outputs, **attributes)], "layer",
        [numpy_info(n, a) for n, a in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(a, n) for n, a in arrays.items() if n not in inputs],
    )  # fmt: skip
    model: onnx.ModelProto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    return model.SerializeToString(), inputs


def numpy_info(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _options(rng: np.random.Generator, kind: str, count: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rng.random() < 0.3:
        found["clip"] = float(rng.choice([0.3, 1.0, 3.0]))
    if kind == "GRU" and rng.random() < 0.6:
        found["linear_before_reset"] = 1
    if kind == "LSTM" and rng.random() < 0.3:
        found["input_forget"] = 1
    if rng.random() < 0.6:
        names = [str(a) for a in rng.choice(ACTIVATIONS, count)]
        alphas, betas = (sum(n in of for n in names) for of in (ALPHA, BETA))
        found["activations"] = names
        found |= {"activation_alpha": _numbers(rng, alphas)} if alphas else {}
        found |= {"activation_beta": _numbers(rng, betas)} if betas else {}
    return found


def _numbers(rng: np.random.Generator, count: int) -> list[float]:
    return [float(v) for v in rng.uniform(0.2, 0.9, count)]
