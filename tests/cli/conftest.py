"""How the tests of the command line run it: in this process, for speed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgec.cli import main


@dataclass
class Result:
    """Exit status and what was printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def edgec(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A call that runs the command line on its arguments."""
    monkeypatch.delenv("EDGEC_DEBUG", raising=False)

    def run(*words: Any) -> Result:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Path:
    """The example, compiled for this machine once; look, do not touch."""
    folder = tmp_path_factory.mktemp("built") / "digits"
    assert main(["compile", str(examples / "digits.onnx"), "-o", str(folder)]) == 0
    return folder


@pytest.fixture
def digits(here: Path, examples: Path) -> Path:
    """A copy of the example model in the working directory."""
    shutil.copy(examples / "digits.onnx", here)
    return Path("digits.onnx")


def tree(folder: Path) -> list[str]:
    """Return the names of everything in a folder, hidden files too."""
    return sorted(os.path.relpath(Path(root) / name, folder) for root, _, names in os.walk(folder) for name in names)
