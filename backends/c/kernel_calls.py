"""Calls of the hand-written kernels: convolution, depthwise, pooling, matrix products, packing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ...ir import Op, Value
from ...ir.dims import is_open, magnitude, upper
from ...ir.ops import (
    Constant,
    Conv,
    ConvInteger,
    HalfConv,
    MatMul,
    PanelMatMul,
    Pool,
    array_of,
)
from ...ir.ops.stored import to_rows
from ...ir.types import f16
from ...kernels import packing
from ...kernels.schedules import MODEL, Book, Question, Schedule
from ...kernels.table import (
    FEW_PIXELS,
    Isa,
    Tile,
    choose_blocks,
    choose_tile,
    estimate,
    get_isa,
    useful_tiles,
    worthwhile_tasks,
)
from ...passes.places import Place, broadcast_strides, reshape_strides
from ...targets import Target
from .affine import ZERO, Affine, Index
from .code import (
    Call,
    Convert,
    Declare,
    Do,
    Expression,
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
from .kernel_call import KernelCall, winograd_question
from .printer import print_function
from .region import Region
from .sizes import named, names_in
from .spelling import CTYPES, MATH_HEADER
from .stored_calls import halved, runs_of, stored_name, widened
from .tile_space import DepthwiseSpace, TileSpace
from .window import Window, conv_tasks

HEADERS = {
    "conv": "ec_conv_f32.h",
    "depthwise": "ec_depthwise_f32.h",
    "pool": "ec_pool_f32.h",
    "pack": "ec_pack_f32.h",
}


class Caller:
    """Writes calls for the anchor of one region; `book` knows schedules."""

    family = "conv_f32"

    def __init__(
        self, region: Region, anchor: Op, pointers: dict[Value, str], name: str, target: Target, book: Book = MODEL
    ) -> None:
        self.region, self.anchor, self.pointers, self.name, self.target = region, anchor, pointers, name, target
        self.book = book
        self.asked: list[tuple[Question, Schedule]] = []

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
        shape, tile = self.scheduled(shape, self.flattens(shape, op))
        if self.suits_winograd(op):
            self.asked.append((winograd_question(op), (0, 0)))
        panel = tile.nv * self.target.lanes
        constants = {"weights": packing.pack_conv(weights.astype(np.float32), op.groups, panel)}
        self.add_bias(constants, op, lambda b: packing.pack_bias(b, op.groups, panel))
        call = self.tiled("conv", op.x, shape, tile, constants)
        if isinstance(op, HalfConv):
            return halved(call, op, to_rows(weights), op.groups, panel, runs_of(shape))
        return widened(call, self.outer(op.w), op.groups, panel, runs_of(shape))

    def suits_winograd(self, op: Conv) -> bool:
        """Whether tiles can compute a convolution too."""
        constants = [self.outer(v) for v in (op.w, op.bias) if v is not None]
        known = all(isinstance(v.producer, Constant) and v.dtype.name == "f32" for v in constants)
        plain = {*op.strides, *op.dilations, op.groups} == {1} and not any(op.pads)
        return known and plain and op.w.shape[2:] == (3, 3) and not op.type.is_open

    # --- schedules ------------------------------------------------------------------------------------------------

    def scheduled(self, shape: Window, flat: bool = False, vectors: int = 0, matrices: int = 1) -> tuple[Window, Tile]:
        """The shape with rows and blocks of the schedule of a contraction, and its tile."""
        weights = self.anchor.operands[1]
        by_rows = self.region.by_rows
        space = TileSpace(self, shape, flat and not by_rows, stored_name(self.outer(weights)), vectors, matrices)
        if space.is_open:
            return space.apply(space.default())
        schedule = self.book.choose(space)
        self.asked.append((space.question, schedule))
        shape, tile = space.apply(schedule)
        return replace(shape, block_c=shape.out_c if by_rows else shape.block_c, by_rows=by_rows), tile

    def fused_names(self) -> tuple[str, ...]:
        """The ops that the epilogue computes."""
        return tuple(op.name for op in self.region.ops if op is not self.anchor)

    @property
    def core(self) -> str:
        """The core whose tiles decide."""
        return self.target.core

    @property
    def isa(self) -> Isa:
        return get_isa(self.target.isa, self.target.registers, self.core)

    def useful(self, shape: Window, vectors: int = 0) -> Iterator[Tile]:
        """The tiles that the kernel has for a shape."""
        return useful_tiles(self.isa, shape.out_w, shape.out_c, vectors)

    def tile(self, shape: Window, vectors: int = 0, matrices: int = 1) -> Tile:
        """The tile that the cost model chooses, where so many such shapes are computed."""
        width, channels, depth, pixel = map(upper, (shape.out_w, shape.out_c, shape.depth, shape.pixel))
        rows = upper(shape.batch * shape.out_h)  # few rows cannot make tasks of some rows each
        one_row = matrices == 1 and (rows == 1 or rows * width < 2 * FEW_PIXELS)
        isa, registers = self.target.isa, self.target.registers
        return choose_tile(isa, width, channels, depth, registers, vectors, pixel, one_row, self.core)

    def row_cost(self, shape: Window) -> float:
        """Estimated cycles of one output row."""
        return self.cost_of(shape, self.tile(shape))

    def cost_of(self, shape: Window, tile: Tile) -> float:
        """Estimated cycles of one output row with a tile."""
        return estimate(self.isa, tile, *map(upper, (shape.out_w, shape.out_c, shape.depth, shape.pixel)))

    blocks = staticmethod(choose_blocks)

    def blocked(self, shape: Window, tile: Tile, matrices: int = 1) -> Window:
        """The shape with the rows and panels of one task, where so many such shapes are computed."""
        row_bytes = shape.number * (magnitude(shape.x[1]) or magnitude(shape.x[2]) * upper(shape.out_w))
        height, width, channels, depth = map(upper, (shape.out_h, shape.out_w, shape.out_c, shape.depth))
        blocks = self.blocks(
            tile, height, width, channels, depth, row_bytes, shape.kernel[0], shape.strides[0],
            self.target.l1_bytes, self.target.l2_bytes, self.worthwhile(shape, matrices),
        )  # fmt: skip
        return replace(shape, block_h=blocks.rows, block_c=blocks.panels)

    def worthwhile(self, shape: Window, matrices: int) -> int:
        """How many tasks each image and group of each matrix should have."""
        images = upper(shape.batch) * shape.groups * matrices
        return -(-worthwhile_tasks(images * upper(shape.out_h) * self.row_cost(shape)) // images)

    def flattens(self, shape: Window, op: Op) -> bool:
        """Whether this is a 1x1 convolution over rows that lie one behind the other."""
        pointwise = shape.kernel == (1, 1) and shape.strides == (1, 1)
        accesses = [shape.x, shape.y] + [(s[0], s[2], s[3]) for s in self.epilogue_strides(op)]
        if not pointwise or any(h != w * shape.out_w for _, h, w in accesses) or 1 in (shape.out_h, shape.out_w):
            return False
        return not is_open(shape.out_h) and not is_open(shape.out_w)

    def flattened(self, shape: Window, op: Op) -> Window:
        """The shape, where it is flat cut into rows of a width that suits tiles."""
        if not self.flattens(shape, op):
            return shape
        space = TileSpace(self, shape, True, "")
        return space.cut(self.best_width(space.pixels, shape))

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
        tile = Tile(self.depthwise_pixels(op, shape), 1, lanes)
        call = self.tiled("depthwise", op.x, shape, tile, constants)
        return widened(call, self.outer(op.w), 1, lanes)

    def depthwise_pixels(self, op: Conv, shape: Window) -> int:
        """The pixels of a tile that is one vector of channels wide."""
        sizes, weights = shape.sizes, stored_name(self.outer(op.w))
        question = Question("depthwise_f32", sizes, weights, self.fused_names())
        space = DepthwiseSpace(question, self.target.isa, shape.out_w, self.core)
        if any(map(is_open, sizes)):
            return space.default()[0]
        schedule = self.book.choose(space)
        self.asked.append((space.question, schedule))
        return schedule[0]

    def add_bias(self, constants: dict[str, np.ndarray], op: Conv, pack: Callable[[np.ndarray], np.ndarray]) -> None:
        bias = array_of(self.outer(op.bias)) if op.bias is not None else None
        if bias is not None:
            constants["bias"] = pack(bias.astype(np.float32))

    def outer(self, value: Value) -> Value:
        return self.region.outer.get(value, value)

    def tiled(self, family: str, x: Value, shape: Window, tile: Tile, constants: dict[str, np.ndarray]) -> KernelCall:
        bias: Expression = Name("bias") if "bias" in constants else Name("NULL")
        epilogue, context = self.epilogue(self.image_index(shape))
        shape = replace(shape, halves=self.region.result.dtype == f16)
        if family == "conv":
            shape = with_epilogue_apart(shape, epilogue)
        args = (
            Name(self.pointers[x]), Name("weights"), bias, Name("y"), Prefix("&", Name("shape")),
            *(Literal(n, "int32_t") for n in ((tile.mr, tile.nv) if family == "conv" else (tile.mr,))),
            Name(epilogue.name if epilogue else "ec_epilogue_none"), context[1], *shape.tasks(),
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

    # --- rows of matrices ------------------------------------------------------------------------------------------

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


def with_epilogue_apart(shape: Window, epilogue: Function | None) -> Window:
    """The shape for a kernel that calls its epilogue, if that is long; the function is then marked so."""
    if epilogue is None or not is_long(epilogue):
        return shape
    epilogue.apart = True
    return replace(shape, apart=True)


def is_long(epilogue: Function) -> bool:
    """Whether an epilogue computes a function that takes many instructions and constants."""
    text = print_function(epilogue)
    return any(f"ec_f32_{name}(" in text for name in MATH_HEADER)
