"""Run an artifact from Python, natively or under an emulator, with numpy arrays in and out."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import ToolchainError, UsageError
from ..escaping import escape
from ..ir import Graph, TensorType
from ..ir.aliases import Alias
from ..ir.dims import upper
from ..ir.evaluate import bind_inputs
from ..ir.sizes import find_sizes
from ..targets import Target, get_target
from ..toolchain import cannot_run, run
from ..toolchain.emulator import runs_natively
from .compare import Difference
from .native import Native, as_aligned
from .report import aliases_in, read_report, size_slots, symbols_of, tensors
from .shared import buffer_behind, copy_in, part_of, put_in

Array = np.ndarray
LIBRARY, SELFTEST = "libmodel.so", "selftest"
EMULATOR_TIMEOUT = 3600.0
MOST_THREADS = 1024


class Product(NamedTuple):
    """What a build makes, in a word, and its file."""

    name: str
    file: str


class Artifact:
    """A compiled model. Call it with arrays in the order of its inputs, or by name.

    It returns one array if the model has one output, else a tuple in the order of the outputs. `folder` holds the
    files, `report` the content of report.json, `times` the seconds of each phase if it was compiled just now.
    """

    product = Product("library", LIBRARY)

    def __init__(self, folder: Path, threads: int = 1, times: Mapping[str, float] | None = None) -> None:
        """Open the artifact in `folder`, to run on `threads` threads; `load` does the same."""
        check_threads(threads)
        self.folder = Path(folder)
        self.report = read_report(self.folder)
        self.inputs: dict[str, TensorType] = dict(tensors(self.report, "inputs"))
        self.outputs: dict[str, TensorType] = dict(tensors(self.report, "outputs"))
        self.symbols = symbols_of(self.report)
        self.aliases = aliases_in(self.report)
        self.threads = threads
        self.times: dict[str, float] = dict(times or {})
        self._owned: tempfile.TemporaryDirectory[str] | None = None

    def __call__(self, *arrays: Any, **named: Any) -> Array | tuple[Array, ...]:
        """Run the model once; UsageError where the arrays do not match its inputs."""
        if arrays and named:
            raise UsageError("give all arrays by place or all by name")
        outputs = tuple(self._run(self._bind(named if named else arrays)))
        return outputs[0] if len(outputs) == 1 else outputs

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Run the model once on named arrays; returns the outputs by name."""
        return dict(zip(self.outputs, self._run(self._bind(inputs)), strict=True))

    def update(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Run the model once on named arrays and update those in place that share the buffer of an output.

        They must be parts of such a buffer, as `new_buffer` makes it: `cache[:, :, :past]`. The outputs are parts of
        the same memory. UsageError where an array is none, or has no room for the output.
        """
        self._require_runnable()
        arrays = self._checked(inputs)
        sizes = self.sizes_of(arrays)
        outputs = self.new_outputs(sizes)
        for alias in self.aliases:
            outputs[alias.output] = self._buffer_of(alias, arrays[alias.input], sizes)
        if not self.runs_natively:
            return dict(zip(self.outputs, self._copied_back(self._run(_aligned_all(arrays)), outputs), strict=True))
        put_in(self.aliases, arrays, outputs)
        return dict(zip(self.outputs, self._run_on(_aligned_all(arrays), outputs, sizes), strict=True))

    def new_buffer(self, name: str) -> Array:
        """Return zeros for an input that shares the buffer of an output, as large as it can get."""
        alias = next((one for one in self.aliases if list(self.inputs)[one.input] == name), None)
        if alias is None:
            shared = [escape(list(self.inputs)[one.input]) for one in self.aliases]
            raise UsageError(f"input '{escape(name)}' shares no buffer with an output", hint=f"those do: {shared}")
        return np.zeros(tuple(map(upper, alias.type.shape)), alias.type.dtype.numpy)

    def _buffer_of(self, alias: Alias, array: Array, sizes: Mapping[str, int]) -> Array:
        found = buffer_behind(array, alias.type.at(sizes))
        if found is None:
            name = escape(list(self.inputs)[alias.input])
            what = f"input '{name}' is not the beginning of a {alias.type.at(sizes)} that can be written"
            raise UsageError(what, hint=f"give a part of new_buffer('{name}'), or call run, which copies")
        return found

    def run_many(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Run the model on many samples: arrays whose first dimension is a multiple of the input's.

        Returns the outputs, concatenated along their first dimension. A model with open sizes runs once, on all.
        """
        arrays = {name: np.asarray(array) for name, array in inputs.items()}
        if self.symbols:
            return self.run(arrays)
        count = self._count(arrays)
        pieces = [{name: _piece(array, i, count) for name, array in arrays.items()} for i in range(count)]
        results = self._run_all([self._bind(piece) for piece in pieces])
        columns = zip(*results, strict=True) if results else ((np.empty(t.shape),) for t in self.outputs.values())
        return {name: np.concatenate(column) for name, column in zip(self.outputs, columns, strict=True)}

    def bind_steps(self, inputs: Mapping[str, Any]) -> list[Callable[[], int]]:
        """Return a call for each step of a run on named arrays, for profiling; they are to be called in order."""
        self._require_runnable()
        arrays = self._bind(inputs)
        sizes = self.sizes_of(arrays)
        outputs, arena = self.new_outputs(sizes), self.native.new_arena()
        copy_in(self.aliases, arrays, outputs)
        return self.native.bind_steps(arrays, outputs, arena, tuple(sizes.values()))

    def repeated(self, inputs: Mapping[str, Any]) -> tuple[dict[str, Array], Callable[[], int]]:
        """Run once on named arrays; returns the outputs and a call that runs again on the same buffers, for timing.

        What shares its buffer with an output goes on from run to run.
        """
        self._require_runnable()
        arrays = self._bind(inputs)
        sizes = self.sizes_of(arrays)
        outputs = [as_aligned(array) for array in self.new_outputs(sizes)]
        arrays = [as_aligned(array) for array in arrays]
        copy_in(self.aliases, arrays, outputs)
        given: Any = self.native.sizes(tuple(sizes.values())) if self._slots else ()
        call = self.native.bind(arrays, outputs, self.native.new_arena(), self.threads, given)
        self.native.check(call())
        found = zip(self.outputs, self._cut_to(outputs, given), strict=True)
        return {name: array.copy() for name, array in found}, call

    def run_stacked(self, arrays: Sequence[Any]) -> list[Array]:
        """Run the model on samples stacked along a new first axis, one array for each input in order.

        Returns the outputs, stacked the same way.
        """
        samples = [self._bind(sample) for sample in zip(*arrays, strict=True)]
        return [np.stack(column) for column in zip(*self._run_all(samples), strict=True)]

    def compare_inside(self, graph: Graph, inputs: Mapping[str, Array]) -> list[Difference]:
        """What outputs alone do not tell, compared with the graph that the passes left; for most artifacts nothing."""
        return []

    @property
    def cannot_run(self) -> str:
        """Why the model cannot run here; empty if it can."""
        if not (self.folder / SELFTEST).is_file() or not (self.folder / LIBRARY).is_file():
            return str(self.report.get("toolchain", {}).get("reason") or "the artifact holds no built library")
        return cannot_run(self.target)

    @cached_property
    def target(self) -> Target:
        """The target that the artifact was compiled for."""
        row = self.report.get("row") or self.report["target"]
        return get_target(row, self.report.get("cpu") or None)

    @property
    def description(self) -> str:
        """What the target is, in words."""
        return self.target.description

    @property
    def runs_natively(self) -> bool:
        """Whether this process can call the library."""
        return not self.cannot_run and runs_natively(self.target)

    @cached_property
    def native(self) -> Native:
        """The loaded library; ToolchainError where it cannot be loaded."""
        self._require_runnable()
        return Native(self.folder / LIBRARY, self.report["arena"]["bytes"], self._slots)

    def __repr__(self) -> str:
        described = [", ".join(f"{escape(n)}: {t}" for n, t in part.items()) for part in (self.inputs, self.outputs)]
        return f"<Artifact '{self.folder}' for {self.target.name}: ({described[0]}) -> ({described[1]})>"

    # --- arrays ---------------------------------------------------------------------------------------------------

    def _bind(self, inputs: Mapping[str, Any] | Sequence[Any]) -> list[Array]:
        return _aligned_all(self._checked(inputs))

    def _checked(self, inputs: Mapping[str, Any] | Sequence[Any]) -> list[Array]:
        """The arrays in the order of the inputs, as they are given."""
        graph = Graph()
        for name, kind in self.inputs.items():
            graph.input(kind, name)
        if isinstance(inputs, Mapping):
            return bind_inputs(graph, {name: np.asarray(array) for name, array in inputs.items()}, "K")
        return bind_inputs(graph, [np.asarray(array) for array in inputs], "K")

    def _count(self, arrays: Mapping[str, Array]) -> int:
        counts = {_samples(name, array, self.inputs) for name, array in arrays.items() if name in self.inputs}
        if len(counts) > 1:
            raise UsageError(f"the inputs hold different numbers of samples: {sorted(counts)}")
        if any(not kind.shape for kind in (*self.inputs.values(), *self.outputs.values())):
            raise UsageError("a model with scalar inputs or outputs runs one sample at a time")
        return next(iter(counts), 1)

    def sizes_of(self, arrays: Sequence[Array]) -> dict[str, int]:
        """Return the open sizes that inputs have; UsageError where they are out of bounds. A run may find others."""
        if not self.symbols:
            return {}
        shapes = {name: tuple(array.shape) for name, array in zip(self.inputs, arrays, strict=True)}
        found = find_sizes(self.inputs, shapes)
        return {name: found[name] for name in self.symbols if name in found}

    def new_outputs(self, sizes: Mapping[str, int]) -> list[Array]:
        """Return arrays for the outputs of a run of these sizes, as large as those that it finds may make them."""
        kinds = [kind.at(sizes) for kind in self._output_buffers]
        return [np.empty(tuple(map(upper, kind.shape)), kind.dtype.numpy) for kind in kinds]

    @property
    def _output_buffers(self) -> list[TensorType]:
        """The types of the outputs, or of the buffers that they share with inputs."""
        shared = {alias.output: alias.type for alias in self.aliases}
        return [shared.get(i, kind) for i, kind in enumerate(self.outputs.values())]

    @property
    def _slots(self) -> int:
        return size_slots(self.report)

    def _cut_to(self, outputs: list[Array], sizes: Iterable[int]) -> list[Array]:
        """Return the part of each output that the sizes of a run leave: it is dense in them."""
        chosen = dict(zip(self.symbols, sizes, strict=False))
        shapes = [kind.at(chosen).shape for kind in self._output_buffers]
        pairs = zip(outputs, shapes, strict=True)
        dense = [array.reshape(-1)[: math.prod(shape)].reshape(shape) for array, shape in pairs]
        return [part_of(a, kind.at(chosen).shape) for a, kind in zip(dense, self.outputs.values(), strict=True)]

    # --- running --------------------------------------------------------------------------------------------------

    def _copied_back(self, results: list[Array], outputs: list[Array]) -> list[Array]:
        """Results of a run that had buffers of its own, those that are shared in the buffers that were given."""
        found = list(results)
        for alias in self.aliases:
            found[alias.output] = part_of(outputs[alias.output], results[alias.output].shape)
            found[alias.output][...] = results[alias.output]
        return found

    def _run(self, arrays: list[Array]) -> list[Array]:
        return self._run_all([arrays])[0]

    def _run_all(self, samples: list[list[Array]]) -> list[list[Array]]:
        self._require_runnable()
        if self.runs_natively:
            return [self._run_native(arrays) for arrays in samples]
        return self._run_emulated(samples) if samples else []

    def _run_native(self, arrays: list[Array]) -> list[Array]:
        sizes = self.sizes_of(arrays)
        outputs = self.new_outputs(sizes)
        arrays = list(arrays)
        copy_in(self.aliases, arrays, outputs)
        return self._run_on(arrays, outputs, sizes)

    def _run_on(self, arrays: list[Array], outputs: list[Array], sizes: Mapping[str, int]) -> list[Array]:
        given: Any = self.native.sizes(tuple(sizes.values())) if self._slots else ()
        self.native.run(arrays, outputs, self.threads, given)
        return self._cut_to(outputs, given)

    def _run_emulated(self, samples: list[list[Array]]) -> list[list[Array]]:
        with tempfile.TemporaryDirectory(prefix="edgec-") as name:
            given, got = Path(name) / "in", Path(name) / "out"
            chosen = [self.sizes_of(arrays) for arrays in samples]
            heads = [np.array([*sizes.values(), *[0] * (self._slots - len(sizes))], np.uint64) for sizes in chosen]
            rows = zip(heads, map(self._as_stored, samples, chosen), strict=True)
            given.write_bytes(b"".join(array.tobytes() for head, arrays in rows for array in (head, *arrays)))
            arguments = ["run", str(given), str(got), str(len(samples)), str(self.threads)]
            result = run(self.target, self.folder / SELFTEST, arguments, EMULATOR_TIMEOUT)
            if not result.ok:
                raise ToolchainError(f"the model failed (exit status {result.returncode})", hint=result.stderr.strip())
            return self._cut(got.read_bytes(), len(samples))

    def _cut(self, data: bytes, count: int) -> list[list[Array]]:
        samples, start = [], 0
        for _ in range(count):
            sizes = np.frombuffer(data, np.uint64, self._slots, start)
            start += sizes.nbytes
            outputs = self.new_outputs({name: int(size) for name, size in zip(self.symbols, sizes, strict=False)})
            for array in outputs:
                array[...] = np.frombuffer(data, array.dtype, array.size, start).reshape(array.shape)
                start += array.nbytes
            samples.append(self._cut_to(outputs, map(int, sizes)))
        return samples

    def _as_stored(self, arrays: list[Array], sizes: Mapping[str, int]) -> list[Array]:
        """Arrays as the self-test reads them: those that share the buffer of an output lie in one."""
        stored = list(arrays)
        copy_in(self.aliases, stored, [np.zeros_like(buffer) for buffer in self.new_outputs(sizes)])
        return stored

    def _require_runnable(self) -> None:
        if self.cannot_run:
            what = f"the artifact for '{self.target.name}' cannot run here: {self.cannot_run}"
            raise ToolchainError(what, escape(str(self.folder)), "see `python -m edgec targets`")


def check_threads(threads: int) -> None:
    """UsageError where an artifact cannot run on so many threads."""
    if not isinstance(threads, Integral) or not 1 <= threads <= MOST_THREADS:
        raise UsageError(f"cannot run on {threads} threads", hint=f"ask for 1 to {MOST_THREADS}")


def load(folder: str | Path, threads: int = 1) -> Artifact:
    """Open the artifact in `folder`; UsageError if there is none, ModelError if it is damaged."""
    return Artifact(Path(folder), threads)


def _aligned_all(arrays: list[Array]) -> list[Array]:
    return [np.require(array, requirements=["C", "A"]) for array in arrays]


def _samples(name: str, array: Array, inputs: Mapping[str, TensorType]) -> int:
    shape = inputs[name].shape
    if not shape or not array.ndim or not shape[0] or array.shape[0] % shape[0]:
        raise UsageError(f"input '{escape(name)}' expects a multiple of {inputs[name]}, got {list(array.shape)}")
    return int(array.shape[0] // shape[0])


def _piece(array: Array, index: int, count: int) -> Array:
    if not array.ndim:
        return array
    step = array.shape[0] // count
    return array[index * step : (index + 1) * step]
