"""A page that shows the arena over time: one file with nothing to load."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from .memory_plot import live_bytes
from .output import size

WIDTH, HEIGHT = 1200, 560
COLOURS = 12

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 14px sans-serif; margin: 2em; color: #222; background: #fff; }}
svg {{ border: 1px solid #999; width: 100%; height: auto; }}
rect:hover {{ stroke: #000; stroke-width: 2; }}
table {{ border-collapse: collapse; }} td, th {{ padding: 2px 12px 2px 0; text-align: left; }}
</style></head><body>
<h1>{title}</h1>
<p>{summary}</p>
<h2>Arena: time to the right, addresses upwards; point at a block for its name</h2>
{map}
<h2>Steps</h2>
<table><tr><th>step</th><th>live</th><th>what</th></tr>
{steps}
</table>
</body></html>
"""


def page(facts: Mapping[str, Any]) -> str:
    """Return the page for what `inspect` found."""
    memory = facts["memory"] or {"bytes": 0, "lower_bound": 0, "steps": [], "buffers": []}
    summary = f"{facts['parameters']:,} parameters, {facts['macs']:,} MACs, arena {size(memory['bytes'])}"
    summary += f" (lower bound {size(memory['lower_bound'])})"
    title = html.escape(f"{facts['model']} for {facts['target']}")
    return _PAGE.format(title=title, summary=html.escape(summary), map=_map(memory), steps=_steps(memory))


def _map(memory: Mapping[str, Any]) -> str:
    across = WIDTH / max(len(memory["steps"]), 1)
    upwards = HEIGHT / max(memory["bytes"], 1)
    blocks = "\n".join(_block(i, buffer, across, upwards) for i, buffer in enumerate(memory["buffers"]))
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" xmlns="http://www.w3.org/2000/svg">\n{blocks}\n</svg>'


def _block(number: int, buffer: Mapping[str, Any], across: float, upwards: float) -> str:
    width = (buffer["last"] - buffer["first"] + 1) * across
    height = buffer["bytes"] * upwards
    top = HEIGHT - buffer["offset"] * upwards - height
    hue = number * 360 // COLOURS * 5 % 360
    place = f'x="{buffer["first"] * across:.2f}" y="{top:.2f}" width="{width:.2f}" height="{height:.2f}"'
    name = buffer["value"] or f"buffer {number}"
    text = f"{name}: {size(buffer['bytes'])} at {buffer['offset']}, steps {buffer['first']} to {buffer['last']}"
    return f'<rect {place} fill="hsl({hue},60%,70%)" stroke="#666"><title>{html.escape(text)}</title></rect>'


def _steps(memory: Mapping[str, Any]) -> str:
    live = live_bytes(memory["buffers"], len(memory["steps"]))
    return "\n".join(_step(i, count, name) for i, (count, name) in enumerate(zip(live, memory["steps"], strict=True)))


def _step(number: int, count: int, name: str) -> str:
    return f"<tr><td>{number}</td><td>{size(count)}</td><td>{html.escape(name)}</td></tr>"
