"""ONNX to IR.

Nodes are taken in order, each translated by its rule (`onnx_rules_*.py`), by the operator that declares itself equal to
it, or by the function body that the model or ONNX gives for it. What cannot be translated is collected, so that a
user learns of all of it at once.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import ModelError, Unsupported, UnsupportedNode
from ..escaping import escape
from . import (
    onnx_rules_einsum,
    onnx_rules_gather,
    onnx_rules_generate,
    onnx_rules_integer,
    onnx_rules_linear,
    onnx_rules_math,
    onnx_rules_matrix,
    onnx_rules_microsoft,
    onnx_rules_nbits,
    onnx_rules_normalize,
    onnx_rules_qlinear,
    onnx_rules_quantize,
    onnx_rules_random,
    onnx_rules_recurrent,
    onnx_rules_reduce,
    onnx_rules_resize,
    onnx_rules_shape,
    onnx_rules_signal,
    onnx_rules_window,
)
from .graph import Graph
from .onnx_bind import bind
from .onnx_build import Builder
from .onnx_external import ExternalFiles
from .onnx_functions import opsets_of
from .onnx_older import OLDEST, modern
from .onnx_read import read_model
from .onnx_tensors import Tensors

NEWEST = 28

RULE_FILES = (
    onnx_rules_einsum, onnx_rules_gather, onnx_rules_generate, onnx_rules_integer, onnx_rules_math, onnx_rules_matrix,
    onnx_rules_microsoft, onnx_rules_nbits, onnx_rules_normalize, onnx_rules_qlinear, onnx_rules_quantize,
    onnx_rules_recurrent, onnx_rules_reduce, onnx_rules_resize, onnx_rules_shape, onnx_rules_window,
    onnx_rules_linear, onnx_rules_random, onnx_rules_signal,
)  # fmt: skip
"""Importing these fills the table of rules."""


def load(
    source: str | Path | bytes,
    dims: dict[str, int] | None = None,
    shapes: dict[str, tuple[int, ...]] | None = None,
    base: Path | None = None,
) -> Graph:
    """The graph of an ONNX model, in stage "imported".

    `dims` fixes named dimensions, `shapes` the shapes of inputs; an open first dimension becomes 1 and is noted in the
    journal and in `metadata["assumed"]`. `base` is the folder of external data (else that of the file). Raises
    `ModelError` for a malformed model, `Unsupported` listing every node that cannot be compiled, `UsageError` for
    dimensions that nothing fixes.
    """
    model = modern(read_model(source))
    if base is None and not isinstance(source, bytes):
        base = Path(source).parent
    opsets = opsets_of(model.opset_import)
    _check_opset(opsets)
    initialized = {t.name for t in model.graph.initializer} | {t.values.name for t in model.graph.sparse_initializer}
    inputs = [value for value in model.graph.input if value.name not in initialized]
    binding = bind(inputs, dims or {}, shapes or {})
    builder = Builder(model, Tensors(ExternalFiles(base)), opsets, binding.types)
    graph = builder.build()
    graph.metadata["assumed"] = dict(binding.assumed)
    for name, size in binding.assumed.items():
        graph.note("import", f"open dimension '{escape(name)}' taken as {size}", None)
    return graph


def _check_opset(opsets: dict[str, int]) -> None:
    version = opsets.get("")
    if version is None:
        if not opsets:
            raise ModelError("the model names no operator set", hint="opset_import is empty")
        return
    if not OLDEST <= version <= NEWEST:
        reason = f"version {version} of the ONNX operators"
        node = UnsupportedNode("", "opset", reason, opset=version, nearest=f"{OLDEST} to {NEWEST}")
        raise Unsupported([node], hint="convert it with onnx.version_converter")
