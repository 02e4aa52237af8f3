"""Compilers and emulators: find them, run them, say what is missing."""

from .compiler import SANITIZE_FLAGS, WARNING_FLAGS, Compiler
from .emulator import Emulator, Run, cannot_run, find_emulator, run
from .find import find_compiler, find_compilers
from .status import TargetStatus, describe, table

__all__ = [
    "SANITIZE_FLAGS",
    "WARNING_FLAGS",
    "Compiler",
    "Emulator",
    "Run",
    "TargetStatus",
    "cannot_run",
    "describe",
    "find_compiler",
    "find_compilers",
    "find_emulator",
    "run",
    "table",
]
