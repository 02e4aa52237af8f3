"""`targets`: what can be compiled for, and what this machine has for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .options import JsonOption
from .output import print_json, print_table

if TYPE_CHECKING:
    from ..toolchain import TargetStatus


def command(json: JsonOption = False) -> None:
    """List targets, CPUs and devices, with the compilers and emulators found or missing here."""
    from ..targets import device_names, get_device
    from ..toolchain import describe

    statuses = describe()
    devices = [get_device(name) for name in device_names()]
    if json:
        listed = [{"name": d.name, "target": d.target_name, "cpu": d.cpu, "cores": d.cores} for d in devices]
        print_json({"targets": [_row(status) for status in statuses], "devices": listed})
        return
    print_table(("target", "isa", "compiler", "runs", "what it is"), map(_cells, statuses))
    print()
    print_table(("target", "--cpu"), [(s.target.name, ", ".join(_cpus(s)) or "-") for s in statuses])
    print()
    print_table(("--device", "target", "cpu", "what it is"), [_device_cells(device) for device in devices])
    for status in statuses:
        for text in status.missing:
            print(f"{status.target.name}: {text}")


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
