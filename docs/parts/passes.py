"""The default pipeline, and what each pass is."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from parts.writing import ROOT, part, sentence, table

from edgec.passes import known_passes

STEP = re.compile(r'^    \("(?P<name>[a-z-]+)", \{.*\}\),  # (?P<why>.+)$|^(?P<list>[A-Z]+): tuple', re.MULTILINE)


@part
def pipeline() -> str:
    """The steps with the reasons that stand beside them in pipeline.py."""
    source = (ROOT / "passes" / "pipeline.py").read_text(encoding="utf-8")
    rows, current = [], ""
    for found in STEP.finditer(source):
        current = found["list"] or current
        if found["name"]:
            rows.append((str(len(rows) + 1), f"[`{found['name']}`](#{found['name']})", found["why"]))
    return table(("", "pass", "why it stands there"), rows)


@part
def passes() -> str:
    own = [cls for cls in known_passes().values() if cls.__module__.startswith("edgec.")]
    return "\n\n".join(_pass_section(cls) for cls in own)


def _pass_section(cls: type[Any]) -> str:
    module = sys.modules[cls.__module__]
    file = f"{cls.__module__.removeprefix('edgec.').replace('.', '/')}.py"
    lines = [f"### {cls.name}", "", " ".join((inspect.getdoc(cls) or "").split()), ""]
    options = [f"`{f.name}={_default(f)}`" for f in dataclasses.fields(cls)]
    lines += [f"Options: {', '.join(options)}.", ""] if options else []
    lines += [f"Source: [{file}](../{file})"]
    rules = [(f"`{rule.__name__}`", sentence(rule)) for rule in _rules(module)]
    return "\n".join([*lines, *(["", table(("rule", "what it does"), rules)] if rules else [])])


def _default(field: dataclasses.Field[Any]) -> str:
    default = None if field.default is dataclasses.MISSING else field.default
    return str(default).lower() if isinstance(default, bool) else str(default)


def _rules(module: ModuleType) -> Sequence[Callable[..., Any]]:
    """The rules that a pass's module lists, or those of the one module of rules that it imports."""
    if hasattr(module, "RULES"):
        return list(module.RULES)
    used = [value for value in vars(module).values() if isinstance(value, ModuleType)]
    return [rule for each in used for rule in getattr(each, "RULES", ())]
