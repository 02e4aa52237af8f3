"""What all tests share: the folder of models, and `--bless` to rewrite expected output."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of models; ask for it only in tests marked `models`."""
    return MODELS


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of the examples that come with the project."""
    return Path(__file__).parents[1] / "examples"
