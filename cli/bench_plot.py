"""A picture of measured times: a bar for each engine, its end the median, a line in it the minimum."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape as escape_html
from pathlib import Path
from typing import Any

from ..escaping import escape
from .output import write_whole

WIDTH, LEFT, ROW, TOP = 640, 120, 28, 44
OURS, OTHERS, INK = "#2a6fdb", "#b9c2cf", "#222"


def write_plot(path: Path, title: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Write an SVG file; engines without times are left out."""
    write_whole(path, drawn(title, results).encode())


def drawn(title: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """The SVG text."""
    rows = {name: row for name, row in results.items() if "median_ms" in row}
    longest = max((row["median_ms"] for row in rows.values()), default=1.0)
    scale = (WIDTH - LEFT - 110) / longest
    height = TOP + ROW * len(rows) + 8
    bars = [_bar(i, name, row, scale) for i, (name, row) in enumerate(rows.items())]
    size = f'width="{WIDTH}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">'
    caption = f'<text x="{LEFT}" y="24" font-size="15" fill="{INK}">{escape_html(escape(title))}: milliseconds</text>'
    return "\n".join([head, caption, *bars, "</svg>", ""])


def _bar(place: int, name: str, row: Mapping[str, Any], scale: float) -> str:
    y, median, least = TOP + ROW * place, row["median_ms"], row["min_ms"]
    colour, middle = OURS if name == "edgec" else OTHERS, y + 15
    end, mark = LEFT + median * scale, LEFT + least * scale
    return (
        f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end" fill="{INK}">{escape_html(name)}</text>'
        f'<rect x="{LEFT}" y="{y}" width="{median * scale:.1f}" height="{ROW - 8}" fill="{colour}"/>'
        f'<line x1="{mark:.1f}" y1="{y}" x2="{mark:.1f}" y2="{y + ROW - 8}" stroke="{INK}"/>'
        f'<text x="{end + 6:.1f}" y="{middle}" fill="{INK}">{median:.3f} (min {least:.3f})</text>'
    )
