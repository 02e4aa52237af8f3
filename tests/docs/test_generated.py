"""What the documentation repeats from the code is what the code says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def loaded() -> ModuleType:
    """docs/generate.py, which is no part of the package, and finds parts/ beside it."""
    spec = importlib.util.spec_from_file_location("edgec_docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        spec.loader.exec_module(module)
    return module


generate = loaded()
MEASURED = re.compile(r"<!-- measured: [a-z0-9-]+ -->\n(?:(?!<!-- ).)*?<!-- end measured -->", re.DOTALL)
"""What programs under bench/ write into pages: the next marker after the beginning of a part is its end."""


@pytest.mark.parametrize("page", generate.PAGES, ids=lambda page: page.name)
def test_no_part_is_stale(page: Path, bless: bool) -> None:
    text = page.read_text(encoding="utf-8")
    fresh = generate.filled(text)
    if bless:
        page.write_text(fresh, encoding="utf-8")
    assert text == fresh or bless, "run `python docs/generate.py`"


def test_every_part_is_shown_somewhere() -> None:
    used = {found["name"] for page in generate.PAGES for found in generate.PART.finditer(page.read_text("utf-8"))}
    assert used == set(generate.PARTS)


def test_every_marker_is_well_formed() -> None:
    for page in generate.PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("<!-- generated:") == text.count("<!-- end -->") == len(generate.PART.findall(text))
        assert text.count("<!-- measured:") == text.count("<!-- end measured -->") == len(MEASURED.findall(text))
