"""Calls of the hand-written kernels: convolution, depthwise, pooling, matrix products, packing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...ir import Op, Value
from ...ir.dims import is_open, magnitude, upper
from ...ir.ops import Conv, ConvInteger, HalfConv, HalfMatMul, MatMul, PackPanels, PanelMatMul, Pool, array_of
from ...ir.ops.stored import to_rows
from ...kernels import packing
from ...kernels.table import Tile, choose_blocks, choose_tile, estimate, get_isa
from ...passes.places import Place, broadcast_strides, reshape_strides
from ...targets import Target
from .affine import ZERO, Affine, Index
from .code import (
    Address,
    Call,
    Convert,
    Declare,
    Do,
    Expression,
    For,
    Function,
    Literal,
    Name,
    Prefix,
    Return,
    Statement,
    Structure,
    size,
)
from .elements import Elements, Lanes, Names
from .region import Region
from .sizes import named, names_in, number, signed
from .spelling import CTYPES
from .stored_calls import halved, runs_of, widened

HEADERS = {
    "conv": "ec_conv_f32.h",
    "depthwise": "ec_depthwise_f32.h",
    "pool": "ec_pool_f32.h",
    "pack": "ec_pack_f32.h",
}


@dataclass
class KernelCall:
    """The body of a step that calls a kernel, its epilogue function and the arrays it wants packed."""

    kernel: str
    body: list[Statement]
    tasks: int
    header: str
    tile: str = ""
    epilogue: Function | None = None
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    """Arrays for the weight blob by the name of the pointer through which the body reads them."""
    note: str = ""
    """Why this kernel and no other, for the report."""


@dataclass(frozen=True)
class Window:
    """The numbers of `ec_conv_shape`."""

    batch: int
    groups: int
    out_h: int
    out_w: int
    out_c: int
    in_c: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    x: tuple[int, int, int]
    y: tuple[int, int, int]
    block_h: int = 1
    block_c: int = 1

    @property
    def depth(self) -> int:
        """Products in one sum."""
        return self.in_c * math.prod(self.kernel)

    @property
    def pixel(self) -> int:
        """Bytes from a pixel that is read for one output to that of the next."""
        return 4 * abs(self.x[2]) * self.strides[1]

    def declare(self, name: str) -> Structure:
        """The shape as a constant structure."""
        numbers = {
            "batch": self.batch, "groups": self.groups, "out_h": self.out_h, "out_w": self.out_w, "out_c": self.out_c,
            "in_c": self.in_c, "kernel_h": self.kernel[0], "kernel_w": self.kernel[1], "stride_h": self.strides[0],
            "stride_w": self.strides[1], "dilation_h": self.dilations[0], "dilation_w": self.dilations[1],
            "x_n": self.x[0], "x_h": self.x[1], "x_w": self.x[2], "y_n": self.y[0], "y_h": self.y[1], "y_w": self.y[2],
            "block_h": self.block_h, "block_c": self.block_c,
        }  # fmt: skip
        fields = [(k, number(v)) for k, v in numbers.items()]
        return Structure("const ec_conv_shape", name, tuple([*fields, *self.open()]))

    def open(self) -> list[tuple[str, Expression]]:
        """The field that names the sizes by which the kernels cannot unroll a loop."""
        sizes = {"EC_OPEN_W": self.out_w, "EC_OPEN_C": self.out_c, "EC_OPEN_K": self.in_c}
        names = [name for name, extent in sizes.items() if is_open(extent)]
        return [("open", Name(" | ".join(names)))] if names else []


class Caller:
    """Writes calls for the anchor of one region."""

    def __init__(self, region: Region, anchor: Op, pointers: dict[Value, str], name: str, target: Target) -> None:
        self.region, self.anchor, self.pointers, self.name, self.target = region, anchor, pointers, name, target

    # --- windows --------------------------------------------------------------------------------------------------

    def place(self, value: Value) -> Place:
        return self.region.leaves[value]

    def window(
        self, x: Value, kernel: Sequence[int], op: Conv | ConvInteger | Pool, groups: int, out_c: int, in_c: int
    ) -> Window:
        n, _, h, w = op.type.shape
        at, to = self.place(x).strides, self.region.target.strides
        return Window(
            n, groups, h, w, out_c, in_c, (kernel[0], kernel[1]), (op.strides[0], op.strides[1]),
            (op.dilations[0], op.dilations[1]), (at[0], at[2], at[3]), (to[0], to[2], to[3]),
        )  # fmt: skip

    def conv(self, op: Conv) -> KernelCall:
        weights = array_of(self.outer(op.w))
        assert weights is not None
        out_c, in_c = weights.shape[0] // op.groups, weights.shape[1]
        shape = self.window(op.x, weights.shape[2:], op, op.groups, out_c, in_c)
        shape = self.flattened(shape, op)
        tile = self.tile(shape)
        shape = self.blocked(shape, tile)
        panel = tile.nv * self.target.lanes
        constants = {"weights": packing.pack_conv(weights.astype(np.float32), op.groups, panel)}
        self.add_bias(constants, op, lambda b: packing.pack_bias(b, op.groups, panel))
        call = self.tiled("conv", op.x, shape, tile, constants)
        if isinstance(op, HalfConv):
            return halved(call, to_rows(weights), op.groups, panel, runs_of(shape))
        return widened(call, self.outer(op.w), op.groups, panel, runs_of(shape))

    def tile(self, shape: Window) -> Tile:
        width, channels, depth, pixel = map(upper, (shape.out_w, shape.out_c, shape.depth, shape.pixel))
        return choose_tile(self.target.isa, width, channels, depth, self.target.registers, pixel=pixel)

    def row_cost(self, shape: Window) -> float:
        """Estimated cycles of one output row."""
        isa = get_isa(self.target.isa, self.target.registers)
        return estimate(isa, self.tile(shape), shape.out_w, shape.out_c, shape.depth, shape.pixel)

    blocks = staticmethod(choose_blocks)

    def blocked(self, shape: Window, tile: Tile) -> Window:
        """The shape with the rows and panels of one task."""
        row_bytes = 4 * (magnitude(shape.x[1]) or magnitude(shape.x[2]) * upper(shape.out_w))
        height, width, channels, depth = map(upper, (shape.out_h, shape.out_w, shape.out_c, shape.depth))
        blocks = self.blocks(
            tile, height, width, channels, depth, row_bytes, shape.kernel[0], shape.strides[0],
            self.target.l1_bytes, self.target.l2_bytes,
        )  # fmt: skip
        return replace(shape, block_h=blocks.rows, block_c=blocks.panels)

    def flattened(self, shape: Window, op: Op) -> Window:
        """A 1x1 convolution over rows that lie one behind the other, cut into rows of a width that suits tiles."""
        pointwise = shape.kernel == (1, 1) and shape.strides == (1, 1)
        accesses = [shape.x, shape.y] + [(s[0], s[2], s[3]) for s in self.epilogue_strides(op)]
        if not pointwise or any(h != w * shape.out_w for _, h, w in accesses) or 1 in (shape.out_h, shape.out_w):
            return shape
        if is_open(shape.out_h) or is_open(shape.out_w):
            return shape
        pixels = shape.out_h * shape.out_w
        width = self.best_width(pixels, shape)
        return replace(
            shape, out_h=pixels // width, out_w=width, x=(shape.x[0], shape.x[2] * width, shape.x[2]),
            y=(shape.y[0], shape.y[2] * width, shape.y[2]),
        )  # fmt: skip

    def best_width(self, pixels: int, shape: Window) -> int:
        """The row width that costs least; of nearly equal ones the shortest, which leaves more choice of blocks."""
        widths = [w for w in range(1, pixels + 1) if pixels % w == 0]
        costs = {w: pixels // w * self.row_cost(replace(shape, out_w=w)) for w in widths}
        enough = 1.02 * min(costs.values())
        return next(w for w in widths if costs[w] <= enough)

    def epilogue_strides(self, op: Op) -> Iterator[tuple[int, ...]]:
        """Strides, along the result's dimensions, of what the epilogue reads."""
        used = {v for o in self.region.ops if o is not op for v in o.operands}
        for value, place in self.region.leaves.items():
            if value in used:
                yield broadcast_strides(value.shape, place.strides, op.type.shape)

    def depthwise(self, op: Conv) -> KernelCall:
        weights = array_of(self.outer(op.w))
        assert weights is not None
        shape = self.window(op.x, weights.shape[2:], op, op.groups, 1, 1)
        lanes = self.target.lanes
        constants = {"weights": packing.pack_depthwise(weights.astype(np.float32), lanes)}
        self.add_bias(constants, op, lambda b: packing.pack_depthwise_bias(b, lanes))
        call = self.tiled("depthwise", op.x, shape, depthwise_tile(self.target, shape), constants)
        return widened(call, self.outer(op.w), 1, lanes)

    def add_bias(self, constants: dict[str, np.ndarray], op: Conv, pack: Callable[[np.ndarray], np.ndarray]) -> None:
        bias = array_of(self.outer(op.bias)) if op.bias is not None else None
        if bias is not None:
            constants["bias"] = pack(bias.astype(np.float32))

    def outer(self, value: Value) -> Value:
        return self.region.outer.get(value, value)

    def tiled(self, family: str, x: Value, shape: Window, tile: Tile, constants: dict[str, np.ndarray]) -> KernelCall:
        bias: Expression = Name("bias") if "bias" in constants else Name("NULL")
        epilogue, context = self.epilogue(self.image_index(shape))
        args = (
            Name(self.pointers[x]), Name("weights"), bias, Name("y"), Prefix("&", Name("shape")),
            *(Literal(n, "int32_t") for n in ((tile.mr, tile.nv) if family == "conv" else (tile.mr,))),
            Name(epilogue.name if epilogue else "ec_epilogue_none"), context[1], Name("begin"), Name("end"),
        )  # fmt: skip
        body = [shape.declare("shape"), *context[0], Do(Call(f"ec_{family}_f32", args))]
        tasks = conv_tasks(shape, tile, self.target.lanes) if family == "conv" else shape.batch * shape.out_h
        return KernelCall(family, body, tasks, HEADERS[family], f"{tile.mr}x{tile.nv}", epilogue, constants)

    def image_index(self, shape: Window) -> Callable[[Affine, Affine, Affine, Affine], Index]:
        """The logical index of (n, h, w, c); rows that were cut anew count on in w."""
        width = self.anchor.type.shape[3]
        if shape.out_w == width:
            return lambda n, h, w, c: (n, c, h, w)
        return lambda n, h, w, c: (n, c, ZERO, w + h * shape.out_w)

    def pool(self, op: Pool) -> KernelCall:
        shape = self.window(op.x, op.kernel_shape, op, op.type.shape[1], 1, 1)
        epilogue, context = self.epilogue(lambda n, h, w, c: (n, c, h, w))
        kind = "EC_POOL_MAX" if op.kind == "max" else "EC_POOL_SUM"
        args = (
            Name(self.pointers[op.x]), Name("y"), Prefix("&", Name("shape")), Name(kind),
            Name(epilogue.name if epilogue else "ec_epilogue_none"), context[1], Name("begin"), Name("end"),
        )  # fmt: skip
        body = [shape.declare("shape"), *context[0], Do(Call("ec_pool_f32", args))]
        return KernelCall("pool", body, shape.batch * shape.out_h, HEADERS["pool"], "", epilogue)

    # --- matrix products ------------------------------------------------------------------------------------------

    def product(self, op: MatMul | PanelMatMul) -> KernelCall:
        """One product for each index of the leading dimensions."""
        a, b = op.operands
        batch, (rows, columns), depth = op.type.shape[:-2], op.type.shape[-2:], a.shape[-1]
        at, to = self.place(a).strides, self.region.target.strides
        x_row, y_row = at[-2] if len(at) > 1 else 0, to[-2]
        if batch and self.rows_merge(op):
            x_row, y_row = self.row_stride(op, at), self.row_stride(op, to)
            rows, batch = rows * math.prod(batch), ()
        weights = array_of(self.outer(b)) if isinstance(op, MatMul) else None
        vectors = 0 if isinstance(op, MatMul) else op.panels.shape[-1] // self.target.lanes
        most, pixel = (upper(rows), upper(columns), upper(depth)), 4 * upper(magnitude(x_row))
        tile = choose_tile(self.target.isa, *most, self.target.registers, vectors, pixel)
        shape = Window(
            1, 1, 1, rows, columns, depth, (1, 1), (1, 1), (1, 1), (0, 0, x_row), (0, 0, y_row),
        )  # fmt: skip
        shape = self.blocked(shape, tile)
        constants = {}
        if weights is not None:
            panel = tile.nv * self.target.lanes
            matrices = weights.astype(np.float32).reshape(-1, *weights.shape[-2:])
            constants["weights"] = np.concatenate([packing.pack_matmul(m, panel).reshape(-1) for m in matrices])
        call = self.batched(op, batch, shape, tile, constants, weights)
        if isinstance(op, HalfMatMul) and weights is not None:
            return halved(call, to_rows(weights), 1, tile.nv * self.target.lanes)
        return widened(call, self.outer(b), 1, tile.nv * self.target.lanes)

    def rows_merge(self, op: MatMul | PanelMatMul) -> bool:
        """Whether the rows of all batches lie behind one another, so that one product takes them all."""
        a, b = op.operands
        single = math.prod(b.shape[:-2] if isinstance(op, MatMul) else b.shape[:-3]) == 1
        return single and self.rows_merge_under(a, op)

    @staticmethod
    def row_stride(op: Op, strides: Sequence[int]) -> int:
        """How far the rows of all batches lie apart, where they merge."""
        leading = op.type.shape[:-1]
        merged = reshape_strides(leading, tuple(strides[:-1]), (math.prod(leading),))
        assert merged is not None
        return merged[0]

    @staticmethod
    def row_index(op: Op) -> Callable[[Affine, Affine, Affine, Affine], Index]:
        """The logical index of row w of all batches: the innermost dimension that has more than one row counts on."""
        leading = op.type.shape[:-1]
        carrier = max((axis for axis, extent in enumerate(leading) if extent != 1), default=0)
        return lambda n, h, w, c: (*(w if axis == carrier else ZERO for axis in range(len(leading))), c)

    def rows_merge_under(self, a: Value, op: Op) -> bool:
        """Whether the rows of an operand, of the result and of what the epilogue reads can be counted as one run."""
        accesses = [self.place(a).strides[:-1], self.region.target.strides[:-1]]
        accesses += [s[:-1] for s in self.epilogue_strides(op)]
        leading = op.type.shape[:-1]
        flat = (math.prod(leading),)
        return a.rank == op.type.rank and all(reshape_strides(leading, s, flat) is not None for s in accesses)

    def batched(
        self,
        op: MatMul | PanelMatMul,
        batch: tuple[int, ...],
        shape: Window,
        tile: Tile,
        constants: dict[str, np.ndarray],
        weights: np.ndarray | None,
    ) -> KernelCall:
        loops = [(f"b{i}", extent) for i, extent in enumerate(batch) if extent != 1]
        index = tuple(Affine.variable(f"b{i}") if extent != 1 else ZERO for i, extent in enumerate(batch))
        a, b = op.operands
        outer_a = a.shape[:-2] if batch else ()
        x = Address(self.pointers[a], self.batch_offset(index, outer_a, self.place(a).strides[:-2], batch))
        if weights is not None:
            per_matrix = constants["weights"].size // max(1, math.prod(weights.shape[:-2]))
            strides = _dense(weights.shape[:-2], per_matrix)
            w = Address("weights", self.batch_offset(index, weights.shape[:-2] if batch else (), strides, batch))
        else:
            place = self.place(b)
            outer_b = b.shape[:-3] if batch else ()
            w = Address(self.pointers[b], self.batch_offset(index, outer_b, place.strides[:-3], batch))
        y = Address("y", self.batch_offset(index, batch, self.region.target.strides[:-2], batch))
        seen = (lambda n, h, w, c: (*index, w, c)) if batch else self.row_index(op)
        epilogue, context = self.epilogue(seen, [name for name, _ in loops])
        inner = conv_tasks(shape, tile, self.target.lanes)
        outer_tasks = loops[0][1] if loops else 1
        begin, end = (Name("begin"), Name("end")) if not loops else (size(0), size(inner))
        args = (
            x, w, Name("NULL"), y, Prefix("&", Name("shape")), Literal(tile.mr, "int32_t"), Literal(tile.nv, "int32_t"),
            Name(epilogue.name if epilogue else "ec_epilogue_none"), context[1], begin, end,
        )  # fmt: skip
        body: list[Statement] = [*context[0], Do(Call("ec_conv_f32", args))]
        for name, extent in reversed(loops[1:]):
            body = [For(name, size(0), size(extent), size(1), body)]
        if loops:
            body = [For(loops[0][0], Name("begin"), Name("end"), size(1), body)]
        tasks = outer_tasks if loops else inner
        whole = [shape.declare("shape"), *body]
        return KernelCall("matmul", whole, tasks, HEADERS["conv"], f"{tile.mr}x{tile.nv}", epilogue, constants)

    def batch_offset(
        self, index: Index, shape: tuple[int, ...], strides: Sequence[int], batch: tuple[int, ...]
    ) -> Affine:
        """Where a broadcast operand's matrix starts."""
        total = ZERO
        wide = broadcast_strides(shape, tuple(strides[: len(shape)]), batch) if shape else (0,) * len(batch)
        for position, stride in zip(index, wide, strict=True):
            total = total + position * stride
        return total

    def pack(self, op: PackPanels) -> KernelCall:
        batch = op.b.shape[:-2]
        depth, columns = op.b.shape[-2:]
        place = self.place(op.b)
        loops = [(f"b{i}", extent) for i, extent in enumerate(batch) if extent != 1]
        index = tuple(Affine.variable(f"b{i}") if extent != 1 else ZERO for i, extent in enumerate(batch))
        source = Address(self.pointers[op.b], self.batch_offset(index, batch, place.strides[:-2], batch))
        y = Address("y", self.batch_offset(index, batch, self.region.target.strides[:-3], batch))
        args: tuple[Expression, ...] = (
            source, y, size(depth), size(columns), *map(signed, place.strides[-2:]),
            Literal(op.panel // self.target.lanes, "int32_t"),
        )  # fmt: skip
        body: list[Statement] = [Do(Call("ec_pack_panels_f32", args))]
        for name, extent in reversed(loops[1:]):
            body = [For(name, size(0), size(extent), size(1), body)]
        first = loops[0] if loops else ("b", 1)
        body = [For(first[0], Name("begin"), Name("end"), size(1), body)]
        return KernelCall("pack", body, first[1], HEADERS["pack"])

    def result(self, elements: Elements, index: Index) -> Expression:
        """What an epilogue returns."""
        return elements.element(self.region.result, index)

    # --- epilogues ------------------------------------------------------------------------------------------------

    def epilogue(
        self, index: Callable[[Affine, Affine, Affine, Affine], Index], outer: Sequence[str] = ()
    ) -> tuple[Function | None, tuple[list[Statement], Expression]]:
        """The function that a kernel applies to its results, and the context it reads: pointers and batch indices."""
        if self.anchor.result is self.region.result:
            return None, ([], Name("NULL"))
        used = {v for op in self.region.ops if op is not self.anchor for v in op.operands}
        pointers = {v: p for v, p in self.pointers.items() if v in used and self.region.literal(v) is None}
        lanes = Lanes("c", Name("lanes"))
        elements = Elements(self.region, dict(pointers), lanes, Names())
        elements.fixed[self.anchor.result] = Name("value")
        n, h, w, c = (Affine.variable(v) for v in "nhwc")
        result = self.result(elements, index(n, h, w, c))
        unpack: list[Statement] = []
        for i, (value, pointer) in enumerate(pointers.items()):
            ctype = f"const {CTYPES[value.dtype.name]} *"
            unpack.append(Declare(ctype, pointer, Call("EC_CONTEXT_POINTER", (Name("context"), size(i)))))
        for i, b in enumerate(outer, len(pointers)):
            unpack.append(Declare("size_t", b, Call("EC_CONTEXT_INDEX", (Name("context"), size(i)))))
        sizes = names_in((elements.statements, result))
        unpack += [
            Declare("size_t", named(s).text, Call("EC_CONTEXT_INDEX", (Name("context"), size(i))))
            for i, s in enumerate(sizes, len(pointers) + len(outer))
        ]
        unused = [Do(Convert("void", Name(p))) for p in ("context", "n", "h", "w", "c", "lanes")]
        unpack += [Do(Convert("void", Name(b))) for b in outer]
        function = Function(
            "ec_f32", f"{self.name}_epilogue",
            ("ec_f32 value", "const void *context", "size_t n", "size_t h", "size_t w", "size_t c", "size_t lanes"),
            [*unused, *unpack, *elements.statements, Return(result)], inline=True,
        )  # fmt: skip
        if not pointers and not outer and not sizes:
            return function, ([], Name("NULL"))
        items = [("", Call("EC_CONTEXT", (Name(p),))) for p in pointers.values()]
        items += [("", Call("EC_CONTEXT", (name,))) for name in (*map(Name, outer), *map(named, sizes))]
        return function, ([Structure("const ec_context", "context[]", tuple(items))], Name("context"))


def depthwise_tile(target: Target, shape: Window) -> Tile:
    """Pixels of a depthwise tile, one vector of channels wide."""
    return Tile(min(4, upper(shape.out_w)), 1, target.lanes)


def conv_tasks(shape: Window, tile: Tile, lanes: int) -> int:
    """What `ec_conv_f32_tasks` returns."""
    panels = -(-shape.out_c // (tile.nv * lanes))
    return shape.batch * shape.groups * -(-shape.out_h // shape.block_h) * -(-panels // shape.block_c)


def _dense(shape: tuple[int, ...], inner: int) -> tuple[int, ...]:
    strides, step = [], inner
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))
