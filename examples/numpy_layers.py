"""The layers of a small convolutional network in plain numpy, each with its gradient and its ONNX operator."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]
Random = np.random.Generator


class Parameter:
    """A trained array with its gradient and the two running moments of Adam."""

    def __init__(self, value: Array) -> None:
        self.value = value.astype(np.float32)
        self.gradient, self.mean, self.square = (np.zeros_like(self.value) for _ in range(3))

    def step(self, rate: float, time: int) -> None:
        """Apply one Adam update; `time` counts from 1."""
        self.mean = 0.9 * self.mean + 0.1 * self.gradient
        self.square = 0.999 * self.square + 0.001 * self.gradient**2
        mean, square = self.mean / (1 - 0.9**time), self.square / (1 - 0.999**time)
        self.value -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(1e-8))


class Layer(Protocol):
    """One step of the network."""

    parameters: list[Parameter]
    onnx: tuple[str, dict[str, Any]]

    def forward(self, x: Array, training: bool) -> Array: ...
    def backward(self, gradient: Array) -> Array: ...


def windows(x: Array, size: int) -> Array:
    """Return the [N, C, H, W, size, size] neighbourhoods of an [N, C, H, W] image padded with zeros."""
    border = (size // 2, size // 2)
    return sliding_window_view(np.pad(x, ((0, 0), (0, 0), border, border)), (size, size), (2, 3))


class Convolution:
    """A square convolution without bias, padded with zeros; depthwise when `groups` is its number of filters."""

    def __init__(self, random: Random, shape: tuple[int, int, int, int], stride: int = 1, groups: int = 1) -> None:
        self.parameters = [Parameter(random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape))]
        self.onnx = "Conv", {"pads": [shape[3] // 2] * 4, "strides": [stride] * 2, "group": groups}
        self.size, self.stride = shape[3], stride
        self.read, self.weigh = ("c", "ocij") if groups == 1 else ("o", "oij")

    def forward(self, x: Array, training: bool) -> Array:
        self.shape, self.seen = x.shape, windows(x, self.size)[:, :, :: self.stride, :: self.stride]
        return np.einsum(f"n{self.read}hwij,ocij->nohw", self.seen, self.parameters[0].value, optimize=True)

    def backward(self, gradient: Array) -> Array:
        (weight,) = self.parameters
        weighed = np.einsum(f"nohw,n{self.read}hwij->{self.weigh}", gradient, self.seen, optimize=True)
        weight.gradient = weighed.reshape(weight.value.shape)
        spread = np.zeros((len(gradient), gradient.shape[1], *self.shape[2:]), np.float32)
        spread[:, :, :: self.stride, :: self.stride] = gradient
        flipped = weight.value[:, :, ::-1, ::-1]
        return np.einsum(f"nohwij,ocij->n{self.read}hw", windows(spread, self.size), flipped, optimize=True)


class BatchNorm:
    """Normalise each channel by the batch in training, by the running statistics afterwards.

    The parameters are scale, shift, mean and variance, as ONNX has them; the last two never get a gradient.
    """

    def __init__(self, channels: int) -> None:
        self.parameters = [Parameter(np.full(channels, start)) for start in (1, 0, 0, 1)]
        self.onnx = "BatchNormalization", {"epsilon": 1e-5}

    def forward(self, x: Array, training: bool) -> Array:
        scale, shift, mean, variance = (parameter.value[:, None, None] for parameter in self.parameters)
        if training:
            mean, variance = (statistic((0, 2, 3), keepdims=True)[0] for statistic in (x.mean, x.var))
            for running, now in zip(self.parameters[2:], (mean, variance), strict=True):
                running.value += np.float32(0.1) * (now.reshape(-1) - running.value)
        self.deviation = np.sqrt(variance + np.float32(1e-5))
        self.normal = (x - mean) / self.deviation
        return self.normal * scale + shift

    def backward(self, gradient: Array) -> Array:
        scale, shift = self.parameters[:2]
        scale.gradient, shift.gradient = (gradient * self.normal).sum((0, 2, 3)), gradient.sum((0, 2, 3))
        common = shift.gradient[:, None, None] + self.normal * scale.gradient[:, None, None]
        centred = gradient - common / np.float32(gradient.size / len(scale.value))
        return centred * scale.value[:, None, None] / self.deviation


class Relu:
    """The positive part."""

    def __init__(self) -> None:
        self.parameters: list[Parameter] = []
        self.onnx: tuple[str, dict[str, Any]] = "Relu", {}

    def forward(self, x: Array, training: bool) -> Array:
        self.open = x > 0
        return x * self.open

    def backward(self, gradient: Array) -> Array:
        return gradient * self.open


class Dense:
    """A matrix product with bias on the flattened input."""

    def __init__(self, random: Random, features: int, classes: int) -> None:
        weight = random.normal(0, np.sqrt(1 / features), (features, classes))
        self.parameters = [Parameter(weight), Parameter(np.zeros(classes))]
        self.onnx: tuple[str, dict[str, Any]] = "Gemm", {}

    def forward(self, x: Array, training: bool) -> Array:
        self.shape, self.seen = x.shape, x.reshape(len(x), -1)
        return self.seen @ self.parameters[0].value + self.parameters[1].value

    def backward(self, gradient: Array) -> Array:
        weight, bias = self.parameters
        weight.gradient, bias.gradient = self.seen.T @ gradient, gradient.sum(0)
        return (gradient @ weight.value.T).reshape(self.shape)
