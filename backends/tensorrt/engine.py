"""What builds engines: a script in a process of its own, and the command line that does the same.

TensorRT-RTX builds for its architectures without a GPU. TensorRT itself builds for the GPU of the machine that it runs
on, so elsewhere the script and the command line are the result.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import ToolchainError
from ...escaping import escape
from ...toolchain.process import execute, first_lines
from .goals import CLASSIC, PACKAGES, Architecture
from .runner import ENGINE, LOG, MODEL

SCRIPT, COMMAND = "build_engine.py", "build_engine.sh"
TRTEXEC = f"trtexec --onnx={MODEL} --saveEngine={ENGINE} --stronglyTyped --skipInference"
Profile = Mapping[str, Sequence[Sequence[int]]]
"""The least, usual and largest shape of each input whose sizes are open."""

STEADY = {"PYTHONHASHSEED": "0"}
SHOWN = 8


def scripts(found: Architecture, profile: Profile) -> dict[str, bytes]:
    """The script; for TensorRT itself also the command line."""
    text = (Path(__file__).parent / "build_engine.py.in").read_text(encoding="utf-8")
    names = {"MODEL": MODEL, "ENGINE": ENGINE, "LOG": LOG, "PACKAGE": PACKAGES[found.library]}
    shapes = {name: tuple(map(tuple, rows)) for name, rows in profile.items()}
    for name, value in {**names, "CAPABILITY": str(found.capability), "PROFILE": repr(shapes)}.items():
        text = text.replace(f"@{name}@", value)
    files = {SCRIPT: text.encode()}
    return files if found.library != CLASSIC else {**files, COMMAND: _shell(found, profile).encode()}


def _shell(found: Architecture, profile: Profile) -> str:
    about = f"# On a GPU of compute capability {found.capability / 10:g}, with TensorRT 10 or later."
    return f'#!/bin/sh\n{about}\nset -e\ncd "$(dirname "$0")"\n{TRTEXEC}{_shapes(profile)}\n'


def _shapes(profile: Profile) -> str:
    """The shapes as trtexec takes them."""
    kinds = ("minShapes", "optShapes", "maxShapes") if profile else ()
    listed = [",".join(f"{name}:{'x'.join(map(str, rows[i]))}" for name, rows in profile.items()) for i in range(3)]
    return "".join(f" --{kind}={shlex.quote(text)}" for kind, text in zip(kinds, listed, strict=False))


def build(folder: Path) -> None:
    """Run the script of an artifact; ToolchainError where the library gives up."""
    done = execute([sys.executable, SCRIPT], cwd=folder, environment=STEADY)
    if done.returncode == 0 and (folder / ENGINE).is_file():
        return
    hint = "another precision may work: --option precision=fp16"
    raise ToolchainError(
        "TensorRT builds no engine", hint=hint, details=_said(folder / LOG) or first_lines(done.stderr)
    )


def _said(log: Path) -> list[str]:
    """The first errors in a log."""
    if not log.is_file():
        return []
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [escape(line, 300) for line in lines if line.startswith(("[ERROR]", "[INTERNAL_ERROR]"))][:SHOWN]
