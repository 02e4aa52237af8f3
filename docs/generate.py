"""Writes the parts of the documentation that follow from the code.

    python docs/generate.py            rewrites what stands between `<!-- generated: NAME -->` and `<!-- end -->`

The functions that write them stand in docs/parts/. tests/docs/test_generated.py fails where a part is stale;
`pytest --bless` rewrites it too.
"""

from __future__ import annotations

import re
from importlib import import_module

from parts.writing import PARTS, ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PART = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

for _file in sorted((ROOT / "docs" / "parts").glob("*.py")):
    import_module(f"parts.{_file.stem}")  # fills the table of parts


def filled(page: str) -> str:
    """A page with all its parts written anew."""
    return PART.sub(lambda found: f"{found[1]}\n{PARTS[found['name']]().rstrip()}\n\n{found[3]}", page)


def main() -> None:
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(f"rewrote {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
