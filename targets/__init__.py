"""What edgec compiles for: one TOML row a target, one a device, and the machine it runs on."""

from .device import Device, device_names, get_device
from .host import Host, cpu_model, host, host_cpu
from .table import cpu_names, get_target, target_names
from .target import Target

__all__ = [
    "Device",
    "Host",
    "Target",
    "cpu_model",
    "cpu_names",
    "device_names",
    "get_device",
    "get_target",
    "host",
    "host_cpu",
    "target_names",
]
