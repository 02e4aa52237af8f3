"""Calibration and evaluation data: samples for the inputs of a graph, read one at a time and checked.

Three sources: an .npz file (one array for each input, first axis = samples, and where wanted `labels`), a folder of
.npy files (the same, one file an input; or for one input a file a sample), and a Python function that gives an iterable
of samples. Nothing is ever unpickled, and memory does not grow with the number of samples.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError, UsageError
from ..escaping import escape
from ..ir import TensorType
from .npy import Npy, npy_file, npy_member

Array = np.ndarray
Sample = Sequence[Array]
"""One array for each input, in the order of the inputs, in exactly their shapes."""

Source = str | Path | Callable[[], Iterable[Any]] | Mapping[str, Array]
LABELS = "labels"


@dataclass(frozen=True)
class Data:
    """Samples for named inputs; iterating starts anew each time. `where` says in messages what the data is."""

    inputs: Mapping[str, TensorType]
    read: Callable[[], Iterator[Mapping[str, Array]]]
    where: str
    stored_labels: Callable[[], Array | None] = lambda: None

    def __iter__(self) -> Iterator[list[Array]]:
        """One sample after another; ModelError naming tensor and sample where one does not fit."""
        count = 0
        for number, arrays in enumerate(self.read()):
            for sample in self._split(number, arrays):
                count += 1
                yield sample
        if not count:
            raise ModelError(f"{self.where} holds no samples", hint="give at least one")

    def chunks(self, size: int, limit: int | None = None) -> Iterator[list[Array]]:
        """Samples stacked along a new first axis, at most `size` at a time and `limit` in all."""
        held: list[list[Array]] = []
        for taken, sample in enumerate(self, start=1):
            held.append(sample)
            if len(held) == size or taken == limit:
                yield _stacked(held)
                held = []
            if taken == limit:
                return
        if held:
            yield _stacked(held)

    def labels(self) -> Array:
        """The labels, one for each sample; ModelError if there are none."""
        found = self.stored_labels()
        if found is None:
            raise ModelError(f"{self.where} holds no '{LABELS}'", hint=f"add an array '{LABELS}', first axis = samples")
        return found

    def _split(self, number: int, arrays: Mapping[str, Array]) -> Iterator[list[Array]]:
        """The samples that one item holds: several where all its arrays have a longer first axis than the inputs."""
        _check_names(self.inputs, arrays, self.where)
        pieces = [self._pieces(name, kind, np.asarray(arrays[name]), number) for name, kind in self.inputs.items()]
        counts = {len(piece) for piece in pieces}
        if len(counts) > 1:
            sizes = ", ".join(f"'{escape(n)}' {len(p)}" for n, p in zip(self.inputs, pieces, strict=True))
            raise ModelError(f"sample {number} of {self.where} holds different numbers of samples: {sizes}")
        yield from ([piece[i] for piece in pieces] for i in range(counts.pop()))

    def _pieces(self, name: str, kind: TensorType, array: Array, number: int) -> Array:
        """An item's array as [samples, *shape]; checks type, shape and numbers."""
        where = f"tensor '{escape(name)}', sample {number} of {self.where}"
        if array.dtype != kind.dtype.numpy:
            hint = f"convert it with .astype(numpy.{kind.dtype.numpy})"
            raise ModelError(f"calibration data has type {array.dtype}, input is {kind.dtype.name}", where, hint)
        found = _fit(array, kind.shape)
        if found is None:
            raise ModelError(f"calibration data has shape {list(array.shape)}, input is {kind}", where)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            worst = "NaN" if np.isnan(array).any() else "infinity"
            raise ModelError(f"calibration data holds {worst}", where, "remove that sample or repair it")
        return found


def open_data(source: Source | Data, inputs: Mapping[str, TensorType]) -> Data:
    """Data for the inputs of a graph, by name; UsageError if there is no such file, ModelError if it does not fit."""
    if isinstance(source, Data):
        return source
    if callable(source):
        return _from_function(source, inputs)
    if isinstance(source, Mapping):
        return _from_columns(lambda: {name: _held(array) for name, array in source.items()}, inputs, "the given arrays")
    path = Path(source)
    where = f"'{escape(str(path))}'"
    if path.is_dir():
        return _from_folder(path, inputs, where)
    if not path.is_file():
        raise UsageError(f"there is no file {where}", hint="give an .npz file or a folder of .npy files")
    return _from_columns(lambda: _members(path, where), inputs, where)


def _stacked(samples: list[list[Array]]) -> list[Array]:
    return [np.stack(column) for column in zip(*samples, strict=True)]


def _fit(array: Array, shape: tuple[int, ...]) -> Array | None:
    """The array as [samples, *shape] if it is one sample, a sample without the leading 1, or a batch of them."""
    if array.shape == shape:
        return array[None]
    if shape[:1] == (1,) and array.shape == shape[1:]:
        return array[None, None]
    batch = shape[0] if shape else 0
    if array.ndim == len(shape) and batch and array.shape[1:] == shape[1:] and not array.shape[0] % batch:
        return array.reshape(-1, *shape)
    return None


def _check_names(inputs: Mapping[str, TensorType], given: Iterable[str], where: str) -> None:
    names = [name for name in given if name != LABELS]
    missing = [escape(n) for n in inputs if n not in names]
    unknown = [escape(n) for n in names if n not in inputs]
    if missing or unknown:
        parts = [f"missing {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(unknown)}"] * bool(unknown)
        hint = f"inputs of the network: {', '.join(map(escape, inputs))}"
        raise ModelError(f"{where} does not match the inputs: {'; '.join(parts)}", hint=hint)


# --- sources ----------------------------------------------------------------------------------------------------------


def _held(array: Any) -> Npy:
    made = np.asarray(array)
    return Npy(made.shape, made.dtype, lambda: iter(made))


def _members(path: Path, where: str) -> dict[str, Npy]:
    """The arrays of an .npz file, none of them read yet."""
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{where} is not an .npz file", hint="write it with numpy.savez")
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
    return {name[: -len(".npy")]: npy_member(path, name) for name in names}


def _from_columns(read: Callable[[], dict[str, Npy]], inputs: Mapping[str, TensorType], where: str) -> Data:
    """Arrays whose first axis are the samples."""
    columns = read()
    _check_names(inputs, columns, where)
    lengths = {name: _length(name, column, where) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"'{escape(name)}' {length}" for name, length in lengths.items())
        raise ModelError(f"the arrays of {where} hold different numbers of samples: {said}")

    def rows() -> Iterator[dict[str, Array]]:
        for arrays in zip(*(columns[name].rows() for name in inputs), strict=True):
            yield dict(zip(inputs, arrays, strict=True))

    return Data(inputs, rows, where, lambda: _labels(columns))


def _length(name: str, column: Npy, where: str) -> int:
    if not column.shape:
        raise ModelError(f"'{escape(name)}' of {where} is a single number", hint="its first axis must be the samples")
    return column.shape[0]


def _labels(columns: Mapping[str, Npy]) -> Array | None:
    if LABELS not in columns:
        return None
    column = columns[LABELS]
    rows = list(column.rows())
    return np.stack(rows) if rows else np.empty(column.shape, column.dtype)


def _from_folder(folder: Path, inputs: Mapping[str, TensorType], where: str) -> Data:
    files = {path.stem: path for path in sorted(folder.glob("*.npy"))}
    named = {name: files[_file_stem(name)] for name in (*inputs, LABELS) if _file_stem(name) in files}
    if all(name in named for name in inputs):
        return _from_columns(lambda: {name: npy_file(path) for name, path in named.items()}, inputs, where)
    if len(inputs) > 1:
        missing = ", ".join(f"{escape(_file_stem(name))}.npy" for name in inputs if name not in named)
        raise ModelError(f"folder {where} lacks {missing}", hint="one file for each input, first axis = samples")
    paths = [path for stem, path in files.items() if stem != LABELS]
    (name,) = inputs
    labels = npy_file(files[LABELS]) if LABELS in files else None
    return Data(
        inputs, lambda: ({name: _whole(path)} for path in paths), where,
        lambda: _labels({LABELS: labels} if labels else {}),
    )  # fmt: skip


def _whole(path: Path) -> Array:
    column = npy_file(path)
    return np.stack(list(column.rows())) if column.shape else next(column.rows())


def _file_stem(name: str) -> str:
    """What the file of an input is called: characters that a file name may not hold become `_`."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)


def _from_function(function: Callable[[], Iterable[Any]], inputs: Mapping[str, TensorType]) -> Data:
    where = f"function '{escape(getattr(function, '__name__', 'data'))}'"

    def rows() -> Iterator[Mapping[str, Array]]:
        for number, item in enumerate(function()):
            yield _named(item, inputs, number, where)

    return Data(inputs, rows, where)


def _named(item: Any, inputs: Mapping[str, TensorType], number: int, where: str) -> Mapping[str, Array]:
    if isinstance(item, Mapping):
        return item
    arrays = list(item) if isinstance(item, tuple | list) else [item]
    if len(arrays) != len(inputs):
        raise ModelError(f"sample {number} of {where} has {len(arrays)} arrays, the network has {len(inputs)} inputs")
    return dict(zip(inputs, arrays, strict=True))
