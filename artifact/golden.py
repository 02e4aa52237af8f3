"""The golden sample: inputs that are the same on every machine, and what the reference makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import EdgecError, ModelError, UsageError
from ..escaping import escape
from ..ir import Graph, TensorType, Value
from ..ir.aliases import Alias
from ..ir.evaluate import bind_inputs, evaluate_and_find, sizes_of
from ..ir.op import as_wide
from ..ir.ops import CannotRun, ControlFlow, Equal, Impossible, array_of
from ..ir.sizes import fixed
from ..ir.strings import as_numbers, words
from .shared import part_of
from .support.open_sizes import UNFIT

if TYPE_CHECKING:
    from .artifact import Artifact

Array = np.ndarray
GOLDEN = "golden.bin"
SEED = 0
DRAWS = 16


def golden_inputs(graph: Graph, seed: int = SEED) -> dict[str, Array]:
    """Return an array for each input: floats around 0, bytes of any value, wide integers 0 or 1.

    Wide integers are mostly masks, lengths and places in tables, and few tables have fewer than two rows. An input that
    chooses a branch by being equal to a constant is that constant. Open sizes are as large as they get.
    """
    chosen = {v.name: found for v in graph.inputs if (found := _choosing(v)) is not None}
    return _drawn(graph, seed) | chosen


def _drawn(graph: Graph, seed: int) -> dict[str, Array]:
    random, largest = np.random.default_rng(seed), {s.name: s.high for s in graph.chosen_sizes.values()}
    drawn = {value.name: _draw(value.type.at(largest), random) for value in graph.inputs}
    examples: Mapping[str, Array] = graph.metadata.get("examples", {})
    return {**drawn, **{name: array for name, array in examples.items() if name in drawn}}


def _choosing(value: Value) -> Array | None:
    """The constant that an input is compared with where that decides what runs."""
    for user in value.users:
        if isinstance(user, Equal) and any(isinstance(u, ControlFlow) for u in user.result.users):
            known = array_of(user.y if user.x is value else user.x)
            if known is not None:
                return np.asarray(np.broadcast_to(known, value.shape), value.dtype.numpy)
    return None


def golden_sample(graph: Graph, given: Mapping[str, Array] | None = None) -> tuple[list[Array], list[Array]]:
    """Return golden inputs (those that are given, where they are) and the outputs that numpy computes.

    A second draw keeps roots and logarithms real; others follow where inputs choose a branch that cannot run.
    UsageError where the graph runs on none.
    """
    found: tuple[list[Array], list[Array]] | None = None
    refused: EdgecError = UsageError("there is no sample")
    for inputs in [given] if given else _draws(graph):
        try:
            with np.errstate(all="ignore"):
                outputs = graph.evaluate(dict(inputs))
        except (CannotRun, UsageError) as error:  # inputs that choose what is not there, or do not give its sizes
            refused = error
            continue
        found = list(inputs.values()), outputs
        if all(np.isfinite(as_wide(as_numbers(output))).all() for output in outputs):
            break
    if found is None:
        raise _no_sample(refused, given is not None)
    return found


def _no_sample(refused: EdgecError, given: bool) -> UsageError:
    """The error where nothing runs, because branches or sizes that were compiled for hold for other inputs."""
    if given:
        return UsageError(f"the model does not run on its sample: {refused.what}", where=refused.where)
    hint = "compile with inputs that it takes: --sample FILE.npz (in Python sample={name: array})"
    return UsageError(f"the model runs on no random inputs: {refused.what}", where=refused.where, hint=hint)


def sample_for(graph: Graph, given: Mapping[str, Any]) -> dict[str, Array]:
    """Return the first of many samples, in the order of the inputs; UsageError where the arrays do not fit."""
    arrays = {name: np.asarray(array) for name, array in given.items()}
    for value in graph.inputs:
        if value.name in arrays and value.shape and not value.type.is_open:
            arrays[value.name] = arrays[value.name][: value.shape[0]]
    return dict(zip((value.name for value in graph.inputs), bind_inputs(graph, arrays), strict=True))


def _draws(graph: Graph) -> Iterator[Mapping[str, Array]]:
    drawn = golden_inputs(graph)
    yield drawn
    examples = graph.metadata.get("examples", {})
    above = {name: _above(one) for name, one in drawn.items()}
    yield {name: drawn[name] if name in examples else one for name, one in above.items()}
    if graph.checks_run or any(isinstance(op, Impossible) for op in graph.every_op):
        yield from (_drawn(graph, seed) for seed in range(SEED + 1, SEED + DRAWS))


def _above(array: Array) -> Array:
    return array if array.dtype.kind == "S" else np.abs(as_wide(array)).astype(array.dtype)


@dataclass(frozen=True)
class Sample:
    """Inputs and what the reference makes of them, with the open sizes that they have."""

    sizes: Mapping[str, int]
    inputs: list[Array]
    outputs: list[Array]


def golden_samples(graph: Graph, given: Mapping[str, Array] | None = None) -> list[Sample]:
    """Return the golden sample; three for a graph with open sizes: at both ends of the bounds and between them.

    Where inputs are given they are the only one.
    """
    if given:
        return [_sample(graph, sizes_of(graph, list(given.values())), given)]
    return [_sample(graph, sizes, given) for sizes in sizes_to_try(graph)]


def _sample(graph: Graph, sizes: Mapping[str, int], given: Mapping[str, Array] | None) -> Sample:
    inputs, outputs = golden_sample(fixed(graph, sizes), given)
    if graph.checks_run:
        sizes = {**evaluate_and_find(graph, inputs)[1], UNFIT: 0}
    return Sample(sizes, inputs, outputs)


def sizes_to_try(graph: Graph) -> list[dict[str, int]]:
    """Return the least sizes, some between and the largest; one empty choice where no size is open."""
    symbols = graph.chosen_sizes.values()
    ends = [{s.name: s.low for s in symbols}, {s.name: s.high for s in symbols}]
    between = {s.name: (s.low + s.high) // 2 for s in symbols}
    found = [ends[0], between, ends[1]]
    return [sizes for i, sizes in enumerate(found) if sizes not in found[:i]]


def golden_bytes(inputs: Sequence[Array], outputs: Sequence[Array]) -> bytes:
    """Return the content of golden.bin: all inputs, then all outputs, raw and in order."""
    return b"".join(np.ascontiguousarray(array).tobytes() for array in (*inputs, *outputs))


def stored_inputs(artifact: Artifact) -> dict[str, Array]:
    """Return the inputs of an artifact's golden sample; random ones of the largest sizes where their sizes are open.

    ModelError where golden.bin is shorter than they are.
    """
    path = artifact.folder / GOLDEN
    if any(kind.is_open for kind in artifact.inputs.values()) or not path.is_file():
        graph = Graph()
        for name, kind in artifact.inputs.items():
            graph.input(kind, name)
        return golden_inputs(graph)
    shared = {alias.input: alias.type for alias in artifact.aliases}
    kinds = [shared.get(place, kind) for place, kind in enumerate(artifact.inputs.values())]
    arrays = _arrays_in(path, kinds)
    return {n: part_of(a, k.shape) for (n, k), a in zip(artifact.inputs.items(), arrays, strict=True)}


def _arrays_in(path: Path, kinds: Sequence[TensorType]) -> list[Array]:
    """Arrays that a file begins with."""
    content, arrays, start = path.read_bytes(), [], 0
    for kind in kinds:
        end = start + kind.size * kind.dtype.numpy.itemsize
        if end > len(content):
            hint = "compile the model again"
            raise ModelError(f"{path.name} ends before the inputs do", where=escape(str(path.parent)), hint=hint)
        arrays.append(np.frombuffer(content[start:end], kind.dtype.numpy).reshape(kind.shape))
        start = end
    return arrays


def in_buffers(sample: Sample, aliases: Sequence[Alias]) -> Sample:
    """Return a sample whose inputs and outputs are buffers that both share, where they do; what is not filled is NaN.

    So the self-test sees it where more is read or written than the tensors.
    """
    inputs, outputs = list(sample.inputs), list(sample.outputs)
    for alias in aliases:
        kind = alias.type.at(sample.sizes)
        before = np.full(kind.shape, _filler(kind.dtype.numpy), kind.dtype.numpy)
        part_of(before, inputs[alias.input].shape)[...] = inputs[alias.input]
        after = before.copy()
        part_of(after, outputs[alias.output].shape)[...] = outputs[alias.output]
        inputs[alias.input], outputs[alias.output] = before, after
    return Sample(sample.sizes, inputs, outputs)


def _filler(kind: np.dtype) -> Array:
    return np.full(kind.itemsize, 0xFF, np.uint8).view(kind)[0]  # type: ignore[no-any-return]


def _draw(kind: TensorType, random: np.random.Generator) -> Array:
    wanted = kind.dtype.numpy
    if kind.dtype.is_text:
        return words(kind, random)
    if kind.dtype.is_integer and kind.dtype.is_narrow:
        return random.integers(0, 2**kind.dtype.bits, kind.shape).astype(wanted)
    if kind.dtype.is_float:
        return np.asarray(random.standard_normal(kind.shape)).astype(wanted)
    if wanted.itemsize > 2 or wanted == np.bool_:
        return np.asarray(random.integers(0, 2, kind.shape), wanted)
    limits = np.iinfo(wanted)
    return np.asarray(random.integers(limits.min, limits.max, kind.shape, endpoint=True), wanted)
