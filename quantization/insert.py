"""The quantized graph: QDQ around float ops, weights as integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..ir import Graph, Op, Value
from ..ir.ops import (
    Abs,
    Add,
    Clip,
    Constant,
    Conv,
    Dequantize,
    Max,
    Mul,
    Pool,
    Quantize,
    Recurrent,
    Reduce,
    Relu,
    Reshape,
    Sigmoid,
    Slice,
    Softmax,
    Transpose,
    View,
    array_of,
    constant,
)
from ..ir.ops.stored import stored_half
from ..ir.types import DTYPES, i8, u8
from .layers import Layer
from .placement import Placement
from .probe import with_outputs
from .recurrent import becomes_integer, integer_recurrent, projection
from .schemes import Scheme
from .weights import TINY, Code

Array = np.ndarray
HALF = {"fp16": "f16", "bf16": "bf16"}


SYMMETRIC = {"i8": 127, "i16": 32767}
"""The element types whose zero point is 0, and what their scale stretches to the limit of the range."""


@dataclass(frozen=True)
class Params:
    """How a tensor is quantized: element type, scale and zero point."""

    to: str
    scale: float
    zero: int

    @staticmethod
    def of(to: str, low: float, high: float) -> Params:
        """For a range that holds zero; zero is exact. A range without extent gets the scale 1."""
        if to in SYMMETRIC:
            scale = max(high, -low) / SYMMETRIC[to]
            return Params(to, _single(scale), 0)
        scale = _single((high - low) / 255)
        return Params(to, scale, int(np.clip(np.round(-low / scale), 0, 255)))


def _single(scale: float) -> float:
    found = float(np.float32(scale))
    return found if found >= TINY else 1.0


@dataclass
class Decisions:
    """All that makes a quantized graph of a float one: the layers' codes, the points, their parameters."""

    placement: Placement
    params: Mapping[Value, Params]
    schemes: Mapping[str, Scheme]
    codes: Mapping[str, Code] = field(default_factory=dict)


def insert(graph: Graph, layers: list[Layer], decisions: Decisions) -> Graph:
    """A new graph with quantization as decided; its stage is that of the old one."""
    builder = _Builder(graph, {layer.op: layer for layer in layers}, decisions)
    return builder.build()


def inputs_of(graph: Graph, layers: list[Layer], decisions: Decisions, watched: list[Layer]) -> Graph:
    """The quantized graph with the inputs of some layers as its outputs, as these layers read them."""
    builder = _Builder(graph, {layer.op: layer for layer in layers}, decisions)
    builder.build()
    return with_outputs(builder.made, [builder.read[layer.op] for layer in watched])


class _Builder:
    def __init__(self, graph: Graph, layers: Mapping[Op, Layer], decisions: Decisions) -> None:
        self.graph, self.layers, self.decisions = graph, layers, decisions
        self.made = Graph(graph.name)
        self.made.stage, self.made.journal, self.made.metadata = graph.stage, list(graph.journal), dict(graph.metadata)
        self.plain: dict[Value, Value] = {}
        self.rounded: dict[Value, Value] = {}
        self.read: dict[Op, Value] = {}
        self.constants: dict[Params, tuple[Value, Value]] = {}

    def build(self) -> Graph:
        for value in self.graph.inputs:
            self.plain[value] = self.made.input(value.type, value.name)
            self._round(value)
        for op in self.graph:
            self._op(op)
        made = self.made
        made.set_outputs([self.plain[v] for v in self.graph.outputs], self.graph.output_names)
        for op in reversed(made.ops):
            if isinstance(op, Constant) and not op.result.users:
                made.remove(op)
        return made

    def _op(self, op: Op) -> None:
        new: Op = op.with_operands(lambda v: self._operand(op, v))
        layer = self.layers.get(op)
        if layer is not None:
            self.read[op] = new.operands[0]
            new = self._layer(layer, new)
        elif isinstance(new, Recurrent):
            new = self._recurrent(op, new)
        self._add(new, op)
        results = list(new.results)
        if layer is not None and layer.is_matmul:
            results = [self._shifted(layer, results[0], op)]
        for old, result in zip(op.results, results, strict=True):
            self.plain[old] = result
            result.name = old.name
            self._round(old)

    def _recurrent(self, op: Op, new: Recurrent) -> Op:
        """A recurrent layer as the scheme of its projection has it."""
        layer = projection(op, self.layers) if isinstance(op, Recurrent) else None
        fits = layer is not None and becomes_integer(new, self.decisions.schemes[layer.name])
        return integer_recurrent(new) if fits else new

    def _add(self, new: Op, old: Op) -> None:
        for inserted in self.made.insert_before(None, new):
            inserted.origin = inserted.origin or old.origin

    def _operand(self, op: Op, value: Value) -> Value:
        if (op, value) in self.decisions.placement.dynamic:
            return _dynamic(self.plain[value])
        return self.rounded[value] if (op, value) in self.decisions.placement.reads else self.plain[value]

    def _round(self, value: Value) -> None:
        """Quantize and dequantize a value where it is a point."""
        params = self.decisions.params.get(value)
        if params is None:
            return
        if params not in self.constants:
            zero = np.asarray(params.zero, DTYPES[params.to].numpy)
            self.constants[params] = constant(np.float32(params.scale)), constant(zero)
        scale, zero_point = self.constants[params]
        integers = Quantize(self.plain[value], scale, zero_point, DTYPES[params.to]).result
        found = Dequantize(integers, scale, zero_point)
        for inserted in self.made.insert_before(None, found):
            inserted.origin = inserted.origin or (value.producer.origin if value.producer else None)
        self.rounded[value] = found.result

    def _layer(self, layer: Layer, new: Op) -> Op:
        scheme, code = self.decisions.schemes[layer.name], self.decisions.codes.get(layer.name)
        weights: Value | None = None
        if code is not None:
            weights = _dequantized(layer, code)
        elif scheme.weights in HALF:
            weights = _halved(layer, HALF[scheme.weights])
        changes: dict[str, Any] = {} if weights is None else {"b" if layer.is_matmul else "w": weights}
        if code is not None and code.shift is not None and not layer.is_matmul:
            changes["bias"] = constant(_bias(layer, code.shift))
        return new.replace(**changes) if changes else new

    def _shifted(self, layer: Layer, result: Value, op: Op) -> Value:
        """A matrix product plus the correction of its outputs."""
        code = self.decisions.codes.get(layer.name)
        if code is None or code.shift is None or layer.w.rank != 2:
            return result
        new = Add(result, constant(code.shift.astype(np.float32)))
        self._add(new, op)
        return new.result


def _halved(layer: Layer, format: str) -> Value:
    """Weights rounded to 16 bits, stored so where a kernel widens them."""
    found = stored_half(layer.weights, format)
    storable = layer.w.rank == 2 if layer.is_matmul else isinstance(layer.op, Conv)
    return found.result if storable else constant(found.value)


def _bias(layer: Layer, shift: Array) -> Array:
    old = array_of(layer.bias)
    return np.asarray(shift if old is None else old + shift, np.float32)


def _dequantized(layer: Layer, code: Code) -> Value:
    """Integers and scales as the weights of a layer."""
    if code.scale.shape[1] == 1:
        integers, scale = layer.from_rows(code.integers), code.scale.reshape(_scale_shape(layer))
        return Dequantize(constant(np.ascontiguousarray(integers)), constant(scale), constant(np.int8(0))).result
    return _from_groups(layer, code)


def _scale_shape(layer: Layer) -> tuple[int, ...]:
    if not layer.is_matmul:
        return layer.row_scale_shape
    return layer.row_scale_shape if layer.w.rank > 2 else (1, layer.w.shape[1])


def _from_groups(layer: Layer, code: Code) -> Value:
    """Integers [rows, groups, group] dequantized, then views that make them the operand of the layer."""
    rows, length = code.integers.shape
    count = code.scale.shape[1]
    padded = np.pad(code.integers, [(0, 0), (0, count * code.group - length)]).reshape(rows, count, code.group)
    found = Dequantize(constant(padded), constant(code.scale[..., None]), constant(np.int8(0))).result
    flat = Reshape(found, (rows, count * code.group)).result
    cut = flat if count * code.group == length else Slice(flat, (0, 0), (rows, length), (1, 1)).result
    return _as_operand(layer, cut)


def _as_operand(layer: Layer, rows: Value) -> Value:
    """`Layer.from_rows` in views."""
    shape = layer.w.shape
    if layer.is_matmul:
        lead = len(shape) - 2
        wide = rows if lead == 0 else Reshape(rows, (*shape[:-2], shape[-1], shape[-2])).result
        return Transpose(wide, (*range(lead), lead + 1, lead)).result
    taps = tuple(range(1, len(shape) - 1))
    if layer.kind == "conv-transpose":
        wide = Reshape(rows, (shape[1], *shape[2:], shape[0])).result
        return Transpose(wide, (len(shape) - 1, 0, *taps)).result
    wide = Reshape(rows, (shape[0], *shape[2:], shape[1])).result
    return wide if wide.shape == shape and len(shape) == 2 else Transpose(wide, (0, len(shape) - 1, *taps)).result


def _dynamic(x: Value) -> Value:
    """x rounded to 8 bits with the scale that its largest magnitude needs at this run."""
    positive = _is_positive(x)
    reach = Reduce(x if positive else Abs(x).result, "max", tuple(range(x.rank))).result
    to, most = (u8, 255) if positive else (i8, 127)
    scale = Max(Mul(reach, constant(np.float32(1 / most))).result, constant(np.float32(TINY))).result
    zero = constant(0, to)
    return Dequantize(Quantize(x, scale, zero, to).result, scale, zero).result


def _is_positive(x: Value) -> bool:
    """Whether no element can be below zero."""
    op = x.producer
    if isinstance(op, Clip):
        return op.low >= 0
    if isinstance(op, Pool | View):
        return _is_positive(op.operands[0])
    return isinstance(op, Relu | Sigmoid | Softmax)
