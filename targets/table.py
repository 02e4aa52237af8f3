"""The table of targets, and how `--cpu` refines a row of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .host import HOST_ROWS, host
from .target import Target
from .toml_rows import read_row, row_names, unknown

_TABLES = {"flags", "cpu_flags", "more_flags", "cpus", "features"}


def target_names() -> tuple[str, ...]:
    """Return the names that `get_target` takes, `host` first."""
    return ("host", *row_names("rows"))


def cpu_names(name: str) -> tuple[str, ...]:
    """Return the CPUs that refine target `name`; raises UsageError for an unknown target."""
    return tuple(sorted(_row(_row_name(name)).get("cpus", {})))


def get_target(name: str, cpu: str | None = None) -> Target:
    """Return target `name`, refined for `cpu` (`cortex-a72`); raises UsageError for unknown names.

    `host` is the machine this runs on: the best row its CPU can execute, with its own cache sizes.
    """
    if name != "host":
        return _from_row(name, cpu or "")
    row, detected_cpu = _host_row()
    target = replace(_from_row(row, cpu or detected_cpu), name="host")
    return replace(target, **host().cache_bytes()) if not cpu else target


def _host_row() -> tuple[str, str]:
    """Return the first row and cpu of HOST_ROWS whose features this machine has."""
    machine = host()
    for row, cpu in HOST_ROWS:
        target = _from_row(row, cpu)
        if target.arch in ("any", machine.arch) and machine.has_all(target.features):
            return row, cpu
    return "c", ""


def _row_name(name: str) -> str:
    return _host_row()[0] if name == "host" else name


def _row(name: str) -> Mapping[str, Any]:
    if name in row_names("rows"):
        return read_row("rows", name)
    known_device = name in row_names("devices")
    raise unknown("target", name, target_names(), f"'{name}' is a device: use --device {name}" if known_device else "")


def _from_row(name: str, cpu: str) -> Target:
    row = _row(name)
    special = _cpu_row(name, row, cpu)
    plain = {key: value for key, value in {**row, **special}.items() if key not in _TABLES}
    tune = plain.pop("tune", cpu or row.get("default_cpu", ""))
    core = plain.pop("core", "" if cpu else row.get("cpus", {}).get(tune, {}).get("core", ""))
    flags = special.get("flags") or (row.get("cpu_flags") if cpu else None) or row["flags"]
    flags = {kind: [*some, *special.get("more_flags", {}).get(kind, ())] for kind, some in flags.items()}
    features = tuple(special.get("features", row["features"]))
    return Target(name=name, row=name, cpu=cpu, tune=tune, core=core, features=features, **_fill(flags, tune), **plain)


def _cpu_row(name: str, row: Mapping[str, Any], cpu: str) -> Mapping[str, Any]:
    if not cpu:
        return {}
    cpus: Mapping[str, Any] = row.get("cpus", {})
    if cpu in cpus:
        special: Mapping[str, Any] = cpus[cpu]
        return special
    hint = "" if cpus else f"leave out --cpu: there is nothing to refine in '{name}'"
    raise unknown("cpu", cpu, sorted(cpus), hint, of=f" for target '{name}'")


def _fill(flags: Mapping[str, list[str]], tune: str) -> dict[str, Any]:
    """Put the cpu into the flags of each kind of compiler; zig spells it with underscores."""
    zig_cpu = tune.replace("-", "_")
    return {kind: tuple(flag.format(cpu=tune, zig_cpu=zig_cpu) for flag in flags[kind]) for kind in flags}
