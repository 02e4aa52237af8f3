"""Every file imports from its own floor or below: checked on the syntax tree, nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {"errors": 0, "escaping": 0, "ir": 0, "targets": 1, "kernels": 1, "toolchain": 1, "passes": 2, "backends": 3}
FLOORS |= {"__version__": 0, "artifact": 2, "quantization": 2, "pruning": 2, "prune_step": 4, "probing": 4}
FLOORS |= {"quantizing": 4, "open_sizes": 4, "refusals": 4, "driver": 4, "clock": 4, "tuning": 4, "coverage": 4}
FLOORS |= {"schedule_search": 4, "choosing": 4, "reporting": 4, "cli": 5}
ROOF = 5  # also of what the map does not name: the root of the package itself
OUTSIDE = {"tests", "examples", "bench", "docs", "build", "dist"}
BACKENDS = {"c", "tvm", "tensorrt"} | {path.name for path in (ROOT / "backends").glob("*") if path.is_dir()}
HEAVY = {"tvm", "tensorrt", "tensorrt_rtx", "onnxruntime", "torch"}
SOURCES = sorted(found.relative_to(ROOT) for found in ROOT.rglob("*.py"))
SOURCES = [path for path in SOURCES if path.parts[0] not in OUTSIDE and not path.parts[0].startswith(".")]


def imports(node: ast.AST, package: list[str], lazy: bool = False) -> Iterator[tuple[int, list[str], bool]]:
    """Yield line, absolute name in parts, and whether loading the file leaves the import alone, for all imports."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name.split("."), lazy) for alias in child.names)
        if isinstance(child, ast.ImportFrom):
            start = package[: len(package) - child.level + 1] if child.level else []
            start = start + (child.module.split(".") if child.module else [])
            yield from ((child.lineno, [*start, alias.name], lazy) for alias in child.names)
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from imports(child, package, lazy or function)


def objection(path: Path, name: list[str], lazy: bool) -> str:
    """Return why the file may not import what is named so, or nothing."""
    room, (top, *rest) = path.with_suffix("").parts, name
    if top in HEAVY and not lazy:
        return f"{top} is heavy: import it inside the function that needs it"
    if top == "onnx" and not (room[0] in {"ir", "backends"} and room[-1].startswith("onnx_")):
        return "onnx is imported only by files named onnx_* in ir/ and backends/"
    if top != "edgec":
        return ""
    own, other = FLOORS.get(room[0], ROOF), FLOORS.get(rest[0], ROOF)
    if other > own:
        return f"floor {own} imports {'.'.join(name)} from floor {other}"
    backends = [place[1] for place in (room, rest) if place[0] == "backends" and place[1] in BACKENDS]
    return f"backend {backends[0]} imports backend {backends[1]}" if len(set(backends)) == 2 else ""


def objections(path: Path, source: str) -> list[str]:
    """Return a line that names file, line and reason for each import that breaks a rule."""
    found = imports(ast.parse(source), ["edgec", *path.parent.parts])
    reasons = ((line, objection(path, name, lazy)) for line, name, lazy in found)
    return [f"{path}:{line}: {reason}" for line, reason in reasons if reason]


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_imports_stay_on_their_floors(path: Path) -> None:
    found = objections(path, (ROOT / path).read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source", "reason"),
    [
        ("ir/graph.py", "\nfrom ..passes import fold", "ir/graph.py:2: floor 0 imports edgec.passes.fold from floor 2"),
        ("passes/fold.py", "from .. import driver", "passes/fold.py:1: floor 2 imports edgec.driver from floor 4"),
        ("ir/types.py", "import onnx.helper", "ir/types.py:1: onnx is imported only by files named onnx_*"),
        ("backends/tvm/emit.py", "from ..c import code", "backends/tvm/emit.py:1: backend tvm imports backend c"),
        ("driver.py", "if True:\n    import tvm", "driver.py:2: tvm is heavy"),
    ],
)
def test_a_wrong_import_is_named(path: str, source: str, reason: str) -> None:
    (found,) = objections(Path(path), source)
    assert found.startswith(reason)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("driver.py", "def build():\n    import tvm"),
        ("ir/onnx_import.py", "import onnx"),
        ("cli/run.py", "from ..driver import compile"),
    ],
)
def test_a_right_import_passes(path: str, source: str) -> None:
    assert objections(Path(path), source) == []
