"""Take the two products of an attention and the softmax between them together, so that the scores stay in the cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..errors import UsageError
from ..escaping import escape
from ..ir import Graph, Op, Skip, Value
from ..ir.dims import upper
from ..ir.ops import Attention, MatMul
from ..ir.types import f32
from ..kernels.table_attention import plan_attention
from ..targets import Target
from .registry import register
from .rules.attention import attention_of_products
from .tally import apply_rules

FORMS = ("auto", "off")


@register
@dataclass(frozen=True)
class FuseAttention:
    """matmul(softmax(matmul(q, k^T)), v) -> attention(q, k, v), with what scales, bounds and masks the scores.

    `form` is `auto` or `off`. What the kernel does not compute, larger heads or other element types, stays as it is.
    With `narrow` it takes those of f16 and bf16 alone, which the kernel computes in f32 and rounds once, at the end.
    """

    name: ClassVar[str] = "fuse-attention"
    form: str = "auto"
    narrow: bool = False
    target: Target | None = None

    def run(self, graph: Graph) -> Graph:
        if self.form not in FORMS:
            raise UsageError(f"there is no form '{escape(self.form)}' of attention", hint=f"forms: {', '.join(FORMS)}")

        def fuse_attention(op: MatMul) -> Value | Skip:
            if op.type.dtype.is_narrow != self.narrow:
                return Skip()
            found = attention_of_products(op)
            if isinstance(found, Skip):
                return found
            fault = self.fault(made_in(found))
            return Skip(fault) if fault else found

        def spell_attention_out(op: Attention) -> Value | Skip:
            return op.expand() if self.form == "off" or self.fault(op) else Skip()

        apply_rules(graph, [spell_attention_out, *([fuse_attention] if self.form == "auto" else [])])
        return graph

    def fault(self, op: Attention) -> str:
        """Why the kernel does not compute an attention; empty where it does."""
        if op.q.dtype.wide != f32:
            return f"the kernel is for f32, not {op.q.dtype.name}"
        isa, registers, l1 = machine_of(self.target)
        plan = plan_attention(isa, registers, l1, op.lanes_hold_keys, *sizes_of(op))
        return "" if plan is not None else f"heads of {op.q.shape[3]} elements are too large for the kernel"


def made_in(value: Value) -> Attention:
    """The attention that computes a value, which may be reshaped."""
    op: Op | None = value.producer
    while op is not None and not isinstance(op, Attention):
        op = op.operands[0].producer
    assert op is not None
    return op


def machine_of(target: Target | None) -> tuple[str, int | None, int]:
    """Instruction set, registers and bytes of L1; AVX2's where there is no target."""
    return ("avx2", None, 32 << 10) if target is None else (target.isa, target.registers, target.l1_bytes)


def sizes_of(op: Attention) -> tuple[int, int, int, int]:
    """Queries that a head counts, keys, elements of a query and of a value, at most."""
    return upper(op.counted_queries), upper(op.k.shape[2]), op.q.shape[3], op.v.shape[3]
