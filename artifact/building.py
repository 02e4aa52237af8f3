"""Build an artifact's library and self-test where a compiler is at hand, and run the self-test where that works."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ToolchainError
from ..targets import Target
from ..toolchain import Compiler, cannot_run, find_compiler, run
from .artifact import LIBRARY, SELFTEST

LINK = ("-lm", "-lpthread")
SELFTEST_TIMEOUT = 1800.0
_NOT_RUN = "not run: "


def build_artifact(folder: Path, target: Target, requested: str = "", objects: Sequence[str] = ()) -> dict[str, Any]:
    """Build library and self-test in `folder`, with `objects` that stand there; returns the report's `toolchain`.

    With no compiler for the target nothing is built and `reason` says so; ToolchainError if the `requested` compiler
    is missing or one fails.
    """
    try:
        compiler = find_compiler(target, requested)
    except ToolchainError as error:
        if requested:
            raise
        return {"built": False, "reason": f"{error.what}: {error.hint}" if error.hint else error.what}
    _build(folder, compiler, [folder / name for name in objects])
    flags = list(target.flags(compiler.kind))
    return {"built": True, "reason": "", "kind": compiler.kind, "compiler": compiler.version, "flags": flags}


def run_selftest(folder: Path, target: Target) -> dict[str, Any]:
    """Run the built self-test; returns the part `selftest` of the report."""
    why_not = cannot_run(target)
    if why_not:
        return _verdict("not run", why_not[len(_NOT_RUN) :] if why_not.startswith(_NOT_RUN) else why_not)
    result = run(target, folder / SELFTEST, timeout=SELFTEST_TIMEOUT)
    try:
        said = json.loads(result.stdout)
    except ValueError:
        return _verdict("failed", f"it died with exit status {result.returncode}")
    if result.ok:
        return _verdict("passed", "", said["worst"])
    worst = "not a number" if said["worst"] is None else f"{said['worst']:.3g} of the largest value"
    reason = f"output {said['output']} is off by {worst}, allowed is {said['tolerance']:g}"
    return _verdict("failed", reason, said["worst"])


def _build(folder: Path, compiler: Compiler, objects: Sequence[Path]) -> None:
    model = [compiler.compile([folder / name], folder / f".{name}.o", "object") for name in ("model.c", "weights.S")]
    pool = folder / "model_pool.c"
    compiler.compile([*model, *objects, pool], folder / LIBRARY, "shared", link=LINK)
    compiler.compile([*model, *objects, pool, folder / "selftest.c"], folder / SELFTEST, "executable", link=LINK)
    for built in model:
        built.unlink()


def _verdict(status: str, reason: str, worst: float | None = None) -> dict[str, Any]:
    return {"status": status, "reason": reason, "worst": worst}
