"""What all tests share: the folder of models, and `--bless` to rewrite expected output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgec.toolchain import compiler

from .kept_objects import keeping

MODELS = Path(os.environ.get("EDGEC_MODELS", "no-models")).resolve()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="rewrite the expected output of snapshot tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if MODELS.is_dir():
        return
    for item in items:
        if item.get_closest_marker("models"):
            item.add_marker(pytest.mark.skip(reason="EDGEC_MODELS names no folder"))


@pytest.fixture
def bless(request: pytest.FixtureRequest) -> bool:
    """True where expected output is to be rewritten instead of compared."""
    return bool(request.config.getoption("--bless"))


@pytest.fixture(scope="session", autouse=True)
def kept_objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """One folder of objects for all processes of the tests, so that the same C is compiled once."""
    place = tmp_path_factory.getbasetemp()
    folder = (place.parent if "PYTEST_XDIST_WORKER" in os.environ else place) / "objects"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler._Build, "_compile_one", keeping(folder, compiler._Build._compile_one))
        yield patch


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of models; ask for it only in tests marked `models`."""
    return MODELS


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of the examples that come with the project."""
    return Path(__file__).parents[1] / "examples"
