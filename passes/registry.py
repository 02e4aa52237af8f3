"""The passes by name: registration, lookup, and the text that chooses passes and their options.

A pass is a frozen dataclass whose fields are its options:

    @register
    @dataclass(frozen=True)
    class RoundWeights:
        name: ClassVar[str] = "round-weights"
        after: ClassVar[str] = "fold-scales"
        bits: int = 8

        def run(self, graph: Graph) -> Graph: ...

`fold-constants,round-weights{bits=4}` writes a list of passes. `after` or `before` names the pass of the default
pipeline that a plugin's pass stands next to.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.util
import pkgutil
import re
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from ..errors import UsageError
from ..escaping import escape
from ..ir import Graph

GROUP = "edgec.passes"
"""Entry-point group of installed packages that bring passes; loading one runs its `@register`."""


class Pass(Protocol):
    """Graph to graph. It may edit the graph in place and return it.

    Optional class variables: `before` and `after` name a pass of the default pipeline to stand next to; with
    `throughout` False it runs on the network alone, not on the bodies of its control flow; one that only `checks`
    runs also where a pass before it has refused nodes, so that all are named at once.
    """

    name: ClassVar[str]

    def run(self, graph: Graph) -> Graph:
        """The rewritten graph."""


PASSES: dict[str, type[Pass]] = {}
"""Every registered pass by its name."""

Registered = TypeVar("Registered", bound="type[Pass]")


def register(cls: Registered) -> Registered:
    """Make a pass known by its name; `UsageError` when it is no pass or another one has the name."""
    name = getattr(cls, "name", "")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise UsageError(f"pass {cls.__qualname__} needs a `name` in lower case, digits and dashes, has {name!r}")
    if not callable(getattr(cls, "run", None)) or not dataclasses.is_dataclass(cls):
        raise UsageError(f"pass '{name}' must be a dataclass with a method `run(graph)`", where=_home(cls))
    if name in PASSES and _home(PASSES[name]) != _home(cls):
        raise UsageError(f"pass '{name}' is registered twice", where=f"{_home(PASSES[name])} and {_home(cls)}")
    PASSES[name] = cls
    return cls


def _home(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


# --- finding --------------------------------------------------------------------------------------------------------


def known_passes() -> dict[str, type[Pass]]:
    """Every pass there is, sorted by name, with those of installed packages."""
    _load_own()
    load_installed()
    return dict(sorted(PASSES.items()))


def find_pass(name: str) -> type[Pass]:
    """The pass of a name; `UsageError` with the nearest names where there is none."""
    if name not in PASSES:
        _load_by_name(name)
    if name not in PASSES:
        known_passes()
    if name not in PASSES:
        raise UsageError(f"there is no pass '{escape(name)}'", hint=_nearest(name, sorted(PASSES), "passes"))
    return PASSES[name]


def _load_by_name(name: str) -> None:
    """Import the module of this package that a pass stands in when its file has its name."""
    module = f"{__package__}.{name.replace('-', '_')}"
    if re.fullmatch(r"[a-z][a-z0-9-]*", name) and importlib.util.find_spec(module):
        importlib.import_module(module)


@cache
def _load_own() -> None:
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{__package__}.{module.name}")


@cache
def load_installed() -> None:
    """Import the passes that installed packages offer under the entry-point group."""
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        _load_entry(point)


def _load_entry(point: EntryPoint) -> None:
    try:
        point.load()
    except Exception as error:
        what = f"the installed plugin '{escape(point.name)}' ({escape(point.value)}) does not load"
        raise UsageError(f"{what}: {type(error).__name__}: {escape(str(error))}") from error


def _nearest(name: str, known: Sequence[str], kind: str) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return (f"did you mean '{close[0]}'? " if close else "") + f"{kind}: {', '.join(known) or 'none'}"


# --- making ---------------------------------------------------------------------------------------------------------


def make_pass(name: str, options: Mapping[str, Any] | None = None) -> Pass:
    """A pass with options; texts are read as the field's type says, other values are taken as they are."""
    cls = find_pass(name)
    fields = {f.name for f in dataclasses.fields(typing.cast(Any, cls)) if f.init}
    hints = typing.get_type_hints(cls)
    given: dict[str, Any] = {}
    for option, value in (options or {}).items():
        if option not in fields:
            hint = _nearest(option, sorted(fields), "options")
            raise UsageError(f"pass '{name}' has no option '{escape(option)}'", hint=hint)
        given[option] = _read(name, option, value, hints[option]) if isinstance(value, str) else value
    return cls(**given)


def _read(name: str, option: str, text: str, kind: Any) -> Any:
    readers: dict[Any, Any] = {bool: {"true": True, "false": False}.__getitem__, int: int, float: float, str: str}
    if kind not in readers:
        raise UsageError(f"option '{option}' of pass '{name}' cannot be written as text")
    try:
        return readers[kind](text)
    except (ValueError, KeyError):
        wanted = "true or false" if kind is bool else f"of type {kind.__name__}"
        raise UsageError(f"option '{option}' of pass '{name}' must be {wanted}, is '{escape(text)}'") from None


def text_of(chosen: Pass) -> str:
    """A pass as `parse_passes` reads it, with the options that differ from their defaults."""
    fields = dataclasses.fields(typing.cast(Any, chosen))
    changed = [(f.name, getattr(chosen, f.name)) for f in fields if getattr(chosen, f.name) != f.default]
    options = ",".join(f"{name}={str(v).lower() if isinstance(v, bool) else v}" for name, v in changed)
    return f"{chosen.name}{{{options}}}" if options else chosen.name


# --- text -----------------------------------------------------------------------------------------------------------

ITEM = re.compile(r"\s*(?P<sign>[+-]?)(?P<name>[A-Za-z][\w.-]*)\s*(?:\{(?P<options>[^{}]*)\})?\s*(?:,|$)")


def parse_passes(text: str, default: Sequence[Pass] = ()) -> list[Pass]:
    """The passes that a text names, as `fold-constants,fuse{strategy=greedy}`.

    When every item begins with + or -, the text changes `default`: `-name` takes a pass out wherever it stands, `+name`
    puts one in where its anchors say, at the end when it has none. `UsageError` says what is known.
    """
    items = list(_items(text))
    signed = {bool(sign) for sign, _, _ in items}
    if signed == {True, False}:
        hint = "write + or - before each name, or before none"
        raise UsageError(f"'{escape(text)}' mixes a list of passes with changes to the default list", hint=hint)
    found = list(default) if True in signed else []
    for sign, name, options in items:
        if sign == "-":
            found = _without(found, name)
        else:
            made = make_pass(name, options)
            found = slot(found, made) if sign else [*found, made]
    return found


def _items(text: str) -> typing.Iterator[tuple[str, str, dict[str, str]]]:
    position = 0
    while position < len(text):
        item = ITEM.match(text, position)
        if not item:
            hint = "write them like fold-constants,fuse{strategy=greedy}"
            raise UsageError(f"'{escape(text[position:])}' is not a list of passes", hint=hint)
        yield item["sign"], item["name"], _options(item["name"], item["options"] or "")
        position = item.end()


def _options(name: str, text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    for option, equals, _ in pairs:
        if not equals:
            what = f"option '{escape(option.strip())}' of pass '{escape(name)}' has no value"
            raise UsageError(what, hint="write option=value")
    return {option.strip(): value.strip() for option, _, value in pairs}


def _without(passes: Sequence[Pass], name: str) -> list[Pass]:
    left = [p for p in passes if p.name != name]
    if len(left) == len(passes):
        hint = _nearest(name, list(dict.fromkeys(p.name for p in passes)), "passes in the list")
        raise UsageError(f"pass '{escape(name)}' is not in the list and cannot be taken out", hint=hint)
    return left


def slot(passes: Sequence[Pass], new: Pass) -> list[Pass]:
    """A list with a pass put next to its anchor: after the first `after`, or else before the first `before`.

    A pass with no anchor goes to the end; `UsageError` when its anchors are not in the list.
    """
    names = [p.name for p in passes]
    after, before = getattr(new, "after", ""), getattr(new, "before", "")
    if not after and not before:
        return [*passes, new]
    anchor = next((a for a in (after, before) if a in names), None)
    if anchor is None:
        wanted = " or ".join(f"'{a}'" for a in (after, before) if a)
        hint = _nearest(after or before, list(dict.fromkeys(names)), "passes in the list")
        raise UsageError(f"pass '{new.name}' stands next to {wanted}, which is not in the list", hint=hint)
    place = names.index(anchor) + (1 if anchor == after else 0)
    return [*passes[:place], new, *passes[place:]]
