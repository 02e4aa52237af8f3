"""report.json: written by the driver, read here as data from a stranger."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelError, UsageError
from ..escaping import escape
from ..ir import Graph, Symbol, TensorType, Value
from ..ir.aliases import Alias, aliases_of, resolve
from ..ir.dim_text import NAME as SIZE_NAME
from ..ir.dim_text import parse_dim
from ..ir.dims import is_open
from ..ir.types import dtype_named

FORMAT = 1
NAME = "report.json"
MAX_REPORT_BYTES = 256 << 20
MAX_BYTES = 1 << 44
MAX_RANK = 64

Report = dict[str, Any]


def read_report(folder: Path) -> Report:
    """Return the report of the artifact in `folder`; UsageError if there is none, ModelError if it is damaged."""
    path = folder / NAME
    if not path.is_file():
        raise UsageError(f"there is no artifact in '{escape(str(folder))}'", hint=f"an artifact holds {NAME}")
    if path.stat().st_size > MAX_REPORT_BYTES:
        raise _damaged(path, "it is too large")
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise _damaged(path, "it is not JSON") from None
    _check(report, path)
    checked: Report = report
    return checked


def is_artifact(folder: Path) -> bool:
    """Return whether `folder` holds a report that edgec has written."""
    try:
        read_report(folder)
    except (ModelError, UsageError):
        return False
    return True


def tensors(report: Report, which: str) -> list[tuple[str, TensorType]]:
    """Return name and type of the `inputs` or `outputs` of a checked report."""
    symbols = symbols_of(report)
    return [(one["name"], _type_of(one, symbols)) for one in report[which]]


def symbols_of(report: Report) -> dict[str, Symbol]:
    """Return the open sizes of a checked report, in the order in which a run takes them."""
    return {one["name"]: Symbol(one["name"], one["low"], one["high"]) for one in report.get("sizes", [])}


def _type_of(one: Mapping[str, Any], symbols: Mapping[str, Symbol]) -> TensorType:
    dtype = dtype_named(one["dtype"])
    assert dtype is not None
    return TensorType(dtype, tuple(parse_dim(str(d), symbols) for d in one["shape"]))


def size_slots(report: Report) -> int:
    """Return how many sizes a run takes: all open ones and, where it can find unfit ones, one that says so."""
    return len(report.get("sizes", [])) + bool(report.get("checks_run", False))


def aliases_in(report: Report) -> tuple[Alias, ...]:
    """Return the inputs of a checked report that share the buffer of an output."""
    return resolve(report.get("aliases", {}), tensors(report, "inputs"), tensors(report, "outputs"))


def alias_rows(graph: Graph) -> dict[str, dict[str, str]]:
    """Return the section `aliases` of a report, where there are any: outputs by the inputs that share their buffers."""
    found = aliases_of(graph)
    return {"aliases": {graph.inputs[a.input].name: graph.output_names[a.output] for a in found}} if found else {}


def size_rows(graph: Graph) -> list[dict[str, Any]]:
    """Return the section `sizes` of a report: the open sizes with their bounds."""
    found = graph.found_sizes
    return [
        {"name": s.name, "low": s.low, "high": s.high, **({"found": True} if s.name in found else {})}
        for s in graph.symbols.values()
    ]


def described(graph: Graph) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the sections `inputs` and `outputs` of a report."""
    return _described([v.name for v in graph.inputs], graph.inputs), _described(graph.output_names, graph.outputs)


def _described(names: Sequence[str], values: Sequence[Value]) -> list[dict[str, Any]]:
    return [
        {"name": name, "dtype": value.dtype.name, "shape": _shape(value), "bytes": value.type.most_bytes}
        for name, value in zip(names, values, strict=True)
    ]


def _shape(value: Value) -> list[int | str]:
    return [str(d) if is_open(d) else d for d in value.shape]


def write_report(report: Report) -> bytes:
    """Return the bytes of report.json."""
    return (json.dumps(report, indent=1, allow_nan=False) + "\n").encode("ascii")


def _check(report: Any, path: Path) -> None:
    if not isinstance(report, dict) or "edgec" not in report:
        raise _damaged(path, "edgec has not written it")
    if report.get("format") != FORMAT:
        raise _damaged(path, f"its format is {escape(str(report.get('format')))}, this edgec reads {FORMAT}")
    if not isinstance(report.get("sizes", []), list) or not all(map(_is_symbol, report.get("sizes", []))):
        raise _damaged(path, "its sizes are not a list of name, low and high")
    for which in ("inputs", "outputs"):
        _check_tensors(report.get(which), which, path, symbols_of(report))
    _check_aliases(report, path)
    arena = report.get("arena", {} if report.get("backend", "c") == "c" else {"bytes": 0})
    if not isinstance(arena, dict) or not _is_size(arena.get("bytes")):
        raise _damaged(path, "it does not say how large the arena is")
    if not isinstance(report.get("target"), str):
        raise _damaged(path, "it does not say for which target it is")
    _check_sections(report, path)


def _check_tensors(listed: Any, which: str, path: Path, symbols: Mapping[str, Symbol]) -> None:
    if not isinstance(listed, list) or not all(_is_tensor(one, symbols) for one in listed):
        raise _damaged(path, f"its {which} are not a list of name, dtype, shape and bytes that agree")
    names = [one["name"] for one in listed]
    if len(set(names)) != len(names):
        raise _damaged(path, f"two {which} have the same name")


def _check_aliases(report: Report, path: Path) -> None:
    pairs = report.get("aliases", {})
    if not isinstance(pairs, dict) or not all(isinstance(name, str) for name in pairs.values()):
        raise _damaged(path, "its aliases are not outputs by inputs")
    try:
        aliases_in(report)
    except UsageError as error:
        raise _damaged(path, error.what) from None


def _is_symbol(one: Any) -> bool:
    if not isinstance(one, dict) or not isinstance(one.get("name"), str) or not SIZE_NAME.fullmatch(one["name"]):
        return False
    if type(one.get("found", False)) is not bool:
        return False
    return _is_size(one.get("low")) and _is_size(one.get("high")) and one["low"] < one["high"]


def _is_tensor(one: Any, symbols: Mapping[str, Symbol]) -> bool:
    if not isinstance(one, dict) or not isinstance(one.get("name"), str) or not isinstance(one.get("shape"), list):
        return False
    if not isinstance(one.get("dtype"), str) or dtype_named(one["dtype"]) is None or len(one["shape"]) > MAX_RANK:
        return False
    if not all(_is_size(d) or (symbols and isinstance(d, str)) for d in one["shape"]):
        return False
    try:
        wanted = _type_of(one, symbols).most_bytes
    except ModelError:
        return False
    return _is_size(one.get("bytes")) and bool(one["bytes"] == wanted)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_BYTES


def _check_sections(report: Report, path: Path) -> None:
    for name in ("toolchain", "selftest"):
        if not isinstance(report.get(name, {}), dict):
            raise _damaged(path, f"its part '{name}' is not an object")
    for name in ("row", "cpu", "backend"):
        if not isinstance(report.get(name, ""), str):
            raise _damaged(path, f"its part '{name}' is not a string")


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(f"{NAME} cannot be used: {why}", escape(str(path)), "compile the model again")
