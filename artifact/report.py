"""report.json: written by the driver, read here as data from a stranger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelError, UsageError
from ..escaping import escape
from ..ir import DTYPES, Graph, TensorType, Value

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
    return [(one["name"], TensorType(DTYPES[one["dtype"]], tuple(one["shape"]))) for one in report[which]]


def described(graph: Graph) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the sections `inputs` and `outputs` of a report."""
    return _described([v.name for v in graph.inputs], graph.inputs), _described(graph.output_names, graph.outputs)


def _described(names: Sequence[str], values: Sequence[Value]) -> list[dict[str, Any]]:
    return [
        {"name": name, "dtype": value.dtype.name, "shape": list(value.shape), "bytes": value.type.bytes}
        for name, value in zip(names, values, strict=True)
    ]


def write_report(report: Report) -> bytes:
    """Return the bytes of report.json."""
    return (json.dumps(report, indent=1, allow_nan=False) + "\n").encode("ascii")


def _check(report: Any, path: Path) -> None:
    if not isinstance(report, dict) or "edgec" not in report:
        raise _damaged(path, "edgec has not written it")
    if report.get("format") != FORMAT:
        raise _damaged(path, f"its format is {escape(str(report.get('format')))}, this edgec reads {FORMAT}")
    for which in ("inputs", "outputs"):
        _check_tensors(report.get(which), which, path)
    arena = report.get("arena", {} if report.get("backend", "c") == "c" else {"bytes": 0})
    if not isinstance(arena, dict) or not _is_size(arena.get("bytes")):
        raise _damaged(path, "it does not say how large the arena is")
    if not isinstance(report.get("target"), str):
        raise _damaged(path, "it does not say for which target it is")
    _check_sections(report, path)


def _check_tensors(listed: Any, which: str, path: Path) -> None:
    if not isinstance(listed, list) or not all(map(_is_tensor, listed)):
        raise _damaged(path, f"its {which} are not a list of name, dtype, shape and bytes that agree")
    names = [one["name"] for one in listed]
    if len(set(names)) != len(names):
        raise _damaged(path, f"two {which} have the same name")


def _is_tensor(one: Any) -> bool:
    if not isinstance(one, dict) or not isinstance(one.get("name"), str) or not isinstance(one.get("shape"), list):
        return False
    if not isinstance(one.get("dtype"), str) or one["dtype"] not in DTYPES or len(one["shape"]) > MAX_RANK:
        return False
    if not all(map(_is_size, one["shape"])):
        return False
    wanted = TensorType(DTYPES[one["dtype"]], tuple(one["shape"])).bytes
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
