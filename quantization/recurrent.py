"""Recurrent layers with int8 weights and int16 states."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..ir import Op, Value
from ..ir.ops import Add, Dequantize, Quantize, Recurrent, RecurrentInteger, array_of, constant
from ..ir.ops.recurrent_integer import EXACT_FUNCTIONS, STATE_UNIT
from ..ir.types import i16
from .layers import Layer
from .schemes import Scheme

Array = np.ndarray
LARGEST = 127
TINY = 1e-30


def projection(op: Recurrent, layers: Mapping[Op, Layer]) -> Layer | None:
    """The layer that projects the inputs of a recurrent one: both have one scheme."""
    producer = op.x.producer
    if isinstance(producer, Add):
        producer = producer.x.producer
    return layers.get(producer) if producer is not None else None


def becomes_integer(op: Recurrent, scheme: Scheme) -> bool:
    """Whether a scheme makes integers of a recurrent layer."""
    fits = scheme.weights == "int8" and scheme.activations in ("u8", "i16")
    known = array_of(op.weight) is not None and not op.panel
    return fits and known and all(kind in EXACT_FUNCTIONS for kind in op.activations)


def integer_recurrent(op: Recurrent) -> Dequantize:
    """The layer on integers, and its result in floats again; each row of the weights has a scale."""
    weights = array_of(op.weight)
    assert weights is not None
    scale = np.maximum(np.abs(weights).max(axis=1) / LARGEST, TINY)
    integers = np.rint(weights / scale[:, None]).astype(np.int8)
    kept = {f.name: getattr(op, f.name) for f in (*op.operand_fields(), *op.attribute_fields())}
    kept |= {"weight": constant(integers), "scale": constant((scale * STATE_UNIT).astype(np.float32))}
    made = RecurrentInteger(**{name: value for name, value in kept.items() if name not in ("hidden", "memory")})
    states = {"hidden": _rounded(op.hidden, STATE_UNIT), "memory": _rounded(op.memory, made.memory_unit)}
    made = made.replace(**states)
    units = np.full((made.type.shape[0], 1, 1), STATE_UNIT, np.float32)
    units[op.x.shape[0] + 1 :] = made.memory_unit
    return Dequantize(made.result, constant(units), constant(np.int16(0)))


def _rounded(state: Value | None, unit: float) -> Value | None:
    """An initial state as integers."""
    if state is None:
        return None
    return Quantize(state, constant(np.float32(unit)), constant(np.int16(0)), i16).result
