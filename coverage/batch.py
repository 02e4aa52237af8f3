"""Many models in one program: one call of the C compiler, and one run that goes on where a model dies."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..backends.c import emit
from ..backends.c.emit import Emitted
from ..errors import ToolchainError
from ..ir import Graph
from ..targets import Target
from ..toolchain import Compiler, run

Array = np.ndarray
RUNNER = Path(__file__).parent / "runner.c"
FLAGS = ("-O1", "-w")
TIMEOUT = 120.0
DONE, BEGUN = 1, 3
STATUS = struct.Struct("=Q")

_STATIC = re.compile(r"^static [\w ]*?\**(\w+)\(", re.MULTILINE)
_OWN = re.compile(r"\b(?:model|MODEL)_\w+")
_GUARD = re.compile(r"^#(?:ifndef|define) MODEL_H$|^#endif\n\Z", re.MULTILINE)


@dataclass(frozen=True)
class Model:
    """A planned graph, its C, and the inputs to run it on."""

    graph: Graph
    emitted: Emitted
    samples: Sequence[list[Array]]

    @staticmethod
    def of(graph: Graph, target: Target, samples: Sequence[list[Array]]) -> Model:
        return Model(graph, emit(graph, target), samples)

    @property
    def sizes(self) -> list[int]:
        """The bytes of inputs and outputs."""
        return [value.type.bytes for value in (*self.graph.inputs, *self.graph.outputs)]

    def read(self, data: bytes, start: int) -> list[Array]:
        """The outputs that stand in the bytes from `start` on."""
        arrays = []
        for value in self.graph.outputs:
            kind, size = value.dtype.numpy, value.type.size
            arrays.append(np.frombuffer(data, kind, size, start).reshape(value.shape))
            start += value.type.bytes
        return arrays


def run_models(models: Sequence[Model], compiler: Compiler, folder: Path) -> Iterator[list[list[Array]] | str]:
    """The outputs of each model for each of its samples, or why there are none.

    Where the C of all models together does not compile, each half is tried by itself.
    """
    try:
        program = _compile(models, compiler, folder)
    except ToolchainError as error:
        if len(models) == 1:
            yield f"the C does not compile: {(*error.details, error.what)[0]}"
            return
        for part in (models[: len(models) // 2], models[len(models) // 2 :]):
            yield from run_models(part, compiler, folder)
        return
    yield from _run(models, program, compiler.target, folder)


# --- one translation unit ---------------------------------------------------------------------------------------------


def _compile(models: Sequence[Model], compiler: Compiler, folder: Path) -> Path:
    (folder / "kernels" / "simd").mkdir(parents=True, exist_ok=True)
    for place, model in enumerate(models):
        for name, content in model.emitted.files.items():
            if name.startswith("kernels/"):
                (folder / name).write_bytes(content)
        (folder / f"weights{place}.bin").write_bytes(model.emitted.files["weights.bin"])
    (folder / "batch.h").write_text(_batch(models), encoding="utf-8")
    (folder / "weights.S").write_text(_weights(len(models)), encoding="utf-8")
    (folder / "runner.c").write_bytes(RUNNER.read_bytes())
    sources = [folder / "runner.c", folder / "weights.S"]
    return compiler.compile(sources, folder / "batch", "executable", flags=FLAGS)


def _batch(models: Sequence[Model]) -> str:
    """The header that `runner.c` takes in: the C of all models, and tables of them."""
    parts = [_prefixed(_source(model), f"m{place}_") for place, model in enumerate(models)]
    parts += [_run_of(model, place) for place, model in enumerate(models)]
    rows = [_row(model, place) for place, model in enumerate(models)]
    sizes = [f"static const size_t sizes{i}[] = {{{_numbers(model.sizes)}}};" for i, model in enumerate(models)]
    order = [i for i, model in enumerate(models) for _ in model.samples]
    tables = [
        "static const batch_model batch_models[] = {", *rows, "};",
        f"static const size_t batch_samples[] = {{{_numbers(order)}}};",
    ]  # fmt: skip
    return "\n".join([*parts, *sizes, *tables, ""])


def _row(model: Model, place: int) -> str:
    counts = len(model.graph.inputs), len(model.graph.outputs)
    return f"    {{m{place}_run, {model.emitted.report['arena']['bytes']}, {_numbers(counts)}, sizes{place}}},"


def _run_of(model: Model, place: int) -> str:
    """The function that runs a model; one that finds sizes has room for them."""
    finds = "model_sizes" in model.emitted.files["model.h"].decode()
    room, more = (f"    m{place}_model_sizes sizes = {{0}};\n", ", &sizes") if finds else ("", "")
    run = f"{room}    return m{place}_model_run(inputs, outputs, arena{more});\n"
    return f"static int m{place}_run(const void *const *inputs, void *const *outputs, void *arena)\n{{\n{run}}}\n"


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "0"


def _source(model: Model) -> str:
    """model.c with model.h in the place where it is taken in."""
    header = _GUARD.sub("", model.emitted.files["model.h"].decode())
    return model.emitted.files["model.c"].decode().replace('#include "model.h"', header)


def _prefixed(source: str, prefix: str) -> str:
    """The same C with a prefix before every name of its own."""
    names = {*_STATIC.findall(source), *_OWN.findall(source)}
    own = re.compile(rf"\b(?:{'|'.join(sorted(names, key=len, reverse=True))})\b")
    return own.sub(lambda found: prefix + found[0], source)


def _weights(count: int) -> str:
    lines = [".section .rodata"]
    for place in range(count):
        name = f"m{place}_model_weights"
        lines += [f".globl {name}", ".p2align 6", f"{name}:", f'.incbin "weights{place}.bin"']
    return "\n".join([*lines, '.section .note.GNU-stack, "", %progbits', ""])


# --- running ----------------------------------------------------------------------------------------------------------


def _run(models: Sequence[Model], program: Path, target: Target, folder: Path) -> Iterator[list[list[Array]] | str]:
    given, got = folder / "in", folder / "out"
    given.write_bytes(b"".join(a.tobytes() for model in models for arrays in model.samples for a in arrays))
    starts = list(_starts(models))
    got.write_bytes(bytes(starts[-1]))
    ends = _run_all(program, target, given, got, starts)
    data, sample = got.read_bytes(), 0
    for model in models:
        places = range(sample, sample + len(model.samples))
        sample += len(model.samples)
        why = next((ends[place] for place in places if ends[place]), "")
        yield why or [model.read(data, starts[place] + STATUS.size) for place in places]


def _starts(models: Sequence[Model]) -> Iterator[int]:
    """Where the result of each sample begins, and where the last one ends."""
    at = 0
    for model in models:
        for _ in model.samples:
            yield at
            at += STATUS.size + sum(value.type.bytes for value in model.graph.outputs)
    yield at


def _run_all(program: Path, target: Target, given: Path, got: Path, starts: Sequence[int]) -> list[str]:
    """What went wrong with each sample; a run that dies goes on behind the sample that it died of."""
    ends: list[str] = []
    while len(ends) < len(starts) - 1:
        how = _run_from(program, target, given, got, len(ends))
        data = got.read_bytes()
        states = [STATUS.unpack_from(data, start)[0] for start in starts[len(ends) : -1]]
        finished = next((i for i, state in enumerate(states) if state in (0, BEGUN)), len(states))
        ends += ["" if state == DONE else "the model refuses to run" for state in states[:finished]]
        if finished < len(states):
            ends.append(how or "the program ended too early")
    return ends


def _run_from(program: Path, target: Target, given: Path, got: Path, first: int) -> str:
    try:
        done = run(target, program, [str(given), str(got), str(first)], TIMEOUT)
    except ToolchainError as error:
        return error.what
    return done.not_run or (f"the program died (exit status {done.returncode})" if done.returncode else "")
