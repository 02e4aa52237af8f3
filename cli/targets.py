"""`targets`: what can be compiled for, and what this machine has for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .options import JsonOption
from .output import print_json, print_table

if TYPE_CHECKING:
    from ..backends import Backend
    from ..toolchain import TargetStatus


def command(json: JsonOption = False) -> None:
    """List targets, CPUs and devices, with the compilers and emulators found or missing here."""
    from ..backends import all_backends
    from ..targets import device_names, get_device
    from ..toolchain import describe

    statuses = describe()
    devices = [get_device(name) for name in device_names()]
    if json:
        listed = [{"name": d.name, "target": d.target_name, "cpu": d.cpu, "cores": d.cores} for d in devices]
        rows = [_row(status) for status in statuses]
        print_json({"targets": rows, "devices": listed, "backends": _backend_rows()})
        return
    print_table(("target", "isa", "compiler", "runs", "what it is"), map(_cells, statuses))
    print()
    print_table(("target", "--cpu"), [(s.target.name, ", ".join(_cpus(s)) or "-") for s in statuses])
    print()
    print_table(("--device", "target", "cpu", "what it is"), [_device_cells(device) for device in devices])
    print()
    print_table(("backend", "target", "what it is"), _backend_cells())
    for status in statuses:
        for text in status.missing:
            print(f"{status.target.name}: {text}")
    for backend in all_backends():
        lacks = backend.missing()
        if lacks is not None:
            print(f"{backend.name}: {lacks.what}: {lacks.command}")


def _backend_cells() -> list[tuple[str, ...]]:
    """The targets of all backends but the one whose targets are CPUs, which have a table of their own."""
    from ..backends import all_backends

    return [(b.name, row.name, row.description) for b in all_backends() if b.name != "c" for row in b.targets()]


def _backend_rows() -> list[dict[str, Any]]:
    from ..backends import all_backends

    return [_backend_row(backend) for backend in all_backends()]


def _backend_row(backend: Backend) -> dict[str, Any]:
    lacks = backend.missing()
    missing = None if lacks is None else {"what": lacks.what, "command": lacks.command}
    targets = [{"name": row.name, "description": row.description} for row in backend.targets()]
    return {"name": backend.name, "targets": targets, "missing": missing}


def _device_cells(device: Any) -> tuple[str, ...]:
    return device.name, device.target_name, device.cpu, device.description


def _row(status: TargetStatus) -> dict[str, Any]:
    target, compiler = status.target, status.compiler
    about: dict[str, Any] = {
        "name": target.name,
        "row": target.row,
        "description": target.description,
        "isa": target.isa,
    }
    about |= {"arch": target.arch, "lanes": target.lanes, "features": list(target.features), "cpus": _cpus(status)}
    found = {"kind": compiler.kind, "version": compiler.version} if compiler else None
    return {**about, "compiler": found, "runs": status.runs, "missing": list(status.missing)}


def _cells(status: TargetStatus) -> tuple[str, ...]:
    target = status.target
    name = f"{target.name} ({target.row})" if target.name != target.row else target.name
    return name, target.isa, status.compiler.version if status.compiler else "none", status.runs, target.description


def _cpus(status: TargetStatus) -> list[str]:
    from ..targets import cpu_names

    return list(cpu_names(status.target.name))
