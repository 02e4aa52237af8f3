"""What an engine is asked for, and what it answers with."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ToolchainError
from ...escaping import escape

Array = np.ndarray
Bound = tuple[Callable[[], Any], Callable[[], dict[str, Array]]]
"""A call that runs the model once on bound buffers, and one that returns the outputs of the last run by name."""
OFFLINE = {"PIP_NO_INDEX": "1"}
"""For converters: MNN's would install a package with pip, which reports what is converted."""


@dataclass(frozen=True)
class Job:
    """A model with its inputs; `threads` of 0 leaves the number to the engine.

    `isa` is the instruction set that the engine is to keep to although the CPU has more; without it, all that it has.
    """

    model: Path
    inputs: Mapping[str, Array]
    threads: int = 0
    isa: str = ""

    @cached_property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of the outputs, for engines that keep neither."""
        from ...driver import import_model

        graph = import_model(self.model, {name: array.shape for name, array in self.inputs.items()})
        return {name: v.shape for name, v in zip(graph.output_names, graph.outputs, strict=True)}


def installed(package: str) -> Any:
    """An engine's package; ToolchainError if it is not there."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ToolchainError(f"{package} is not installed", hint=f"pip install {package}") from error


def convert(program: str, arguments: Sequence[str], folder: Path) -> None:
    """Run a converter that an engine's package installs beside Python; ToolchainError with its last words."""
    path = Path(sys.executable).parent / program
    if not path.is_file():
        raise ToolchainError(f"{program} is not installed", hint=f"pip install {program}")
    variables = {**os.environ, **OFFLINE}
    done = subprocess.run([str(path), *arguments], cwd=folder, env=variables, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ToolchainError(f"{program} failed: {escape(said[-1], 300) if said else done.returncode}")
