"""Errors, limits, and what random graphs leave out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

from parts.writing import code, part, sentence, table

from edgec import errors
from edgec.coverage.graphs import exceptions
from edgec.errors import EdgecError, Mismatch, UnsupportedNode
from edgec.ir import Graph, onnx_external, onnx_read, text_parser
from edgec.passes import parse_passes
from edgec.targets import get_target
from edgec.toolchain import find_compiler


@part
def exit_codes() -> str:
    kinds = [cls for cls in vars(errors).values() if inspect.isclass(cls) and issubclass(cls, EdgecError)]
    rows = [(str(cls.exit_code), f"`{cls.__name__}`", sentence(cls)) for cls in kinds if cls is not EdgecError]
    first = [("0", "", "Done.")]
    last = [
        ("70", "`EdgecError`", "A fault of edgec itself; EDGEC_DEBUG=1 shows where."),
        ("130, 143, 141", "", "Interrupted, terminated, or nobody read the output."),
    ]
    return table(("status", "exception", "meaning"), [*first, *sorted(rows), *last])


WRONG_CHANNELS = """\
graph(%0: f32[1,3,8,8] "image") {
  %1 = constant(value=fill(0.5)) : f32[8,32,3,3]
  %2 = conv(%0, %1) : f32[1,8,6,6] @ 4 "stem/conv1" "Conv"
  return %2
}"""


NOT_SUPPORTED = UnsupportedNode(
    "input/decode", "ImageDecoder", "this operator is not supported", opset=20, shapes=("4096",)
)


def mistakes() -> Iterator[Callable[[], object]]:
    """Calls that fail, one for each kind of error that a user can bring about."""
    yield lambda: get_target("arm-neom")
    yield lambda: parse_passes("fuse{stratgy=greedy}")
    yield lambda: Graph.parse(WRONG_CHANNELS)
    yield lambda: _raise(errors.Unsupported([NOT_SUPPORTED]))
    yield lambda: find_compiler(get_target("arm-neon"), "no-such-compiler")
    yield lambda: _raise(Mismatch("the self-test failed: output 0 is off by 0.02 of the largest value"))


def _raise(error: EdgecError) -> None:
    raise error


@part
def error_samples() -> str:
    shown = []
    for mistake in mistakes():
        try:
            mistake()
        except EdgecError as error:
            shown.append(f"Exit status {error.exit_code}:\n\n{code(str(error))}")
    return "\n\n".join(shown)


@part
def limits() -> str:
    rows = [
        ("bytes of the model file (weights may lie outside it)", f"{onnx_read.MAX_FILE_BYTES:,}"),
        ("nodes, functions written out", f"{onnx_read.MAX_NODES:,}"),
        ("nesting of graphs in an ONNX model", str(onnx_read.MAX_NESTING)),
        ("nesting of graphs in an .ir file", str(text_parser.MAX_NESTING)),
        ("characters of a name", f"{onnx_read.MAX_NAME:,}"),
        ("keys of an external data entry", ", ".join(f"`{key}`" for key in sorted(onnx_external.KEYS))),
    ]
    return table(("what", "at most"), rows)


@part
def exemptions() -> str:
    names = {exceptions.ONNX: "ONNX", exceptions.RUNTIME: "ONNX Runtime"}
    rows = [(", ".join(f"`{n}`" for n in e.ops.split()), e.shown, names[e.who], e.reason) for e in exceptions.EXEMPT]
    foreign = ", ".join(exceptions.FOREIGN)
    return table(
        ("operators", "element types", "not in", "why"), [*rows, ("all", foreign, "ONNX Runtime", exceptions.NO_KERNEL)]
    )
