"""Calls of the float kernels with weights in fewer bits, which they widen as they read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...ir import Value
from ...ir.ops import HalfConv, HalfMatMul, Stored, array_of
from ...ir.types import f16
from ...kernels import packing_weights as packing
from ...kernels.packing_i8 import merges_taps
from ...kernels.table import HALVES
from ...targets import Target
from .code import Call, Convert, Do, Expression, For, Literal, Name, Statement, Structure, size

if TYPE_CHECKING:
    from .kernel_call import KernelCall
    from .window import Window

KINDS = {"f16": "EC_W_F16", "bf16": "EC_W_BF16"}
NAMES = {"EC_W_F16": "f16", "EC_W_BF16": "bf16", "EC_W_S8": "w8", "EC_W_S4": "w4"}
Array = np.ndarray


def widened(call: KernelCall, weights: Value, groups: int, panel: int, runs: int = 1) -> KernelCall:
    """A call of a float kernel as one that widens its weights, where these are stored in fewer bits.

    A row of weights is `runs` equal runs.
    """
    stored = weights.producer
    if not isinstance(stored, Stored):
        return call
    numbers = _array(stored.numbers)
    kind = KINDS.get(stored.format, "EC_W_S8")
    if kind == "EC_W_S8" and call.kernel != "depthwise" and packing.fits_four_bits(numbers):
        kind = "EC_W_S4"
    length = numbers.shape[1]
    group = stored.group or length
    packed = packing.pack_widened(numbers, groups, panel, runs, group, kind == "EC_W_S4")
    arrays = {"weights": packed, **_scalings(stored, groups, panel)}
    constants = {**arrays, **{k: v for k, v in call.constants.items() if k != "weights"}}
    fields: dict[str, Expression] = {
        "data": Convert("const unsigned char *", Name("weights")),
        "scale": Name("scales" if "scales" in arrays else "NULL"),
        "zero": Name("zeros" if "zeros" in arrays else "NULL"), "kind": Name(kind),
        "zeros": Literal(int("zeros" in arrays), "int32_t"), "group": size(group),
        "groups": size(-(-length // group)), "panel": size(packed.shape[1] * packed.itemsize),
    }  # fmt: skip
    declared = Structure("const ec_weights", "stored", tuple(fields.items()))
    body = [declared, *(_with_call(s, _reading) for s in call.body)]
    return replace(call, kernel=f"{call.kernel} {NAMES[kind]}", body=body, constants=constants)


def stored_name(weights: Value) -> str:
    """How weights are stored, in a word; nothing for those that are computed."""
    stored = weights.producer
    if isinstance(stored, Stored):
        return f"{stored.format} {stored.group}"
    return weights.dtype.name if array_of(weights) is not None else ""


def halved(
    call: KernelCall, op: HalfConv | HalfMatMul, weights: Array, groups: int, panel: int, runs: int = 1
) -> KernelCall:
    """A call of a float kernel as one of half precision; `weights` [rows, K], as `to_rows`."""
    return summed_in_halves(call) if op.to == f16 else paired(call, weights, groups, panel, runs)


def paired(call: KernelCall, weights: Array, groups: int, panel: int, runs: int) -> KernelCall:
    """A call of a float kernel as one that rounds to bf16 and multiplies pairs."""
    packed = packing.pack_pairs(weights, groups, panel, runs)
    constants = {**call.constants, "weights": packed}
    fields: dict[str, Expression] = {
        "data": Convert("const unsigned char *", Name("weights")), "kind": Name("EC_W_PAIRS"),
        "panel": size(packed.nbytes // (groups * packed.shape[1])),
    }  # fmt: skip
    declared = Structure("const ec_weights", "stored", tuple(fields.items()))
    body = [declared, *(_with_call(s, _reading) for s in call.body)]
    return replace(call, kernel=f"{call.kernel} bf16 products", body=body, constants=constants)


def summed_in_halves(call: KernelCall) -> KernelCall:
    """A call of a float kernel, in vectors of halves, as one of the kernel that multiplies them."""
    weights = call.constants["weights"]
    with np.errstate(over="ignore"):
        constants = {**call.constants, "weights": weights.astype(np.float16)}
    body = [_with_call(s, _in_halves) for s in call.body]
    return replace(call, kernel=f"{call.kernel} f16 products", body=body, constants=constants, header="ec_conv_f16.h")


def half_target(target: Target) -> Target:
    """A target as the tables of tiles know it for products of f16."""
    return replace(target, isa=HALVES.name, lanes=HALVES.lanes, registers=HALVES.registers)


def runs_of(shape: Window) -> int:
    """The runs of k of one output; as ec_conv_f32 reads them."""
    merged = merges_taps(shape.kernel[1], shape.dilations[1], shape.x[2], shape.in_c)
    return shape.kernel[0] * (1 if merged else shape.kernel[1])


def _scalings(stored: Stored, groups: int, panel: int) -> dict[str, Array]:
    parts = {"scales": stored.scale, "zeros": stored.zero}
    return {name: packing.pack_scales(_array(v), groups, panel) for name, v in parts.items() if v is not None}


def _array(value: Value) -> Array:
    found = array_of(value)
    assert found is not None
    return found


def _with_call(statement: Statement, change: Callable[[Call], Call]) -> Statement:
    """The same statement with another call of the kernel, which may stand in loops."""
    if isinstance(statement, For):
        return replace(statement, body=[_with_call(s, change) for s in statement.body])
    if not isinstance(statement, Do) or not isinstance(statement.expression, Call):
        return statement
    return Do(change(statement.expression))


def _in_halves(call: Call) -> Call:
    """The kernel that multiplies halves in the place of that of floats."""
    return Call("ec_conv_f16", call.args)


def _reading(call: Call) -> Call:
    """The kernel that reads the stored weights in the place of that of floats."""
    args: tuple[Expression, ...] = (call.args[0], Name("stored"), *call.args[2:])
    return Call(f"{call.function}_widened", args)
