"""`knobs`: the environment variables that edgec reads."""

from __future__ import annotations

import os

from .options import JsonOption
from .output import print_json, print_table

KNOBS = {
    "EDGEC_DEBUG": "1 passes and their time, and tracebacks; 2 the IR after each; 3 rules that fired; 4 that refused",
    "EDGEC_CC": "the C compiler: gcc, clang, zig or a command",
    "NO_COLOR": "no colours in tables and help",
}


def command(json: JsonOption = False) -> None:
    """List the environment variables that change what edgec does, and their values."""
    rows = [{"name": name, "value": os.environ.get(name), "meaning": text} for name, text in KNOBS.items()]
    if json:
        print_json({"knobs": rows})
        return
    print_table(("variable", "value", "meaning"), [(row["name"], row["value"] or "-", row["meaning"]) for row in rows])
