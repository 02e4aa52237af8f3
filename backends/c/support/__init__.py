"""The files beside the model in an artifact: the self-test, a thread pool, what builds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ....targets import Target

FOLDER = Path(__file__).parent
FIXED = ("model_pool.c", "model_pool.h", "selftest.c")
GOLDEN_TOLERANCE = 1e-3
"""How far an output may stand from the golden one, as a part of the largest golden value."""

Tensors = Sequence[Mapping[str, Any]]


def support_files(inputs: Tensors, outputs: Tensors, target: Target) -> dict[str, bytes]:
    """Return the files by name for a model with these tensors, as the report describes them."""
    filled = {
        "selftest.h": _selftest_header(inputs, outputs),
        "Makefile": _makefile(target),
        "CMakeLists.txt": _fill("CMakeLists.txt", FLAGS=" ".join(target.flags("gcc"))),
    }
    fixed = {name: (FOLDER / name).read_bytes() for name in FIXED}
    return fixed | {name: text.encode() for name, text in filled.items()}


def _selftest_header(inputs: Tensors, outputs: Tensors) -> str:
    return _fill(
        "selftest.h",
        TOLERANCE=f"{GOLDEN_TOLERANCE:g}",
        INPUT_BYTES="".join(f"MODEL_INPUT_{i}_BYTES, " for i in range(len(inputs))),
        OUTPUT_BYTES="".join(f"MODEL_OUTPUT_{i}_BYTES, " for i in range(len(outputs))),
        OUTPUT_ELEMENTS="".join(f"ELEMENT_{one['dtype'].upper()}, " for one in outputs),
    )


def _makefile(target: Target) -> str:
    compiler = "cc" if target.arch in ("any", "x86_64") else f"{target.triple}-gcc"
    return _fill(
        "Makefile",
        COMPILER=compiler,
        FLAGS=" ".join(target.flags("gcc")),
        ARCH_FLAGS=" ".join(target.arch_flags("gcc")),
    )


def _fill(name: str, **parts: str) -> str:
    text = (FOLDER / f"{name}.in").read_text(encoding="utf-8")
    for key, part in parts.items():
        text = text.replace(f"@{key}@", part)
    return text
