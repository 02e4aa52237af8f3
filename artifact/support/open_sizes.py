"""What model.h and selftest.h say of sizes that are known only at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...ir import Graph

KEYWORDS = frozenset({
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern",
    "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed",
    "sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while", "asm",
    "bool", "class", "delete", "explicit", "export", "false", "friend", "mutable", "namespace", "new", "operator",
    "private", "protected", "public", "template", "this", "throw", "true", "try", "typename", "using", "virtual",
})  # fmt: skip
"""Words that C or C++ keep for themselves."""

BAD_SIZES = """
 * `sizes` are the sizes of this run: inputs and outputs are dense in them. Returns MODEL_BAD_SIZES where
 * one is out of its bounds."""


def field(name: str) -> str:
    """The field of `model_sizes` that holds a size."""
    return f"{name}_" if name in KEYWORDS else name


UNFIT = "unfit"
"""The field that a run sets when a size that it finds is out of bounds."""

FOUND = """
 * It writes the sizes that it finds into `sizes`; where one is out of its bounds, outputs mean nothing, `unfit` is set
 * and MODEL_BAD_SIZES is returned."""


def sizes_header(graph: Graph) -> list[str]:
    """The part of model.h about open sizes; nothing where there are none."""
    symbols, found = graph.symbols.values(), graph.checks_run
    if not symbols and not found:
        return []
    names = [field(s.name) for s in symbols]
    return [
        "",
        "/* The sizes that each run chooses, bounds inclusive. MODEL_INPUT_0_BYTES and its like are upper bounds. */",
        "typedef struct {",
        f"    size_t {', '.join([*names, UNFIT] if found else names)};",
        "} model_sizes;",
        "",
        f"#define MODEL_SIZES {len(symbols) + found}",
        *(f"#define MODEL_LOW_{s.name} {s.low}" for s in symbols),
        *(f"#define MODEL_HIGH_{s.name} {s.high}" for s in symbols),
        "#define MODEL_BAD_SIZES 2",
        "",
        "/* The bytes of an input or output in a run of these sizes. */",
        "size_t model_input_bytes(size_t index, const model_sizes *sizes);",
        "size_t model_output_bytes(size_t index, const model_sizes *sizes);",
    ]


def golden_sizes(samples: Sequence[Mapping[str, int]]) -> str:
    """The part of selftest.h about the sizes of the golden samples; nothing where a model has none."""
    if not any(samples):
        return ""
    rows = ", ".join("{" + ", ".join(map(str, sample.values())) + "}" for sample in samples)
    return f"\n#define SELFTEST_SAMPLES {len(samples)}\nstatic const model_sizes golden_sizes[] = {{{rows}}};\n"
