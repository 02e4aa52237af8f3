"""The order of the passes; each line says why it stands there."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from ..errors import UsageError
from ..escaping import escape
from ..targets import Target
from .registry import PASSES, Pass, find_pass, load_installed, make_pass, slot

Step = tuple[str, dict[str, Any]]

CLEAN: tuple[Step, ...] = (
    ("fold-constants", {}),  # first: shape arithmetic and transposed weights become plain numbers for all that follows
    ("common-subexpressions", {}),  # before algebra: rules compare operands by identity
    ("simplify", {}),  # exporters leave identities and transposes everywhere, which would hide the patterns below
    ("recognise", {}),  # while the spelled-out forms are whole, before weights swallow parts of them
    ("fold-scales", {}),  # batch-norm and factors go into weights before anything is quantized or laid out
    ("fold-constants", {}),  # what folding left between constants
    ("simplify", {}),  # folded factors may be ones and zeros
    ("common-subexpressions", {}),  # rules write equal ops and constants of their own
    ("dead-code", {}),  # unread results would be compiled
    ("set-stage", {"to": "canonical"}),  # the form that quantization and every backend start from
)

C: tuple[Step, ...] = (
    ("fuse-attention", {"narrow": True}),  # before the casts of widen-types, which round scores and stand between them
    ("widen-types", {}),  # kernels and patterns are those of the wide types
    ("integerize", {}),  # while softmax, averages and views around the quantized ops are still whole
    ("store-weights", {}),  # what integerize left in float reads its weights in the bits that they have
    ("fold-constants", {"dequantize": True}),  # integer weights that no integer op took are plain numbers now
    ("dead-code", {}),  # the dequantized forms that nobody reads any more
    ("fuse-attention", {}),  # what integerize left in float, while its softmax is one op
    ("decompose", {"keep": "attention"}),  # no kernel serves another composite op
    ("fold-constants", {}),  # expansions bring arithmetic of constants
    ("simplify", {}),  # and views that cancel against their neighbours
    ("common-subexpressions", {}),  # two expansions may share a part
    ("dead-code", {}),  # nothing unread may reach the planner
    ("check-kernels", {}),  # refuse what no kernel computes before anything is laid out or written
    ("lower-pads", {}),  # kernels have no border logic: after simplify, which would fold the borders back
    ("common-subexpressions", {}),  # readers of one tensor with equal borders share the padded one
    ("pack-operands", {}),  # panels are read by column: layout assignment must know
    ("assign-layout", {}),  # needs the final ops; must come before fusion, which it would cut
    ("winograd", {}),  # while convolutions are ops of their own; after layout, which treats both forms alike
    ("half-products", {}),  # what the fast form did not take; still ops of their own
    ("fuse", {}),  # regions become kernels
    ("cascade", {}),  # regions in a row whose results would go through memory; before order, which counts the rest
    ("order", {}),  # the order that needs least memory is that of regions, not of ops
    ("plan", {}),  # offsets need the final order
)

TVM: tuple[Step, ...] = (
    ("integerize", {}),  # the same arithmetic as for C, to the bit
    ("fold-constants", {"dequantize": True}),  # as for C
    ("dead-code", {}),
    ("decompose", {}),  # the same few ops are translated to tensor IR
    ("fold-constants", {}),
    ("simplify", {}),
    ("common-subexpressions", {}),
    ("dead-code", {}),
    ("check-kernels", {"narrow": False}),  # what C refuses has no translation either
    ("lower-pads", {}),  # borders inside a reduction would cost a comparison for every element
    ("common-subexpressions", {}),
    ("assign-layout", {}),  # channels innermost: schedules vectorize over them
    ("winograd", {}),  # as for C
    ("fuse", {}),  # our fusion is TVM's: each region becomes one function
    ("order", {}),  # for the executor's arena
)

TENSORRT: tuple[Step, ...] = (
    ("symmetric-scales", {}),  # the one kind of integers that it computes on
    ("fold-constants", {}),  # weights that became floats
    ("common-subexpressions", {}),  # each reader of a tensor got a quantize of its own
    ("dead-code", {}),  # the integers that nobody reads any more
)

PIPELINES: dict[str, tuple[Step, ...]] = {
    "c": CLEAN + C, "tvm": CLEAN + TVM, "tensorrt": CLEAN + TENSORRT, "clean": CLEAN,
}  # fmt: skip
"""The steps of each backend; `clean` is for one that wants the clean graph."""


def default_pipeline(
    target: Target | None = None, backend: str = "c", options: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Pass]:
    """The passes of a backend, with registered passes that have `before` or `after` slotted in.

    Passes with a field `target` get the target. `options` gives other fields of passes by name, as
    {"fuse": {"strategy": "none"}}; `UsageError` for unknown ones.
    """
    if backend not in PIPELINES:
        raise UsageError(f"there is no backend '{escape(backend)}'", hint=f"backends: {', '.join(PIPELINES)}")
    load_installed()
    given = options or {}
    passes = [_made(name, {**fixed, **given.get(name, {})}, target) for name, fixed in PIPELINES[backend]]
    for name, cls in sorted(PASSES.items()):
        if getattr(cls, "before", "") or getattr(cls, "after", ""):
            passes = slot(passes, _made(name, dict(given.get(name, {})), target))
    unused = [name for name in given if name not in {p.name for p in passes}]
    if unused:
        raise UsageError(f"options are given for passes that do not run: {', '.join(map(escape, unused))}")
    return passes


def _made(name: str, options: dict[str, Any], target: Target | None) -> Pass:
    fields = {f.name for f in dataclasses.fields(typing.cast(Any, find_pass(name)))}
    if target is not None and "target" in fields:
        options = {"target": target, **options}
    return make_pass(name, options)
