"""Plain numpy versions of the windowed kernels, in double precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Window:
    """A windowed kernel on NHWC data without border; channels are per group."""

    batch: int = 1
    groups: int = 1
    out_h: int = 1
    out_w: int = 1
    out_c: int = 1
    in_c: int = 1
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    extra: int = 0  # channels that lie beside the ones used, in x and in y

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        height, width = (
            (out - 1) * stride + (kernel - 1) * dilation + 1
            for out, stride, kernel, dilation in zip(
                (self.out_h, self.out_w), self.stride, self.kernel, self.dilation, strict=True
            )
        )
        return self.batch, height, width, self.groups * self.in_c + self.extra

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return self.batch, self.out_h, self.out_w, self.groups * self.out_c + self.extra

    def fields(self, block_h: int = 1, block_c: int = 1) -> dict[str, int]:
        """The fields of ec_conv_shape."""
        _, x_h, x_w, x_c = self.x_shape
        _, y_h, y_w, y_c = self.y_shape
        return {
            "batch": self.batch, "groups": self.groups, "out_h": self.out_h, "out_w": self.out_w,
            "out_c": self.out_c, "in_c": self.in_c, "kernel_h": self.kernel[0], "kernel_w": self.kernel[1],
            "stride_h": self.stride[0], "stride_w": self.stride[1],
            "dilation_h": self.dilation[0], "dilation_w": self.dilation[1],
            "x_n": x_h * x_w * x_c, "x_h": x_w * x_c, "x_w": x_c, "y_n": y_h * y_w * y_c, "y_h": y_w * y_c, "y_w": y_c,
            "block_h": block_h, "block_c": block_c,
        }  # fmt: skip

    def taps(self, x: Array) -> Iterator[tuple[int, int, Array]]:
        """Row, column and the pixels [batch, out_h, out_w, channels] under each tap of the window."""
        for row, column in np.ndindex(*self.kernel):
            top, left = row * self.dilation[0], column * self.dilation[1]
            bottom, right = top + (self.out_h - 1) * self.stride[0] + 1, left + (self.out_w - 1) * self.stride[1] + 1
            yield row, column, x[:, top : bottom : self.stride[0], left : right : self.stride[1]]


def convolve(x: Array, weights: Array, bias: Array | None, window: Window) -> Array:
    """y [batch, out_h, out_w, groups * out_c] of OIHW weights."""
    groups, in_c, out_c = window.groups, window.in_c, window.out_c
    y = np.zeros((*window.y_shape[:3], groups * out_c))
    for row, column, pixels in window.taps(x.astype(np.float64)):
        for group in range(groups):
            channels = slice(group * out_c, (group + 1) * out_c)
            part = pixels[..., group * in_c : (group + 1) * in_c]
            y[..., channels] += part @ weights[channels, :, row, column].T.astype(np.float64)
    return y if bias is None else y + bias
