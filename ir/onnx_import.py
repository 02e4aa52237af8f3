"""ONNX to IR.

Nodes are taken in order, each translated by its rule (`onnx_rules_*.py`), by the operator that declares itself equal to
it, or by the function body that the model or ONNX gives for it. What cannot be translated is collected, so that a
user learns of all of it at once.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from ..errors import ModelError, Unsupported, UnsupportedNode, UsageError
from ..escaping import escape
from .dims import Size
from .graph import Graph
from .onnx_bind import Binding, bind, refused_inputs
from .onnx_build import Builder
from .onnx_containers import Inputs, unfolded
from .onnx_external import ExternalFiles
from .onnx_functions import opsets_of
from .onnx_older import OLDEST, modern
from .onnx_read import read_model
from .onnx_suppose import Supposed, first_that_fits, suppositions
from .onnx_tensors import Tensors, declared_types
from .types import MOST_TEXT, TEXT_BYTES, TensorType, text

NEWEST = 28
MAX_TRIED = 1 << 10
"""Nodes of a model that is translated again and again to find what its inputs may be."""

for _file in sorted(Path(__file__).parent.glob("onnx_rules_*.py")):
    import_module(f".{_file.stem}", __package__)  # fills the table of rules


def load(
    source: str | Path | bytes,
    dims: dict[str, Size] | None = None,
    shapes: dict[str, tuple[int, ...]] | None = None,
    base: Path | None = None,
    text_bytes: int = TEXT_BYTES,
) -> Graph:
    """The graph of an ONNX model, in stage "imported".

    `dims` fixes named dimensions or bounds them (8, (1, 8), or made of others: "past+1"; `input[2]` is one without a
    name), `shapes` the shapes of inputs, those of the tensors of a sequence as `x[0]`, `x[1]`, ...; an open first
    dimension becomes 1 and is noted in the journal and in `metadata["assumed"]`. `base` is the folder of external data
    (else that of the file). A string may have `text_bytes` bytes of UTF-8. Raises `ModelError` for a malformed model,
    `Unsupported` listing every node that cannot be compiled, `UsageError` for dimensions that nothing fixes.
    """
    if not 1 <= text_bytes <= MOST_TEXT:
        raise UsageError(f"strings of {text_bytes} bytes", hint=f"--text-bytes from 1 to {MOST_TEXT}")
    model, strings = modern(read_model(source)), text(text_bytes)
    if base is None and not isinstance(source, bytes):
        base = Path(source).parent
    opsets = opsets_of(model.opset_import)
    _check_opset(opsets)
    initialized = {t.name for t in model.graph.initializer} | {t.values.name for t in model.graph.sparse_initializer}
    given = unfolded([value for value in model.graph.input if value.name not in initialized], (shapes or {}).keys())
    inputs = given.tensors
    refused = refused_inputs(inputs)
    binding = bind([value for value in inputs if value.name not in refused], dims or {}, shapes or {}, strings)

    def build(supposed: Supposed | None) -> Graph:
        tensors = Tensors(ExternalFiles(base), strings)
        return Builder(model, tensors, opsets, binding.types, refused, given, supposed).build()

    try:
        graph = build(None)
    except Unsupported:
        outputs = model.graph.output if len(model.graph.node) <= MAX_TRIED else ()
        supposed = _supposed(build, binding.types, declared_types(outputs, strings))
        if supposed is None:
            raise
        graph = supposed
    return _noted(graph, given, binding)


def _supposed(
    build: Callable[[Supposed], Graph], inputs: dict[str, TensorType], outputs: dict[str, TensorType]
) -> Graph | None:
    """The graph under the first supposition about the numbers in its inputs that gives what the outputs declare."""
    tries = suppositions(inputs, list(dict.fromkeys(kind.shape for kind in outputs.values())))
    return first_that_fits(tries, build, outputs)


def _noted(graph: Graph, given: Inputs, binding: Binding) -> Graph:
    """The graph with what was taken for granted in its journal."""
    graph.metadata["assumed"] = dict(binding.assumed)
    for name in given.absent:
        graph.note("import", f"optional '{escape(name)}' taken as one without content", None)
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
