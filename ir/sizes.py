"""Numbers for open sizes: found from the shapes of arrays, put into types, ops and graphs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import UsageError
from ..escaping import escape
from .dims import Dim, Symbol, at, symbols_of
from .graph import Graph
from .op import Op
from .types import TensorType
from .value import Value


def find_sizes(kinds: Mapping[str, TensorType], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """The open sizes that make the types of inputs those of arrays.

    `UsageError` where the shapes do not fit the types, or lie outside the bounds.
    """
    found: dict[str, int] = {}
    pairs = [pair for name, kind in kinds.items() for pair in _pairs(name, kind, shapes[name])]
    for _, dim, extent in sorted(pairs, key=lambda pair: len(set(symbols_of(pair[1:2])))):
        _solve(dim, extent, found)
    for name, dim, extent in pairs:
        if at(dim, found) != extent:
            expected = f"{kinds[name]}{_shown(found)}"
            raise UsageError(f"input '{escape(name)}' expects {expected}, got shape {list(shapes[name])}")
    check_bounds({s.name: s for kind in kinds.values() for s in kind.symbols.values()}, found)
    return found


def check_bounds(symbols: Mapping[str, Symbol], sizes: Mapping[str, int]) -> None:
    """`UsageError` where a size is missing or outside its bounds."""
    for name, one in symbols.items():
        if name not in sizes:
            raise UsageError(f"size '{name}' cannot be told from the inputs")
        if not one.low <= sizes[name] <= one.high:
            raise UsageError(f"size '{name}' is {sizes[name]}, compiled for {one.low} to {one.high}")


def _pairs(name: str, kind: TensorType, shape: tuple[int, ...]) -> Iterable[tuple[str, int, int]]:
    if len(shape) != kind.rank:
        raise UsageError(f"input '{escape(name)}' expects {kind}, got shape {list(shape)}")
    return [(name, dim, extent) for dim, extent in zip(kind.shape, shape, strict=True)]


def _solve(dim: int, extent: int, found: dict[str, int]) -> None:
    """Find the one size that is missing in a dimension in which it stands once, with a factor."""
    dim = at(dim, found)
    if not isinstance(dim, Dim) or len(dim.terms) > 2:
        return
    (monomial, factor), offset = next(iter(dim.terms.items())), dim.terms.get((), 0)
    alone = len(monomial) == 1 and isinstance(monomial[0], Symbol) and len(dim.terms) == 1 + (() in dim.terms)
    if alone and (extent - offset) % factor == 0:
        found[str(monomial[0])] = (extent - offset) // factor


def _shown(sizes: Mapping[str, int]) -> str:
    return f" with {', '.join(f'{n}={s}' for n, s in sizes.items())}" if sizes else ""


def put_in(value: Any, sizes: Mapping[str, int]) -> Any:
    """An attribute with numbers put in for open sizes."""
    if isinstance(value, Dim):
        return at(value, sizes)  # type: ignore[arg-type]
    if isinstance(value, tuple):
        return tuple(put_in(v, sizes) for v in value)
    if isinstance(value, TensorType):
        return value.at(sizes)
    return fixed(value, sizes) if isinstance(value, Graph) else value


def has_open_sizes(op: Op) -> bool:
    """Whether what an op computes depends on open sizes: by its results' shapes or by its attributes."""
    attributes = (getattr(op, f.name) for f in op.attribute_fields())
    return any(r.type.is_open for r in op.results) or any(map(_mentions, attributes))


def _mentions(value: Any) -> bool:
    return any(map(_mentions, value)) if isinstance(value, tuple) else isinstance(value, Dim)


def op_at(op: Op, sizes: Mapping[str, int], table: Mapping[Value, Value]) -> Any:
    """An op on other operands with numbers put in for open sizes; physical orders stay."""
    changes = {f.name: put_in(getattr(op, f.name), sizes) for f in op.attribute_fields()}
    for f in op.operand_fields():
        value = getattr(op, f.name)
        if isinstance(value, tuple):
            changes[f.name] = tuple(table[v] for v in value)
        else:
            changes[f.name] = None if value is None else table[value]
    made = op.replace(**changes)
    for old, new in zip(op.results, made.results, strict=True):
        new.type, new.name = new.type.with_order(old.type.order), old.name
    return made


def fixed(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """A copy of a graph with numbers put in for open sizes."""
    made = Graph(graph.name)
    made.stage, made.journal, made.metadata = graph.stage, list(graph.journal), dict(graph.metadata)
    table = {v: made.input(v.type.at(sizes), v.name) for v in graph.inputs}
    for op in graph:
        new = op_at(op, sizes, table)
        table.update(zip(op.results, new.results, strict=True))
        made.add(new)
    made.set_outputs([table[v] for v in graph.outputs], graph.output_names)
    return made
