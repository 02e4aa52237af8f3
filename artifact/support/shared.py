"""What model.h and selftest.h say of inputs that share the buffer of an output."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir import Graph, TensorType
from ...ir.aliases import Alias, aliases_of

NOT_SHARED = """
 * Returns 1, too, where an input that shares the buffer of an output is not the same pointer."""


def buffers_of(graph: Graph) -> tuple[list[TensorType], list[TensorType]]:
    """The types of the buffers of inputs and outputs: those of the tensors, but for those that grow in place."""
    given, made = [v.type for v in graph.inputs], [v.type for v in graph.outputs]
    for alias in aliases_of(graph):
        given[alias.input] = made[alias.output] = alias.type
    return given, made


def shared_lines(graph: Graph) -> list[str]:
    """The part of model.h about shared buffers; nothing where there are none."""
    return [line for alias in aliases_of(graph) for line in _lines(alias)]


def _lines(alias: Alias) -> list[str]:
    pair = f"input {alias.input} and output {alias.output} are one buffer"
    laid = f": a {alias.type}, filled along dimension {alias.axis}" if alias.grows else ""
    return [f"/* {pair}{laid} */", f"#define MODEL_INPUT_{alias.input}_OUTPUT {alias.output}"]


def shared_inputs(aliases: Sequence[Alias], inputs: int) -> str:
    """The part of selftest.h about shared buffers: for each input its output, MODEL_OUTPUTS where it has none."""
    if not aliases:
        return ""
    outputs = {alias.input: str(alias.output) for alias in aliases}
    row = ", ".join(outputs.get(i, "MODEL_OUTPUTS") for i in range(inputs))
    return f"\n#define SELFTEST_SHARES\nstatic const size_t output_of[] = {{{row}}};\n"
