"""ONNX whose inputs keep sizes open.

The models of a graph at several values of a size must be the same but for shapes and for constants that are shapes.
Those are computed from the inputs then, or left for the runtime to find where `Reshape` can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

from ...errors import Unsupported, UnsupportedNode, UsageError
from ...escaping import escape
from ...ir.onnx_export import serialized

Array = np.ndarray
Sample = tuple[Mapping[str, int], bytes]
"""The sizes that differ from those of the model, and the model with them."""


def opened(model: bytes, bounds: Mapping[str, tuple[int, int]], others: Sequence[Sample]) -> bytes:
    """The model with sizes between bounds in the place of the upper ones; `Unsupported` names what does not follow."""
    return _Opening(model, bounds, others).run()


def profile_of(model: bytes, bounds: Mapping[str, tuple[int, int]]) -> dict[str, list[list[int]]]:
    """The least, usual and largest shape of each input of an opened model; usual are the largest."""
    inputs = onnx.load_from_string(model).graph.input
    return {
        value.name: [_shape(value, {name: bound[end] for name, bound in bounds.items()}) for end in (0, 1, 1)]
        for value in inputs
        if any(d.dim_param for d in value.type.tensor_type.shape.dim)
    }


def _shape(value: Any, sizes: Mapping[str, int]) -> list[int]:
    dims = value.type.tensor_type.shape.dim
    return [sizes[d.dim_param] if d.dim_param else int(d.dim_value) for d in dims]


class Linear(NamedTuple):
    """A multiple of a size and an offset."""

    name: str
    factor: int
    offset: int


def _line(name: str, sizes: Sequence[int], numbers: Sequence[int]) -> Linear | None:
    """What makes numbers of the values of a size; None where no line goes through all of them."""
    pairs = sorted(set(zip(sizes, numbers, strict=True)))
    (first, low), (last, high) = pairs[0], pairs[-1]
    if len({size for size, _ in pairs}) < len(pairs) or first == last or (high - low) % (last - first):
        return None
    factor = (high - low) // (last - first)
    fits = all(number - low == factor * (size - first) for size, number in pairs)
    return Linear(name, factor, low - factor * first) if fits else None


class _Opening:
    """The comparison of models, and the one that follows from it."""

    def __init__(self, model: bytes, bounds: Mapping[str, tuple[int, int]], others: Sequence[Sample]) -> None:
        self.bounds = bounds
        self.largest = {name: high for name, (_, high) in bounds.items()}
        self.model = onnx.load_from_string(model)
        del self.model.graph.value_info[:]
        self.sizes = [self.largest, *({**self.largest, **sizes} for sizes, _ in others)]
        self.graphs = [self.model.graph, *(onnx.load_from_string(content).graph for _, content in others)]
        self.refused: dict[UnsupportedNode, None] = {}
        self.places: dict[str, tuple[str, int]] = {}
        self.made: list[Any] = []

    def run(self) -> bytes:
        self._compare_nodes()
        self._open_inputs()
        weights = [{one.name: one for one in graph.initializer} for graph in self.graphs]
        changed = [name for name, one in weights[0].items() if any(w[name] != one for w in weights[1:])]
        arrays = {name: [numpy_helper.to_array(w[name]) for w in weights] for name in changed}
        for place, node in enumerate(self.model.graph.node):
            for position, name in enumerate(node.input):
                if name in arrays:
                    self._follow(place, node, position, arrays[name])
        if self.refused:
            raise Unsupported(list(self.refused))
        self._finish(changed)
        return serialized(self.model)

    def _compare_nodes(self) -> None:
        """Refuse models whose nodes are not the same at all sizes."""
        for sizes, graph in zip(self.sizes[1:], self.graphs[1:], strict=True):
            pairs = zip(self.model.graph.node, graph.node, strict=False)
            first = next((node for node, other in pairs if node != other), None)
            same = first is None and len(graph.node) == len(self.model.graph.node)
            if same and {w.name for w in graph.initializer} == {w.name for w in self.model.graph.initializer}:
                continue
            self._refuse(first or self.model.graph.node[-1], sizes)
        if self.refused:
            raise Unsupported(list(self.refused))

    def _refuse(self, node: Any, sizes: Mapping[str, int]) -> None:
        names = [escape(name) for name, size in sizes.items() if size != self.largest[name]]
        reason = f"what it computes depends on the size {', '.join(names)}"
        hint = f"one artifact for each size: --dim {names[0]}=N"
        self.refused[UnsupportedNode(node.name, node.op_type, reason, nearest=hint)] = None

    def _open_inputs(self) -> None:
        """Give the dimensions of inputs that follow a size its name; open those of outputs that change."""
        for values in zip(*(graph.input for graph in self.graphs), strict=True):
            for axis, name in self._followed([_dims(value) for value in values]).items():
                values[0].type.tensor_type.shape.dim[axis].dim_param = name
                self.places.setdefault(name, (values[0].name, axis))
        for values in zip(*(graph.output for graph in self.graphs), strict=True):
            shapes = [_dims(value) for value in values]
            followed = self._followed(shapes)
            for axis in _varying(shapes):
                dim = followed.get(axis, f"{values[0].name}_{axis}")
                values[0].type.tensor_type.shape.dim[axis].dim_param = dim
        missing = [escape(name) for name in self.bounds if name not in self.places]
        if missing:
            raise UsageError(
                f"no input has the size {missing[0]}", hint="the dimensions that a model file names are open"
            )

    def _followed(self, rows: Sequence[Sequence[int]]) -> dict[int, str]:
        """The places of numbers that are a size in all models, and its name."""
        return {place: one.name for place, one in self._linear(rows).items() if (one.factor, one.offset) == (1, 0)}

    def _linear(self, rows: Sequence[Sequence[int]]) -> dict[int, Linear]:
        """The places of numbers that are a multiple of one size and an offset in all models."""
        found: dict[int, Linear] = {}
        for place in _varying(rows):
            numbers = [row[place] for row in rows]
            fits = [one for name in self.bounds if (one := _line(name, [s[name] for s in self.sizes], numbers))]
            found |= {place: fits[0]} if fits else {}
        return found

    def _follow(self, place: int, node: Any, position: int, arrays: Sequence[Array]) -> None:
        """Let a node read what follows the sizes in the place of a constant that does not."""
        if arrays[0].ndim == 1 and arrays[0].dtype == np.int64 and len({array.shape for array in arrays}) == 1:
            rows = [[int(number) for number in array] for array in arrays]
            if self._follow_numbers(place, node, position, rows):
                return
        elif arrays[0].ndim and self._repeat(place, node, position, arrays):
            return
        changed = [s for s, a in zip(self.sizes, arrays, strict=True) if not _same(a, arrays[0])]
        self._refuse(node, changed[0])

    def _follow_numbers(self, place: int, node: Any, position: int, rows: Sequence[Sequence[int]]) -> bool:
        """Numbers of a shape: put together at run time, one of a new shape found by the runtime."""
        varying, linear = _varying(rows), self._linear(rows)
        rest = [axis for axis in varying if axis not in linear]
        spare = 1 if node.op_type == "Reshape" and position == 1 else 0
        if len(rest) > spare:
            return False
        found = rest or varying[-1:] if spare else []
        numbers = [-1 if axis in found else size for axis, size in enumerate(rows[0])]
        lines = {axis: one for axis, one in linear.items() if axis not in found}
        name = f"{node.name}/{position}/open"
        node.input[position] = self._shape(place, name, numbers, lines) if lines else self._constant(name, numbers)
        return True

    def _constant(self, name: str, numbers: Sequence[int]) -> str:
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(numbers, np.int64), name))
        return name

    def _shape(self, place: int, name: str, numbers: Sequence[int], lines: Mapping[int, Linear]) -> str:
        """Numbers some of which follow sizes, from the shapes of inputs."""
        parts = [
            self._number(place, f"{name}/{axis}", lines[axis])
            if axis in lines
            else self._constant(f"{name}/{axis}", [number])
            for axis, number in enumerate(numbers)
        ]
        return self._put(place, "Concat", parts, name, axis=0)

    def _number(self, place: int, name: str, line: Linear) -> str:
        source, axis = self.places[line.name]
        made = self._put(place, "Shape", [source], name, start=axis, end=axis + 1)
        if line.factor != 1:
            made = self._put(place, "Mul", [made, self._constant(f"{name}/factor", [line.factor])], f"{name}/multiple")
        if line.offset:
            made = self._put(place, "Add", [made, self._constant(f"{name}/offset", [line.offset])], f"{name}/sum")
        return made

    def _repeat(self, place: int, node: Any, position: int, arrays: Sequence[Array]) -> bool:
        """A constant that repeats along axes which follow sizes: one piece of it, expanded at run time."""
        if len({array.ndim for array in arrays}) > 1:
            return False
        shapes = [array.shape for array in arrays]
        varying, lines = _varying(shapes), self._linear(shapes)
        piece = arrays[0][tuple(slice(0, 1) if axis in varying else slice(None) for axis in range(arrays[0].ndim))]
        repeats = all(_same(np.broadcast_to(piece, array.shape), array) for array in arrays)
        if not varying or len(lines) < len(varying) or not repeats:
            return False
        name = f"{node.name}/{position}/repeated"
        self.model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(piece), f"{name}/piece"))
        shape = self._shape(place, f"{name}/shape", arrays[0].shape, lines)
        node.input[position] = self._put(place, "Expand", [f"{name}/piece", shape], name)
        return True

    def _put(self, place: int, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """A new node before that at a place; returns the name of its result."""
        self.made.append((place, onnx.helper.make_node(kind, inputs, [name], name, **attributes)))
        return name

    def _finish(self, changed: Sequence[str]) -> None:
        """Put the new nodes before those that read them, and drop constants that nobody reads."""
        graph = self.model.graph
        nodes = list(graph.node)
        before: dict[int, list[Any]] = {}
        for place, node in self.made:
            before.setdefault(place, []).append(node)
        del graph.node[:]
        for place, node in enumerate(nodes):
            graph.node.extend([*before.get(place, ()), node])
        kept = [one for one in graph.initializer if one.name not in changed]
        del graph.initializer[:]
        graph.initializer.extend(kept)


def _dims(value: Any) -> list[int]:
    return [int(d.dim_value) for d in value.type.tensor_type.shape.dim]


def _varying(rows: Sequence[Sequence[int]]) -> list[int]:
    return [place for place, numbers in enumerate(zip(*rows, strict=True)) if len(set(numbers)) > 1]


def _same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.tobytes() == b.tobytes()
