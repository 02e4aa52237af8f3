"""Rules: convolutions and pools of any number of spatial dimensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ModelError
from .onnx_rules import Node, NotCovered, rule
from .ops import Abs, Conv, ConvTranspose, MaxPlaces, Mul, Pool, Pow, Reduce, Sqrt, like
from .value import Value


@dataclass(frozen=True)
class Window:
    """The parameters of a sliding window; `pads` holds all begins, then all ends."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]

    @property
    def extents(self) -> tuple[int, ...]:
        """How many elements the window spans along each dimension."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))


def window_of(node: Node, kernel: tuple[int, ...]) -> Window:
    """The window that a node describes, automatic padding worked out for its first operand."""
    spatial, rank = len(kernel), node.x.rank
    if spatial < 1 or rank != spatial + 2:
        raise ModelError(f"a kernel of {spatial} dimensions does not fit an input of rank {rank}")
    ones = (1,) * spatial
    strides, dilations = node.ints("strides") or ones, node.ints("dilations") or ones
    pads = node.ints("pads") or (0,) * (2 * spatial)
    if (len(strides), len(dilations), len(pads)) != (spatial, spatial, 2 * spatial):
        raise ModelError(f"strides, dilations and pads must be for {spatial} spatial dimensions")
    if min(strides + dilations + kernel) < 1:
        raise ModelError("kernel, strides and dilations must be positive")
    return Window(kernel, strides, dilations, pads)


def same_pads(window: Window, sizes: tuple[int, ...], mode: str) -> Window:
    """The window with the pads of `auto_pad`."""
    if mode == "NOTSET":
        return window
    if mode not in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        raise ModelError(f"there is no auto_pad '{mode}'")
    totals = [0] * len(sizes)
    if mode != "VALID":
        spans = zip(sizes, window.strides, window.extents, strict=True)
        totals = [max(0, (-(-size // stride) - 1) * stride + extent - size) for size, stride, extent in spans]
    return Window(window.kernel, window.strides, window.dilations, split_pads(totals, mode == "SAME_LOWER"))


def split_pads(totals: list[int], more_at_begin: bool) -> tuple[int, ...]:
    """Total pads divided between begin and end."""
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (*large, *small) if more_at_begin else (*small, *large)


def _kernel_of(node: Node, weight: Value) -> tuple[int, ...]:
    kernel = node.ints("kernel_shape") or weight.shape[2:]
    if tuple(kernel) != weight.shape[2:]:
        raise ModelError(f"kernel_shape is {list(kernel)}, the weight has {list(weight.shape[2:])}")
    return kernel


@rule("Conv")
def conv(node: Node) -> Value:
    x, w, bias = node.x, node.input(1), node.optional(2)
    window = same_pads(window_of(node, _kernel_of(node, w)), x.shape[2:], node.text("auto_pad", "NOTSET"))
    if min(window.pads) < 0:
        raise NotCovered("negative pads", "a Slice before it")
    return Conv(x, w, bias, window.strides, window.pads, window.dilations, node.integer("group", 1)).result


@rule("ConvTranspose")
def conv_transpose(node: Node) -> Value:
    """`output_shape` and SAME say how large the result is; the pads follow."""
    x, w, bias = node.x, node.input(1), node.optional(2)
    window = window_of(node, _kernel_of(node, w))
    spatial = len(window.kernel)
    extra = node.ints("output_padding") or (0,) * spatial
    wanted, mode = node.ints("output_shape"), node.text("auto_pad")
    pads = window.pads if mode == "NOTSET" else (0,) * (2 * spatial)
    if wanted is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(d * s for d, s in zip(x.shape[2:], window.strides, strict=True))
    if len(extra) != spatial or (wanted is not None and len(wanted) not in (spatial, spatial + 2)):
        raise ModelError(f"output_padding and output_shape must be for {spatial} spatial dimensions")
    if wanted is not None:
        spans = zip(x.shape[2:], window.strides, window.extents, extra, wanted[-spatial:], strict=True)
        totals = [(size - 1) * stride + extent + e - want for size, stride, extent, e, want in spans]
        extra = tuple(e + max(0, -t) for e, t in zip(extra, totals, strict=True))
        pads = split_pads([max(0, t) for t in totals], mode != "SAME_UPPER")
    if min(pads) < 0:
        raise NotCovered("negative pads", "a Pad after it")
    return ConvTranspose(x, w, bias, window.strides, pads, window.dilations, extra, node.integer("group", 1)).result


def pool_window(node: Node) -> tuple[Window, tuple[int, ...]]:
    """The window of a pool, and which of its pads the node itself asked for.

    `ceil_mode` lets the last window begin inside the input and end behind it: more padding at the end.
    """
    sizes = node.x.shape[2:]
    window = same_pads(window_of(node, node.ints("kernel_shape") or ()), sizes, node.text("auto_pad"))
    if min(window.pads) < 0:
        raise NotCovered("negative pads", "a Slice before it")
    if not node.flag("ceil_mode"):
        return window, window.pads
    spatial = len(sizes)
    ends = list(window.pads[spatial:])
    for i, (size, stride, extent) in enumerate(zip(sizes, window.strides, window.extents, strict=True)):
        begin = window.pads[i]
        count = -(-(size + begin + ends[i] - extent) // stride) + 1
        if (count - 1) * stride >= size + begin:
            count -= 1
        ends[i] = max(ends[i], (count - 1) * stride + extent - size - begin)
    return Window(window.kernel, window.strides, window.dilations, (*window.pads[:spatial], *ends)), window.pads


def _pooled(x: Value, kind: str, window: Window, counted: tuple[int, ...] = ()) -> Value:
    return Pool(x, kind, window.kernel, window.strides, window.pads, window.dilations, counted).result


@rule("MaxPool")
def max_pool(node: Node) -> tuple[Value, Value | None]:
    """The second result holds the places of the elements that were chosen."""
    window, places = pool_window(node)[0], None
    if node.wants(1):
        shape = (window.kernel, window.strides, window.pads, window.dilations)
        places = MaxPlaces(node.x, *shape, node.flag("storage_order")).result
    return _pooled(node.x, "max", window), places


@rule("AveragePool")
def average_pool(node: Node) -> Value:
    window, asked = pool_window(node)
    return _pooled(node.x, "average", window, asked if node.flag("count_include_pad") else ())


@rule("LpPool")
def lp_pool(node: Node) -> Value:
    """The p-norm over windows."""
    powered, root = _norm_parts(node.x, node.integer("p"))
    return root(_pooled(powered, "sum", pool_window(node)[0]))


def _norm_parts(x: Value, p: int) -> tuple[Value, Callable[[Value], Value]]:
    """|x| ** p, and the function that takes the p-th root."""
    if p < 1:
        raise ModelError(f"p must be positive, is {p}")
    if p == 1:
        return Abs(x).result, lambda total: total
    if p == 2:
        return Mul(x, x).result, lambda total: Sqrt(total).result
    return Pow(Abs(x).result, like(x, p)).result, lambda total: Pow(total, like(x, 1 / p)).result


@rule("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node: Node) -> Value:
    kind = "mean" if node.op_type == "GlobalAveragePool" else "max"
    return Reduce(node.x, kind, _spatial(node)).result


@rule("GlobalLpPool")
def global_lp_pool(node: Node) -> Value:
    powered, root = _norm_parts(node.x, node.integer("p"))
    return root(Reduce(powered, "sum", _spatial(node)).result)


def _spatial(node: Node) -> tuple[int, ...]:
    if node.x.rank < 3:
        raise ModelError(f"{node.x.type} has no spatial dimensions")
    return tuple(range(2, node.x.rank))
