"""A page that shows what quantizing each layer costs: one file with nothing to load."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .quantization import change, percent, short

ROW, BAR, LABEL, WIDTH = 30, 11, 300, 1100
MOST = 80.0
COLOURS = {"alone": "#c0504d", "without": "#4f81bd"}

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 14px sans-serif; margin: 2em; color: #222; background: #fff; }}
svg {{ width: 100%; height: auto; }} svg text {{ font: 12px sans-serif; }}
table {{ border-collapse: collapse; }} td, th {{ padding: 2px 12px 2px 0; text-align: left; }}
pre {{ background: #f4f4f4; padding: 1em; }}
</style></head><body>
<h1>{title}</h1>
<p>{summary}</p>
<h2>Signal to noise of the outputs, in decibels</h2>
<p><span style="color:{alone}">&#9632;</span> this layer alone quantized: a short bar is a layer that hurts.
<span style="color:{without}">&#9632;</span> all but this layer quantized: a long bar is a layer worth keeping in
float.</p>
{plot}
<h2>Layers</h2>
<table><tr><th>layer</th><th>kind</th><th>scheme</th><th>alone</th><th>left out</th><th>metric alone</th>
<th>metric left out</th></tr>
{rows}
</table>
<h2>Configuration</h2>
<pre>{config}</pre>
</body></html>
"""


def page(facts: Mapping[str, Any]) -> str:
    """Return the page for what `quantize --report` found."""
    costs = facts["sensitivity"]
    summary = change(facts["accuracy"]) if "accuracy" in facts else "no evaluation data: only noise was measured"
    return _PAGE.format(
        title=html.escape(f"Quantization of {facts['model']}"), summary=html.escape(summary), plot=_plot(costs),
        rows="\n".join(map(_row, costs)), config=html.escape(facts["config"]), **COLOURS,
    )  # fmt: skip


def _plot(costs: Sequence[Mapping[str, Any]]) -> str:
    height = ROW * len(costs) + 2
    bars = "\n".join(_layer(place, cost) for place, cost in enumerate(costs))
    return f'<svg viewBox="0 0 {WIDTH} {height}" xmlns="http://www.w3.org/2000/svg">\n{bars}\n</svg>'


def _layer(place: int, cost: Mapping[str, Any]) -> str:
    top = ROW * place
    name = html.escape(short(cost["name"]))
    label = f'<text x="{LABEL - 8}" y="{top + BAR + 4}" text-anchor="end">{name}</text>'
    bars = [_bar(top + BAR * i, which, cost[which]["sqnr"]) for i, which in enumerate(COLOURS) if cost[which]]
    return "\n".join([label, *bars])


def _bar(top: int, which: str, ratio: float) -> str:
    length = (WIDTH - LABEL - 80) * min(max(ratio, 0.0), MOST) / MOST
    said = _decibels(ratio)
    bar = f'<rect x="{LABEL}" y="{top}" width="{length:.1f}" height="{BAR - 1}" fill="{COLOURS[which]}"/>'
    return f'{bar}<text x="{LABEL + length + 4:.1f}" y="{top + BAR - 2}">{said}</text>'


def _row(cost: Mapping[str, Any]) -> str:
    scores = [cost[which] or {"sqnr": math.nan, "metric": None} for which in COLOURS]
    cells = [cost["name"], cost["kind"], cost["scheme"], *(_decibels(one["sqnr"]) for one in scores)]
    cells += [percent(one["metric"]) for one in scores]
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"


def _decibels(ratio: float) -> str:
    return f"{ratio:.1f}" if math.isfinite(ratio) else "-" if math.isnan(ratio) else "no noise"
