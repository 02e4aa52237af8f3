"""Run a program built for a target: on this CPU where it can, else under an emulator, else say why not."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ToolchainError
from ..targets import Target, host
from .find import is_native
from .process import execute

INSTALL_EMULATOR = "apt-get install qemu-user"
_ILLEGAL_INSTRUCTION = (-4, 132)


@dataclass(frozen=True)
class Emulator:
    """A user-mode emulator: the start of its command, and its version."""

    argv: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class Run:
    """What came of running a program.

    `not_run` says why it was not started (then `returncode` is -1); `seconds` is wall time,
    meaningless as a measure of speed under an emulator.
    """

    command: tuple[str, ...]
    returncode: int = -1
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    not_run: str = ""

    @property
    def ok(self) -> bool:
        """Whether the program ran and succeeded."""
        return not self.not_run and self.returncode == 0

    @property
    def illegal_instruction(self) -> bool:
        """Whether the program died from an instruction that the CPU does not have."""
        return not self.not_run and self.returncode in _ILLEGAL_INSTRUCTION


def run(target: Target, executable: Path, args: Sequence[str] = (), timeout: float = 60.0) -> Run:
    """Run `executable`, built for `target`, to its end; raises ToolchainError if that takes over `timeout` seconds."""
    command = (*launcher(target), str(Path(executable).resolve()), *args)
    reason = cannot_run(target)
    if reason:
        return Run(command, not_run=reason)
    finished = execute(command, timeout=timeout)
    return Run(command, finished.returncode, finished.stdout, finished.stderr, finished.seconds)


def cannot_run(target: Target) -> str:
    """Return why nothing built for `target` can run here; empty if it can."""
    if runs_natively(target) or find_emulator(target):
        return ""
    lacking = ", ".join(host().missing(target.features)) if is_native(target) else ""
    reason = f"this CPU lacks {lacking}" if lacking else f"this machine is {host().arch}, not {target.arch}"
    return f"not run: {reason}{_emulator_advice(target)}"


def runs_natively(target: Target) -> bool:
    """Return whether this CPU executes code for `target` itself."""
    return is_native(target) and host().has_all(target.features)


def find_emulator(target: Target) -> Emulator | None:
    """Return the emulator for `target`, set to a CPU with the target's features; None if there is none."""
    binary = _emulator_binary(target.emulator)
    if not binary or host().system != "Linux":
        return None
    sysroot = Path("/usr") / target.triple
    library = ("-L", str(sysroot)) if sysroot.is_dir() and not is_native(target) else ()
    return Emulator((binary, "-cpu", _emulated_cpu(binary, target.emulator_cpu), *library), _version(binary))


def launcher(target: Target) -> tuple[str, ...]:
    """Return what to put before a program's path to run it: nothing, or the emulator's command."""
    emulator = None if runs_natively(target) else find_emulator(target)
    return emulator.argv if emulator else ()


def _emulator_advice(target: Target) -> str:
    return f", and there is no {target.emulator} ({INSTALL_EMULATOR})" if target.emulator else ""


def _emulator_binary(name: str) -> str:
    if not name:
        return ""
    return shutil.which(name) or shutil.which(f"{name}-static") or ""


@functools.cache
def _emulated_cpu(binary: str, cpu: str) -> str:
    """Return `cpu` if this emulator models it, else the one with every feature."""
    models = execute((binary, "-cpu", "help"), timeout=60).stdout.split()
    return cpu if cpu in models else "max"


@functools.cache
def _version(binary: str) -> str:
    try:
        return execute((binary, "--version"), timeout=60).stdout.splitlines()[0]
    except (ToolchainError, IndexError):
        return Path(binary).name
