"""Compiles graphs to artifacts and runs them, here or under an emulator, in memory that shows every stray access."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgec import driver
from edgec.artifact import Artifact
from edgec.errors import ToolchainError
from edgec.ir import Graph
from edgec.targets import get_target
from edgec.toolchain import Compiler, cannot_run, find_compiler
from edgec.toolchain.find import is_native

NATIVE = ("c", "x86-64", "x86-64-v3", "x86-64-v4")
FOREIGN = ("arm-neon", "armv7-neon")
TARGETS = NATIVE + FOREIGN
POISON = 0xFF  # as floats: NaN
GUARD = 256


def compiler_for(target: str, kind: str = "gcc") -> Compiler:
    """A compiler for a target; skips where it is missing or nothing built by it can run."""
    goal = get_target(target)
    reason = cannot_run(goal)
    if reason:
        pytest.skip(f"{target}: {reason}")
    try:
        return find_compiler(goal, kind)
    except ToolchainError as error:
        pytest.skip(error.what)


@contextmanager
def compiled(
    graph: Graph, target: str, fusion: str = "greedy", kind: str = "gcc", cpu: str | None = None
) -> Iterator[Artifact]:
    """The built artifact of a graph, in a folder that vanishes."""
    compiler_for(target, kind)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "artifact"
        yield driver.compile(
            graph, target, cpu=cpu, output=output, fusion=fusion, selftest=False, verify=True, compiler=kind
        )


def outputs(artifact: Artifact, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run once: in poisoned, guarded memory where this machine runs the code itself, else by the self-test program."""
    if is_native(artifact.target):
        return run_guarded(artifact, inputs)
    return artifact._run([np.ascontiguousarray(a) for a in inputs])


def run_guarded(artifact: Artifact, inputs: Sequence[np.ndarray], threads: int = 1) -> list[np.ndarray]:
    """Run with an arena and outputs full of NaN, none a byte larger than promised, between guard bytes."""
    arena = Guarded(artifact.report["arena"]["bytes"])
    sources = [np.asarray(a, order="C") for a in inputs]
    sizes = artifact.sizes_of(sources)
    kinds = [t.at(sizes) for t in artifact.outputs.values()]
    sinks = [Guarded(t.bytes) for t in kinds]
    before = [a.copy() for a in sources]
    call = artifact.native.bind(sources, [s.bytes for s in sinks], arena.bytes, threads, tuple(sizes.values()))
    assert call() == 0
    for guarded, name in zip((arena, *sinks), ("the arena", *artifact.outputs), strict=True):
        assert guarded.is_whole(), f"wrote beside {name}"
    for array, old in zip(sources, before, strict=True):
        assert array.tobytes() == old.tobytes(), "wrote to an input"
    return [s.bytes.view(t.dtype.numpy).reshape(t.shape).copy() for s, t in zip(sinks, kinds, strict=True)]


class Guarded:
    """Aligned bytes with guard bytes at both ends; all of them poison."""

    def __init__(self, size: int) -> None:
        room = np.full(size + 2 * GUARD + 64, POISON, np.uint8)
        start = GUARD + -(room.ctypes.data + GUARD) % 64
        self.room, self.start, self.size = room, start, size
        self.bytes = room[start : start + size]

    def is_whole(self) -> bool:
        """Whether nobody wrote outside."""
        return bool((self.room[: self.start] == POISON).all() and (self.room[self.start + self.size :] == POISON).all())
