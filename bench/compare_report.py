"""What `compare.py` makes of its measurements: a Markdown table, its place in a page, and a picture."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Times = dict[str, Any]
"""The file of one case."""

OURS = "edgec"
WIDTH, LEFT, ROW, TOP, MOST = 640, 190, 22, 40, 4.0


def minimum(times: Times, engine: str) -> float:
    """The least milliseconds of an engine; NaN where it took no part."""
    return float(times["engines"].get(engine, {}).get("min_ms", math.nan))


def ratio(times: Times) -> float:
    """The best other engine's time over ours: above 1 ours is faster."""
    others = [minimum(times, name) for name in times["engines"] if name != OURS]
    return min((ms for ms in others if not math.isnan(ms)), default=math.nan) / minimum(times, OURS)


def mean(found: Sequence[Times]) -> float:
    """The geometric mean of the ratios that there are."""
    ratios = [r for r in map(ratio, found) if not math.isnan(r)]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan


def line(times: Times) -> str:
    """One case in words."""
    said = ", ".join(f"{name} {_cell(minimum(times, name))}" for name in times["engines"])
    return f"{times['network']} {times['target']} x{times['threads']}: {said}: {ratio(times):.2f}"


def table(found: Sequence[Times]) -> str:
    """Least milliseconds of every engine on every network, and the ratio of the best other one to ours."""
    names = list(dict.fromkeys(name for times in found for name in times["engines"]))
    lines = ["| network | " + " | ".join(names) + " | best other / edgec |", "| --- |" + " ---: |" * (len(names) + 1)]
    for times in found:
        cells = [_cell(minimum(times, name)) for name in names]
        lines.append(f"| {times['network']} | {' | '.join(cells)} | {ratio(times):.2f} |")
    lines.append(f"| geometric mean |{' |' * len(names)} {mean(found):.2f} |")
    return "\n".join(lines)


def _cell(milliseconds: float) -> str:
    return "-" if math.isnan(milliseconds) else f"{milliseconds:.3f}"


def put(page: Path, name: str, content: str) -> None:
    """Replace what stands in a page between `<!-- measured: NAME -->` and `<!-- end measured -->`."""
    part = re.compile(rf"(<!-- measured: {re.escape(name)} -->\n).*?(<!-- end measured -->)", re.DOTALL)
    text, count = part.subn(lambda found: f"{found[1]}\n{content}\n\n{found[2]}", page.read_text(encoding="utf-8"))
    if not count:
        raise SystemExit(f"{page} has no part '<!-- measured: {name} -->'")
    page.write_text(text, encoding="utf-8")


def draw(path: Path, found: Sequence[Times]) -> None:
    """A picture with a bar for each network: how many times as long the best other engine takes."""
    height = TOP + ROW * (len(found) + 1) + 8
    scale = (WIDTH - LEFT - 60) / MOST
    size = f'width="{WIDTH}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13" fill="#222">'
    caption = f'<text x="{LEFT}" y="22" font-size="15">time of the fastest other engine / time of edgec</text>'
    rows = [(str(times["network"]), ratio(times)) for times in found] + [("geometric mean", mean(found))]
    bars = [_bar(i, name, value, scale) for i, (name, value) in enumerate(rows)]
    equal = f'<line x1="{LEFT + scale:.1f}" y1="{TOP - 6}" x2="{LEFT + scale:.1f}" y2="{height - 8}" stroke="#222"/>'
    path.write_text("\n".join([head, caption, *bars, equal, "</svg>", ""]), encoding="utf-8")


def _bar(place: int, name: str, value: float, scale: float) -> str:
    if math.isnan(value):
        return ""
    y, length = TOP + ROW * place, min(value, MOST) * scale
    colour = "#2a6fdb" if value >= 1 else "#c0504d"
    return (
        f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{html.escape(name)}</text>'
        f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{ROW - 7}" fill="{colour}"/>'
        f'<text x="{LEFT + length + 6:.1f}" y="{y + 12}">{value:.2f}</text>'
    )
