"""What a target's name means: a GPU architecture, and which library builds engines for it."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from functools import cache

from ...errors import ToolchainError
from ...toolchain.process import execute
from ..protocol import Missing, TargetRow

RTX, CLASSIC = "tensorrt-rtx", "tensorrt"
PACKAGES = {RTX: "tensorrt_rtx", CLASSIC: "tensorrt"}
INSTALL = 'pip install "edgec[tensorrt]"'
PRESENT = "tensorrt"


@dataclass(frozen=True)
class Architecture:
    """A compute capability, as 89, and the library whose builder knows it."""

    capability: int
    library: str
    about: str


ARCHITECTURES = {
    "tensorrt-sm75": Architecture(75, RTX, "Turing: T4, RTX 20 (fp16 and int8)"),
    "tensorrt-sm80": Architecture(80, RTX, "Ampere: A100, A30"),
    "tensorrt-sm86": Architecture(86, RTX, "Ampere: A10, A40, RTX 30"),
    "tensorrt-sm89": Architecture(89, RTX, "Ada: L4, L40, RTX 40"),
    "tensorrt-sm120": Architecture(120, RTX, "Blackwell: RTX 50, RTX PRO"),
    "tensorrt-sm121": Architecture(121, RTX, "Blackwell: GB10"),
    "tensorrt-jetson-orin": Architecture(87, CLASSIC, "Jetson Orin: ONNX and a script that builds the engine there"),
    "tensorrt-sm90": Architecture(90, CLASSIC, "Hopper: H100, H200; ONNX and a script that builds the engine there"),
    "tensorrt-sm100": Architecture(100, CLASSIC, "Blackwell: B200; ONNX and a script that builds the engine there"),
}


def rows() -> list[TargetRow]:
    """The targets, for `edgec targets`."""
    known = [TargetRow(name, one.about) for name, one in ARCHITECTURES.items()]
    return [TargetRow(PRESENT, "the GPU of this machine"), *known]


def architecture(name: str) -> Architecture | None:
    """The architecture of a target; None where the GPU of this machine is meant and there is none."""
    if name != PRESENT:
        return ARCHITECTURES[name]
    found = present_capability()
    if found is None:
        return None
    known = [one for one in ARCHITECTURES.values() if one.capability == found]
    return known[0] if known else Architecture(found, CLASSIC, f"compute capability {found / 10:g}")


@cache
def present_capability() -> int | None:
    """The compute capability of the first GPU, as its driver tells it; None without one."""
    if shutil.which("nvidia-smi") is None:
        return None
    try:
        told = execute(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"], timeout=60)
    except ToolchainError:
        return None
    first = told.stdout.split("\n", 1)[0].strip().replace(".", "")
    return int(first) if told.returncode == 0 and first.isdecimal() else None


def missing(library: str) -> Missing | None:
    """What is not installed that makes models for a library."""
    if not _installed("onnx_graphsurgeon"):
        return Missing("the package onnx-graphsurgeon", INSTALL)
    if library == RTX and not _installed(PACKAGES[RTX]):
        return Missing("the package tensorrt-rtx, which builds engines without a GPU", INSTALL)
    return None


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def builds_here(found: Architecture) -> bool:
    """Whether an engine can be built on this machine."""
    return found.library == RTX or (_installed(PACKAGES[CLASSIC]) and present_capability() == found.capability)
