"""A program that times every step of a model where it stands in the network, on this machine or on a device."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ToolchainError, UsageError
from ..ir import Graph
from ..targets import Target, cpu_model
from ..toolchain import Compiler
from ..toolchain.emulator import runs_natively
from ..toolchain.process import check, execute
from .folder import write_files
from .support import FOLDER

PROGRAM = "timing"
PLACE = "{}"
LONGEST = 600.0
"""Seconds that a program may take beyond those that it was asked for."""


@dataclass(frozen=True)
class Times:
    """The CPU that ran, and seconds of each step: the least of all runs."""

    cpu: str
    seconds: tuple[float, ...]


def build_timing(
    folder: Path, files: Mapping[str, bytes], graph: Graph, compiler: Compiler, timeout: float = 600.0
) -> Path:
    """Build the program for the files of a model; `timeout` bounds each call of the compiler, in seconds."""
    support = {name: (FOLDER / name).read_bytes() for name in ("timing.c", "weights.S")}
    write_files(folder, {**files, **support, "timing.h": _header(graph)})
    sources = [folder / name for name in ("model.c", "weights.S", "timing.c")]
    return compiler.compile(sources, folder / PROGRAM, "executable", timeout=timeout)


def check_runner(target: Target, runner: str) -> None:
    """UsageError where times of a target cannot be taken: its code does not run here, and no `runner` is given."""
    if runner and runner.count(PLACE) != 1:
        raise UsageError(f"the runner names the program {runner.count(PLACE)} times", hint="as 'run-on-device {}'")
    if not runner and not runs_natively(target):
        what = f"this machine cannot run code for '{target.name}', and under an emulator time means nothing"
        raise UsageError(what, hint="name what runs a program on the device: --runner 'run-on-device {}'")


def take_times(program: Path, seconds: float, runner: str = "") -> Times:
    """Run the program for some seconds; `runner` is a command in which `{}` stands for its path."""
    words = shlex.split(runner) if runner else [PLACE]
    command = [word.replace(PLACE, str(program)) for word in words]
    done = check(execute([*command, f"{seconds:.3f}"], timeout=seconds + LONGEST), "the timed program failed")
    steps = re.findall(r"^step (\d+) (\d+)$", done.stdout, re.MULTILINE)
    if not steps or [int(number) for number, _ in steps] != list(range(len(steps))):
        raise ToolchainError("the timed program said no times", hint="the runner must pass its output on")
    cpu = "\n".join(re.findall(r"^cpu (.*)$", done.stdout, re.MULTILINE))
    return Times(cpu_model(cpu), tuple(1e-9 * max(float(time), 1.0) for _, time in steps))


def _header(graph: Graph) -> bytes:
    """Sizes of the tensors, and which inputs are floats."""
    columns = {
        "size_t timing_input_bytes": [value.type.most_bytes for value in graph.inputs],
        "int timing_input_floats": [int(value.dtype.name == "f32") for value in graph.inputs],
        "size_t timing_output_bytes": [value.type.most_bytes for value in graph.outputs],
    }
    lines = [f"static const {name}[] = {{{', '.join(map(str, [*n, 0]))}}};" for name, n in columns.items()]
    return "\n".join(["#include <stddef.h>", *lines, ""]).encode()
