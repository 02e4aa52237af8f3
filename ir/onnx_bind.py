"""Fixing the shapes of a model's inputs: what the file leaves open comes from the user or is a batch of one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import onnx

from ..errors import ModelError, Unsupported, UnsupportedNode, UsageError
from ..escaping import escape
from .dim_text import identifier, parse_dim
from .dims import Size, Symbol, described, lower, symbol
from .onnx_rules import NotCovered
from .onnx_tensors import check_dims, element_type
from .types import DType, TensorType, text

_ANY = text(1)

Dims = list[int | str | None]
"""Dimensions as the file has them: a number, a name, or None for one that is open and has no name."""


@dataclass
class Binding:
    """The type of each input, and which dimensions were taken to be 1 for want of anything better."""

    types: dict[str, TensorType] = field(default_factory=dict)
    assumed: dict[str, int] = field(default_factory=dict)


def bind(
    inputs: Sequence[onnx.ValueInfoProto], dims: dict[str, Size], shapes: dict[str, tuple[int, ...]], strings: DType
) -> Binding:
    """Types of inputs with `dims` by name and `shapes` by input put in; strings are of the type `strings`.

    `UsageError` for names that do not occur and for dimensions that nothing fixes.
    """
    declared = {value.name: _declared(value) for value in inputs}
    _refuse_unknown("input", shapes, declared, "--shape")
    declared = {name: _named(name, found, dims) for name, found in declared.items()}
    named = {d for found in declared.values() for d in found or () if isinstance(d, str)}
    _refuse_unknown("dimension", [d for d in dims if d not in _parts(dims)], named, "--dim")
    fixed, assumed = _sizes(dims), dict[str, int]()
    _refuse_negative({n: d for n, d in dims.items() if isinstance(d, int)}, shapes)
    for name, shape in shapes.items():
        _adopt(name, declared[name], shape, fixed)
    for first in [found[0] for found in declared.values() if found]:
        if isinstance(first, str) and first not in fixed:
            fixed[first] = assumed[first] = 1
    binding = Binding(assumed=assumed)
    open_dims: dict[str, Dims | None] = {}
    for value in inputs:
        bound = shapes.get(value.name) or _bound(value.name, declared[value.name], fixed, assumed)
        if bound is None:
            open_dims[value.name] = declared[value.name]
        else:
            checked = check_dims(bound, f"input '{escape(value.name)}'")
            binding.types[value.name] = TensorType(element_type(value.type.tensor_type.elem_type, strings), checked)
    if open_dims:
        raise _open_error(open_dims, fixed)
    return binding


def refused_inputs(inputs: Sequence[onnx.ValueInfoProto]) -> dict[str, UnsupportedNode]:
    """Inputs that are no tensors of numbers, by name, and why."""
    refused: dict[str, UnsupportedNode] = {}
    for value in inputs:
        try:
            _declared(value)
        except Unsupported as error:
            refused[value.name] = error.nodes[0]
    return refused


def _named(name: str, declared: Dims | None, dims: dict[str, Size]) -> Dims | None:
    """Dimensions without a name take that of their place, `input[0]`, where the user gives it a size."""
    if declared is None:
        return None
    places = [f"{name}[{i}]" for i in range(len(declared))]
    return [place if d is None and place in dims else d for d, place in zip(declared, places, strict=True)]


def _sizes(dims: dict[str, Size]) -> dict[str, int]:
    """Numbers as they are, bounds as symbols, and what is made of them."""
    symbols: dict[str, Symbol] = {}
    for name, size in dims.items():
        if isinstance(size, tuple):
            low, high = size
            if not 0 <= low <= high:
                raise UsageError(f"bounds of '{escape(name)}' must be 0 or more and in order, got {low}..{high}")
            spelled = identifier(name)
            if spelled in symbols:
                raise UsageError(f"'{escape(name)}' and another dimension are both called {spelled}")
            symbols[spelled] = Symbol(spelled, low, high)
    found = {name: size for name, size in dims.items() if isinstance(size, int)}
    found |= {name: symbol(symbols[identifier(name)]) for name, size in dims.items() if isinstance(size, tuple)}
    return found | {name: _expression(name, size, symbols) for name, size in dims.items() if isinstance(size, str)}


def _parts(dims: dict[str, Size]) -> set[str]:
    """Names with bounds of which other sizes are made; the model need not have them: `height=rows*32`, `rows=2..20`."""
    words = {word for size in dims.values() if isinstance(size, str) for word in re.findall(r"\w+", size)}
    return {name for name, size in dims.items() if isinstance(size, tuple) and identifier(name) in words}


def _expression(name: str, text: str, symbols: dict[str, Symbol]) -> int:
    try:
        size = parse_dim(text, symbols)
    except ModelError as error:
        raise UsageError(f"dimension '{escape(name)}': {error.what}", hint=error.hint) from None
    if lower(size) < 0:
        raise UsageError(f"dimension '{escape(name)}' can be negative: {described(size)}")
    return size


def _declared(value: onnx.ValueInfoProto) -> Dims | None:
    """The dimensions of an input, None where not even their number is known."""
    what = f"input '{escape(value.name)}'"
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        if kind is None:
            raise ModelError(f"{what} has no type")
        raise _refused(value.name, kind, f"its type is {kind.removesuffix('_type')}")
    tensor = value.type.tensor_type
    try:
        element_type(tensor.elem_type, _ANY)
    except NotCovered as error:
        raise _refused(value.name, "tensor", error.reason) from None
    if not tensor.HasField("shape"):
        return None
    return [_dim(d, what) for d in tensor.shape.dim]


def _refused(name: str, kind: str, reason: str) -> Unsupported:
    return Unsupported([UnsupportedNode(name, f"input of type {kind}", reason, nearest="tensors")])


def _dim(dim: onnx.TensorShapeProto.Dimension, what: str) -> int | str | None:
    if dim.HasField("dim_value") and dim.dim_value >= 0:
        return int(dim.dim_value)
    if dim.HasField("dim_param") and dim.dim_param:
        if not isinstance(dim.dim_param, str):
            raise ModelError(f"{what} has a dimension whose name is not UTF-8 text")
        return str(dim.dim_param)
    return None


def _refuse_unknown(kind: str, asked: Iterable[str], known: Iterable[str], option: str) -> None:
    names = sorted(known)
    for name in asked:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1) or names[:1]
            hint = f"did you mean {option} {escape(near[0])}=...?" if near else f"the model has no {kind} to set"
            raise UsageError(f"the model has no {kind} '{escape(name)}'", hint=hint)


def _refuse_negative(dims: dict[str, int], shapes: dict[str, tuple[int, ...]]) -> None:
    for given, least in (({n: (d,) for n, d in dims.items()}, 1), (shapes, 0)):
        for name, sizes in given.items():
            if min(sizes, default=least) < least:
                raise UsageError(f"sizes for '{escape(name)}' must be {least} or more, got {list(sizes)}")


def _adopt(name: str, declared: Dims | None, shape: tuple[int, ...], fixed: dict[str, int]) -> None:
    """Take a shape from the user, which must agree with the file and with other shapes."""
    if declared is None:
        return
    if len(declared) != len(shape):
        raise UsageError(f"input '{escape(name)}' has {len(declared)} dimensions, the shape given has {len(shape)}")
    for dim, size in zip(declared, shape, strict=True):
        wanted = fixed.setdefault(dim, size) if isinstance(dim, str) else dim
        if wanted not in (None, size):
            raise UsageError(f"input '{escape(name)}': {escape(str(dim))} is {wanted}, the shape given says {size}")


def _bound(name: str, declared: Dims | None, fixed: dict[str, int], assumed: dict[str, int]) -> tuple[int, ...] | None:
    if declared is None:
        return None
    if declared and declared[0] is None:
        assumed[f"{name}[0]"] = 1
        declared = [1, *declared[1:]]
    sizes = [fixed.get(d) if isinstance(d, str) else d for d in declared]
    return None if None in sizes else tuple(s for s in sizes if s is not None)


def _shown(dims: Dims | None) -> str:
    if dims is None:
        return "of unknown rank"
    return "[" + ", ".join("?" if d is None else escape(str(d)) for d in dims) + "]"


def _open_error(open_dims: dict[str, Dims | None], fixed: dict[str, int]) -> UsageError:
    lines, hints = [], dict[str, None]()
    for name, dims in open_dims.items():
        lines.append(f"input '{escape(name)}' {_shown(dims)}")
        for dim in dims or [None]:
            if isinstance(dim, str) and dim not in fixed:
                hints[f"--dim {escape(dim)}=N"] = None
        if dims is None or None in dims[1:]:
            hints[f"--shape {escape(name)}=N,..."] = None
    return UsageError("the model leaves dimensions open", hint=f"fix them with {' '.join(hints)}", details=lines)
