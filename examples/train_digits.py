"""Train a small convolutional network on handwritten digits and write it as ONNX, with data to try it on.

    python examples/train_digits.py

writes beside this file: `digits.onnx`, `digits.npz` (held-out test images and labels), `digits_calibration.npz`
(images for choosing quantization ranges, seen neither in training nor in the test) and `digits_reference.npz`
(one input with the expected output). Plain numpy; the same machine writes the same bytes each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy_layers import Array, BatchNorm, Convolution, Dense, Layer, Random, Relu
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

HERE = Path(__file__).parent
TESTED, CALIBRATED, EPOCHS, BATCH, RATE = 360, 128, 30, 64, 3e-3


def build(random: Random) -> list[Layer]:
    """Return the untrained network: [N, 1, 8, 8] images to [N, 10] logits."""
    stem: list[Layer] = [Convolution(random, (16, 1, 3, 3)), BatchNorm(16), Relu()]
    depthwise: list[Layer] = [Convolution(random, (16, 1, 3, 3), groups=16), BatchNorm(16), Relu()]
    pointwise: list[Layer] = [Convolution(random, (32, 16, 1, 1)), BatchNorm(32), Relu()]
    head: list[Layer] = [Convolution(random, (32, 32, 3, 3), stride=2), BatchNorm(32), Relu(), Dense(random, 512, 10)]
    return stem + depthwise + pointwise + head


def predict(network: list[Layer], x: Array, training: bool = False) -> Array:
    """Return the [N, 10] class probabilities of [N, 1, 8, 8] images."""
    for layer in network:
        x = layer.forward(x, training)
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def train(network: list[Layer], images: Array, labels: Array, random: Random) -> None:
    """Minimise cross-entropy with Adam, the learning rate falling linearly to zero."""
    steps = EPOCHS * (len(images) // BATCH)
    for step in range(steps):
        chosen = random.choice(len(images), BATCH, replace=False)
        wanted = np.eye(10, dtype=np.float32)[labels[chosen]]
        gradient = (predict(network, images[chosen], training=True) - wanted) / BATCH
        for layer in reversed(network):
            gradient = layer.backward(gradient)
        for parameter in (parameter for layer in network for parameter in layer.parameters):
            parameter.step(RATE * (1 - step / steps), step + 1)


def to_onnx(network: list[Layer]) -> onnx.ModelProto:
    """Return the trained network as an ONNX model, `images` in and `probabilities` out, any batch size."""
    constants, nodes, value = [], [], "images"
    for index, layer in enumerate(network):
        operator, attributes = layer.onnx
        if operator == "Gemm":
            nodes.append(helper.make_node("Flatten", [value], [value := "flat"], axis=1))
        names = [f"{operator}_{index}/{place}" for place in range(len(layer.parameters))]
        constants += [numpy_helper.from_array(p.value, name) for p, name in zip(layer.parameters, names, strict=True)]
        nodes.append(helper.make_node(operator, [value, *names], [value := f"{operator}_{index}"], value, **attributes))
    nodes.append(helper.make_node("Softmax", [value], ["probabilities"], axis=1))
    taken = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 8, 8])
    given = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph(nodes, "digits", [taken], [given], constants)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    """Train, print the test accuracy, write the files."""
    random = np.random.default_rng(0)
    pixels, classes = load_digits(return_X_y=True)
    order = random.permutation(len(pixels))
    images, labels = (pixels[order] / 16).astype(np.float32).reshape(-1, 1, 8, 8), classes[order].astype(np.int64)
    test, calibration = slice(TESTED), slice(TESTED, TESTED + CALIBRATED)
    network = build(random)
    train(network, images[TESTED + CALIBRATED :], labels[TESTED + CALIBRATED :], random)
    right = predict(network, images[test]).argmax(1) == labels[test]
    print(f"test accuracy {np.mean(right):.2%} on {TESTED} images")
    (HERE / "digits.onnx").write_bytes(to_onnx(network).SerializeToString(deterministic=True))
    np.savez_compressed(HERE / "digits.npz", images=images[test], labels=labels[test])
    np.savez_compressed(HERE / "digits_calibration.npz", images=images[calibration], labels=labels[calibration])
    reference: dict[str, Any] = {"in:images": images[:1], "out:probabilities": predict(network, images[:1])}
    np.savez_compressed(HERE / "digits_reference.npz", **reference)


if __name__ == "__main__":
    main()
