"""Boards and machines that people deploy to: a target with a CPU, cores, memory and caches."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .table import get_target
from .target import Target
from .toml_rows import read_row, row_names, unknown


@dataclass(frozen=True)
class Device:
    """A device; cache sizes are bytes a core can use (0: none), `target_name` and `cpu` name its target."""

    name: str
    description: str
    target_name: str
    cpu: str
    cores: int
    ram_bytes: int
    l1_bytes: int
    l2_bytes: int
    l3_bytes: int

    @property
    def target(self) -> Target:
        """The target refined for this device's CPU, with this device's caches."""
        target = get_target(self.target_name, self.cpu)
        return replace(target, l1_bytes=self.l1_bytes, l2_bytes=self.l2_bytes, l3_bytes=self.l3_bytes)


def device_names() -> tuple[str, ...]:
    """Return the names that `get_device` takes."""
    return row_names("devices")


def get_device(name: str) -> Device:
    """Return device `name`; raises UsageError for an unknown one."""
    if name not in device_names():
        raise unknown("device", name, device_names())
    row = dict(read_row("devices", name))
    return Device(name=name, target_name=row.pop("target"), **row)
