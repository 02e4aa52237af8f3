"""Links inside the documentation lead somewhere, and nothing in it belongs to one machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`((?:[a-z_]+/)+[\w.-]+\.(?:py|md|ir|h|c|toml|onnx|npz))`")
MADE_UP = ("build/", "my_pass", "family", "NAME")
FOREIGN = re.compile(r"(?<![\w.])/(?:home|work|tmp|root|opt|Users)/|pypi\.org|pythonhosted")


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The names that headings of a page get."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def problem(page: Path, link: str) -> str:
    """Why a link leads nowhere, or nothing; links to other hosts are not followed."""
    if "://" in link:
        return ""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return f"{page.relative_to(ROOT)}: there is no {link}"
    if not target.is_relative_to(ROOT):
        return f"{page.relative_to(ROOT)}: {link} lies outside the project"
    if anchor and anchor not in anchors(target):
        return f"{page.relative_to(ROOT)}: {target.name} has no heading {anchor}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_resolve(page: Path) -> None:
    found = [problem(page, link) for link in LINK.findall(prose(page))]
    assert not any(found), "\n".join(filter(None, found))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_are_named_exist(page: Path) -> None:
    named = [name for name in FILE.findall(prose(page)) if not any(word in name for word in MADE_UP)]
    assert not [name for name in named if not (ROOT / name).exists() and not (page.parent / name).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_nothing_belongs_to_one_machine(page: Path) -> None:
    assert not FOREIGN.findall(page.read_text(encoding="utf-8"))


def test_every_page_is_reached_from_the_readme() -> None:
    todo, seen = [ROOT / "README.md"], set()
    while todo:
        page = todo.pop()
        if page in seen:
            continue
        seen.add(page)
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(prose(page))]
        todo += [target for target in targets if target.suffix == ".md" and target.is_file()]
    assert {page for page in PAGES if page.parent.name == "docs"} <= seen
