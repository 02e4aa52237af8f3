"""The backends by name: those of this package, of installed packages, and of plugin files."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from ..errors import UsageError
from ..escaping import escape
from ..targets import Target, device_names, get_target
from ..targets.toml_rows import unknown
from .protocol import Backend, Goal

GROUP = "edgec.backends"
"""Entry-point group of installed packages that bring a backend: each is an object or a class without arguments."""

OWN = ("c", "tvm", "tensorrt")
BACKENDS: dict[str, Backend] = {}
"""Every known backend by its name, `c` first."""


def register(backend: Backend) -> Backend:
    """Make a backend known by its name; UsageError where another one has the name."""
    _load_own()
    return _add(backend)


def _add(backend: Backend) -> Backend:
    known = BACKENDS.setdefault(backend.name, backend)
    if _home(known) != _home(backend):
        raise UsageError(f"backend '{escape(backend.name)}' is there twice", where=f"{_home(known)}, {_home(backend)}")
    return known


def _home(backend: Backend) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def all_backends() -> tuple[Backend, ...]:
    """Every backend there is."""
    _load_own()
    _load_installed()
    return tuple(BACKENDS.values())


def find_backend(name: str) -> Backend:
    """The backend of a name; UsageError with the known names where there is none."""
    all_backends()
    if name not in BACKENDS:
        raise UsageError(f"there is no backend '{escape(name)}'", hint=f"backends: {', '.join(BACKENDS)}")
    return BACKENDS[name]


def find_goal(target: str | Target, cpu: str | None = None) -> Goal:
    """What a target's name means; UsageError with the names of all backends where none knows it.

    A `Target` is a goal of the C backend.
    """
    if isinstance(target, Target):
        return Goal(find_backend("c"), target.name, target.description, target)
    for backend in all_backends():
        goal = backend.goal(target, cpu or "")
        if goal is not None:
            return goal
    if target in device_names():
        get_target(target)  # says which option takes it
    raise unknown("target", target, [row.name for backend in all_backends() for row in backend.targets()])


@cache
def _load_own() -> None:
    for name in OWN:
        _add(importlib.import_module(f"{__package__}.{name}.backend").BACKEND)


@cache
def _load_installed() -> None:
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        register(_entry(point))


def _entry(point: EntryPoint) -> Backend:
    try:
        found = point.load()
        backend: Backend = found() if isinstance(found, type) else found
        return backend
    except Exception as error:
        what = f"the installed backend '{escape(point.name)}' ({escape(point.value)}) does not load"
        raise UsageError(f"{what}: {type(error).__name__}: {escape(str(error))}") from error
