"""The files beside the model in an artifact: weights, the self-test, a thread pool, what builds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...escaping import comment
from ...ir import Graph
from ...ir.aliases import Alias, aliases_of
from ...ir.dims import upper
from ...ir.ops import Impossible
from ...targets import Target
from .open_sizes import BAD_SIZES, FOUND, golden_sizes, sizes_header
from .shared import NOT_SHARED, buffers_of, shared_inputs, shared_lines

FOLDER = Path(__file__).parent
FIXED = ("model_pool.c", "model_pool.h", "selftest.c", "weights.S")
GOLDEN_TOLERANCE = 1e-3
"""The usual tolerance of the self-test."""

PLAIN_STATUS = " * Returns 0, or 1 where a pointer is NULL or the arena is not aligned.\n"
STATUS = """\
 * Returns 0, 1 where a pointer is NULL or the arena is not aligned, or 3 where a branch is taken that does not fit the
 * shapes the network was compiled for.
"""
"""What model.h says of the result where there are such branches."""

Tensors = Sequence[Mapping[str, Any]]


def support_files(
    inputs: Tensors,
    outputs: Tensors,
    target: Target,
    objects: Sequence[str] = (),
    tolerance: float = GOLDEN_TOLERANCE,
    sizes: Sequence[Mapping[str, int]] = (),
    aliases: Sequence[Alias] = (),
) -> dict[str, bytes]:
    """Return the files by name for a model with these tensors, as the report describes them.

    `objects` are files in the artifact that are linked beside what is compiled from it; `tolerance` is how far an
    output may stand from the golden one, as a part of the largest golden value; `sizes` are those of each golden
    sample where a model has open ones; `aliases` are the inputs that share the buffer of an output.
    """
    more = "".join(f" {name}" for name in objects)
    filled = {
        "selftest.h": _selftest_header(inputs, outputs, tolerance, sizes, aliases),
        "Makefile": _makefile(target, more),
        "CMakeLists.txt": _fill("CMakeLists.txt", FLAGS=" ".join(target.flags("gcc")), OBJECTS=more),
    }
    fixed = {name: (FOLDER / name).read_bytes() for name in FIXED}
    return fixed | {name: text.encode() for name, text in filled.items()}


def model_header(graph: Graph, arena_bytes: int) -> bytes:
    """Return model.h: the API, and all sizes."""
    lines = [
        f"#define MODEL_INPUTS {len(graph.inputs)}",
        f"#define MODEL_OUTPUTS {len(graph.outputs)}",
        f"#define MODEL_ARENA_BYTES {arena_bytes}",
        "#define MODEL_ALIGNMENT 64",
    ]
    given, made = buffers_of(graph)
    for kind, values, names, buffers in (
        ("INPUT", graph.inputs, [v.name for v in graph.inputs], given),
        ("OUTPUT", graph.outputs, graph.output_names, made),
    ):
        for i, (value, name, buffer) in enumerate(zip(values, names, buffers, strict=True)):
            lines.append(f"/* {kind.lower()} {i}: {comment(name)}, {value.type.with_order(())} */")
            lines.append(f"#define MODEL_{kind}_{i}_BYTES {buffer.most_bytes}")
            lines.append(f"#define MODEL_{kind}_{i}_ELEMENTS {upper(buffer.size)}")
    lines += shared_lines(graph)
    sizes = sizes_header(graph)
    taken, bad = (", const model_sizes *sizes", BAD_SIZES) if sizes else ("", "")
    if graph.checks_run:
        taken, bad = ", model_sizes *sizes", BAD_SIZES + FOUND
    bad += NOT_SHARED if aliases_of(graph) else ""
    header = _fill("model.h", SIZES="\n".join([*lines, *sizes]), TAKEN=taken, BAD_SIZES=bad)
    if any(isinstance(op, Impossible) for op in graph.every_op):
        header = header.replace(PLAIN_STATUS, STATUS)
    return header.encode()


def _selftest_header(
    inputs: Tensors,
    outputs: Tensors,
    tolerance: float,
    sizes: Sequence[Mapping[str, int]],
    aliases: Sequence[Alias],
) -> str:
    return _fill(
        "selftest.h",
        TOLERANCE=f"{tolerance:g}",
        INPUT_BYTES="".join(f"MODEL_INPUT_{i}_BYTES, " for i in range(len(inputs))),
        OUTPUT_BYTES="".join(f"MODEL_OUTPUT_{i}_BYTES, " for i in range(len(outputs))),
        GOLDEN_SIZES=golden_sizes(sizes) + shared_inputs(aliases, len(inputs)),
        OUTPUT_ELEMENTS="".join(f"ELEMENT_{_compared_as(one['dtype'])}, " for one in outputs),
    )


def _compared_as(dtype: str) -> str:
    """The element type that the self-test compares: strings are bytes to it."""
    return "U8" if dtype.startswith("text") else dtype.upper()


def _makefile(target: Target, objects: str) -> str:
    compiler = "cc" if target.arch in ("any", "x86_64") else f"{target.triple}-gcc"
    return _fill(
        "Makefile",
        COMPILER=compiler,
        FLAGS=" ".join(target.flags("gcc")),
        ARCH_FLAGS=" ".join(target.arch_flags("gcc")),
        OBJECTS=objects,
    )


def _fill(name: str, **parts: str) -> str:
    text = (FOLDER / f"{name}.in").read_text(encoding="utf-8")
    for key, part in parts.items():
        text = text.replace(f"@{key}@", part)
    return text
