"""`passes`: what can be done to a graph, and in which order it is."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, cast

from .options import JsonOption, PluginOption
from .output import print_json

if TYPE_CHECKING:
    from ..passes import Pass


def command(plugin: PluginOption = None, json: JsonOption = False) -> None:
    """List the passes with their options, and the order of the default pipeline."""
    from ..driver import load_plugins
    from ..passes import default_pipeline, known_passes
    from ..passes.registry import text_of

    load_plugins(plugin or ())
    order = [text_of(each) for each in default_pipeline()]
    rows = [_row(name, cls) for name, cls in known_passes().items()]
    if json:
        print_json({"passes": rows, "pipeline": order})
        return
    for row in rows:
        print(f"{row['name']}\n    {row['summary']}")
        for option, default in row["options"].items():
            print(f"    {{{option}={default}}}")
    print("\ndefault pipeline:\n    " + "\n    ".join(order))


def _row(name: str, cls: type[Pass]) -> dict[str, Any]:
    fields = dataclasses.fields(cast(Any, cls))
    options = {field.name: _default(field) for field in fields if field.init}
    return {"name": name, "summary": " ".join((inspect.getdoc(cls) or "").split()), "options": options}


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is dataclasses.MISSING:
        return None
    return field.default if isinstance(field.default, (bool, int, float, str)) else str(field.default)
