"""Find the compilers that serve a target: the system's, a cross compiler, or zig."""

from __future__ import annotations

import functools
import importlib.util
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import ToolchainError
from ..escaping import escape
from ..targets import Target, host
from .compiler import Compiler
from .process import execute

ENVIRONMENT_VARIABLE = "EDGEC_CC"
NATIVE_NAMES = ("gcc", "clang", "cc")
INSTALL_ZIG = "pip install ziglang"
_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64", "arm": "armv7"}
_ARCHITECTURES |= {"riscv64": "riscv64"}
_LIBC_PACKAGES = {
    "x86_64": "libc6-dev-amd64-cross",
    "aarch64": "libc6-dev-arm64-cross",
    "armv7": "libc6-dev-armhf-cross",
    "riscv64": "libc6-dev-riscv64-cross",
}
_KINDS = ("gcc", "clang", "zig")
_VERSION_TIMEOUT = 60.0


def find_compiler(target: Target, requested: str = "") -> Compiler:
    """Return the compiler for `target`.

    `requested`, or else the environment variable EDGEC_CC, is gcc, clang, zig or a command (`ccache gcc`);
    without it the first of `find_compilers` is taken. Raises ToolchainError that says what to install.
    """
    wish = requested or os.environ.get(ENVIRONMENT_VARIABLE, "")
    if wish:
        return _requested(target, wish)
    for compiler in _available(target):
        return compiler
    raise ToolchainError(f"no C compiler for target '{target.name}'", _searched(target), install_hint(target))


def find_compilers(target: Target) -> tuple[Compiler, ...]:
    """Return all compilers here that serve `target`, the preferred one first."""
    return tuple(_available(target))


def is_native(target: Target) -> bool:
    """Return whether this machine's own compilers make code for `target`."""
    return target.arch in ("any", host().arch)


def install_hint(target: Target) -> str:
    """Return what to type to get a compiler for `target`."""
    packages = "gcc libc6-dev"
    if not is_native(target):
        packages = f"gcc-{target.triple.replace('_', '-')} {_LIBC_PACKAGES[target.arch]}"
    return f"{INSTALL_ZIG}, or apt-get install {packages}"


def zig_command() -> tuple[str, ...]:
    """Return the command of zig's C compiler, from the ziglang wheel or else from PATH; empty if there is none."""
    wheel = importlib.util.find_spec("ziglang")
    folder = Path(wheel.origin).parent if wheel and wheel.origin else None
    inside = shutil.which("zig", path=str(folder)) if folder else None
    binary = inside or shutil.which("zig")
    return (binary, "cc") if binary else ()


def _available(target: Target) -> Iterator[Compiler]:
    seen: set[str] = set()
    for command in _candidates(target):
        compiler = _try_compiler(target, command)
        if compiler and compiler.version not in seen:
            seen.add(compiler.version)
            yield compiler


def _candidates(target: Target) -> Iterator[tuple[str, ...]]:
    names = NATIVE_NAMES if is_native(target) else (f"{target.triple}-gcc",)
    for name in names:
        found = shutil.which(name)
        if found:
            yield (found,)
    if zig_command():
        yield zig_command()


def _searched(target: Target) -> str:
    names = NATIVE_NAMES if is_native(target) else (f"{target.triple}-gcc",)
    return f"searched PATH for {', '.join(names)}, zig and Python for ziglang"


def _requested(target: Target, wish: str) -> Compiler:
    if wish in _KINDS:
        return _requested_kind(target, wish)
    command = tuple(shlex.split(wish))
    binary = shutil.which(command[0]) if command else None
    if binary is None:
        raise _missing(target, wish)
    return _serving(target, (binary, *command[1:]))


def _requested_kind(target: Target, kind: str) -> Compiler:
    cross = kind == "gcc" and not is_native(target)
    binary = shutil.which(f"{target.triple}-gcc" if cross else kind)
    command = zig_command() if kind == "zig" else (binary,) if binary else ()
    if not command:
        raise _missing(target, kind)
    return _serving(target, command)


def _missing(target: Target, wish: str) -> ToolchainError:
    return ToolchainError(f"no compiler '{escape(wish)}' for target '{target.name}'", hint=install_hint(target))


def _serving(target: Target, command: tuple[str, ...]) -> Compiler:
    kind, version, machine = _identify(command)
    if kind == "gcc" and not _serves(target, machine):
        what = f"'{shlex.join(command)}' makes code for {machine}, target '{target.name}' is {target.arch}"
        raise ToolchainError(what, version, install_hint(target))
    return Compiler(kind, command, version, target, is_native(target))


def _try_compiler(target: Target, command: tuple[str, ...]) -> Compiler | None:
    try:
        return _serving(target, command)
    except ToolchainError:
        return None


def _serves(target: Target, machine: str) -> bool:
    return target.arch in ("any", _ARCHITECTURES.get(machine.split("-")[0]))


@functools.cache
def _identify(command: tuple[str, ...]) -> tuple[str, str, str]:
    """Return kind, version and machine triple of a compiler; raises ToolchainError if it does not start."""
    if command[-1] == "cc" and len(command) > 1:
        return "zig", f"zig {_ask(command[:-1], 'version')}", ""
    banner = _ask(command, "--version")
    kind = "clang" if "clang" in banner.lower() else "gcc"
    return kind, banner.splitlines()[0], _ask(command, "-dumpmachine")


def _ask(command: tuple[str, ...], question: str) -> str:
    finished = execute((*command, question), timeout=_VERSION_TIMEOUT)
    if finished.returncode != 0 or not finished.stdout.strip():
        raise ToolchainError(f"'{shlex.join(command)}' does not answer {question}: is it a C compiler?")
    return finished.stdout.strip()
