"""Calls of the attention kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import EdgecError
from ...ir import Value
from ...ir.dims import is_open
from ...ir.ops import Attention, array_of
from ...kernels.table_attention import AttentionPlan, plan_attention
from ...passes.fuse_attention import machine_of, sizes_of
from ...passes.places import broadcast_strides
from .code import Call, Do, Expression, Literal, Name, Prefix, Statement, Structure, size
from .kernel_calls import Caller, KernelCall
from .sizes import number, signed

STRIDES = {"q": "bhm", "k": "bhn", "v": "bhn", "y": "bhm", "bias": "bhmn"}


@dataclass(frozen=True)
class _Heads:
    """The numbers of a call: one query of many heads that share their keys counts as many queries of one head."""

    heads: int
    sharing: int
    queries: int
    strides: dict[str, tuple[int, ...]]


class AttentionCaller(Caller):
    """Writes the call for one attention."""

    def attention(self, op: Attention) -> KernelCall:
        counted = self.heads(op)
        plan = plan_attention(*machine_of(self.target), op.lanes_hold_keys, *sizes_of(op))
        if plan is None:
            raise EdgecError("its heads are too large for the kernel", where=op.where, hint="use pass `fuse-attention`")
        constants: dict[str, np.ndarray] = {}
        read = [Name("NULL") if v is None else self.pointer(v, constants) for v in (op.q, op.k, op.v, op.bias)]
        tiles = Structure("const ec_attention_tiles", "tiles", tuple(
            (name, Literal(n, "int32_t")) for name, n in (
                ("mr", plan.scores.mr), ("nv", plan.scores.nv), ("value_mr", plan.results.mr),
                ("value_nv", plan.results.nv),
            )
        ))  # fmt: skip
        args: tuple[Expression, ...] = (
            *read, Name("y"), Prefix("&", Name("shape")), Name("tiles"), Name("begin"), Name("end"),
        )  # fmt: skip
        name = "ec_attention_few_f32" if plan.few else "ec_attention_f32"
        body: list[Statement] = [_shape(op, counted, plan), tiles, Do(Call(name, args))]
        heads = op.q.shape[0] * counted.heads
        tasks = heads if plan.few else heads * -(-counted.queries // plan.rows)
        label = f"{plan.rows}x{plan.block}"
        return KernelCall("attention", body, tasks, "ec_attention_f32.h", label, constants=constants)

    def pointer(self, value: Value, constants: dict[str, np.ndarray]) -> Name:
        """The pointer to an operand; a constant of one element, which others write as a number, becomes a weight."""
        if value in self.pointers:
            return Name(self.pointers[value])
        known = array_of(self.outer(value))
        assert known is not None
        name = f"number{len(constants)}"
        constants[name] = known
        return Name(name)

    def heads(self, op: Attention) -> _Heads:
        places = {name: self.strides_of(value) for name, value in (("q", op.q), ("k", op.k), ("v", op.v))}
        places["y"] = self.region.target.strides
        if op.bias is not None:
            places["bias"] = broadcast_strides(op.bias.shape, self.place(op.bias).strides, op.scores)
        strides = {name: place[: len(STRIDES[name])] for name, place in places.items()}
        heads, sharing, queries = op.q.shape[1], op.sharing, op.q.shape[2]
        if not op.shares_one_query:
            return _Heads(heads, sharing, queries, strides)
        for name in ("q", "y", "bias"):
            if name in strides:
                b, h, _, *rest = strides[name]
                strides[name] = (b, h * sharing, h, *rest)
        return _Heads(heads // sharing, 1, sharing, strides)

    def strides_of(self, value: Value) -> tuple[int, ...]:
        """The strides of an operand, 0 for a batch that all of them share."""
        b, *rest = self.place(value).strides
        return (0 if value.shape[0] == 1 else b, *rest)


def _shape(op: Attention, counted: _Heads, plan: AttentionPlan) -> Structure:
    numbers = {
        "batch": op.q.shape[0], "heads": counted.heads, "sharing": counted.sharing, "queries": counted.queries,
        "keys": op.k.shape[2], "depth": op.q.shape[3], "width": op.v.shape[3],
    }  # fmt: skip
    fields: list[tuple[str, Expression]] = [(name, number(value)) for name, value in numbers.items()]
    for name, strides in counted.strides.items():
        fields += [(f"{name}_{axis}", signed(s)) for axis, s in zip(STRIDES[name], strides, strict=True)]
    fields += [("scale", Literal(op.scale)), ("cap", Literal(op.softcap))]
    fields += [(name, Literal(1, "int32_t")) for name in ("causal", "replaces", "blank", "unseen") if getattr(op, name)]
    fields += [("rows", size(plan.rows)), ("block", size(plan.block))]
    opened = {"EC_OPEN_ATTENTION_QUERIES": counted.queries, "EC_OPEN_ATTENTION_KEYS": op.k.shape[2]}
    names = [name for name, extent in opened.items() if is_open(extent)]
    if names:
        fields.append(("open", Name(" | ".join(names))))
    return Structure("const ec_attention_shape", "shape", tuple(fields))
