"""The list of packages in pyproject.toml is the list of folders that are packages, and their data files exist."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
NOT_SHIPPED = {"tests", "examples", "bench", "docs", "build", "dist"}
SETUPTOOLS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def shipped(path: Path) -> bool:
    """Tell whether a path relative to the root belongs to the package."""
    return path.parts[:1] == () or not (path.parts[0] in NOT_SHIPPED or path.parts[0].startswith("."))


def folders() -> list[str]:
    """Return the dotted names of all folders of the package that hold an `__init__.py`."""
    found = (path.parent.relative_to(ROOT) for path in ROOT.rglob("__init__.py"))
    return sorted(".".join(("edgec", *path.parts)) for path in found if shipped(path))


def test_packages_are_the_folders() -> None:
    assert SETUPTOOLS["packages"] == folders()


@pytest.mark.parametrize("suffix", [".c", ".h", ".in", ".jsonl", ".toml"])
def test_data_files_are_shipped(suffix: str) -> None:
    patterns = SETUPTOOLS["package-data"].items()
    folder = {package: ROOT.joinpath(*package.split(".")[1:]) for package, _ in patterns}
    listed = {path for package, globs in patterns for glob in globs for path in folder[package].glob(glob)}
    present = {path for path in ROOT.rglob(f"*{suffix}") if shipped(path.relative_to(ROOT)) and path.parent != ROOT}
    assert present <= listed, f"not in package-data: {sorted(str(p.relative_to(ROOT)) for p in present - listed)}"
