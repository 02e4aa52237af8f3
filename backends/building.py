"""What backends share whose artifact is a C library: the C compiler, the self-test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..artifact.building import build_artifact, run_selftest
from .protocol import Lowered, Options


def built(lowered: Lowered, folder: Path, options: Options, objects: Sequence[str] = ()) -> dict[str, Any]:
    """Build library and self-test if that is wanted and possible; `objects` are linked into both."""
    if not options.build:
        return {"built": False, "reason": "building was not asked for"}
    with options.phase("build"):
        return build_artifact(folder, lowered.target, options.compiler, objects)


def tested(lowered: Lowered, folder: Path, options: Options, toolchain: dict[str, Any]) -> dict[str, Any]:
    """Run the self-test if that is wanted and possible."""
    if not options.selftest or not toolchain["built"]:
        reason = toolchain["reason"] if options.selftest else "it was not asked for"
        return {"status": "not run", "reason": reason, "worst": None}
    with options.phase("selftest"):
        return run_selftest(folder, lowered.target)
