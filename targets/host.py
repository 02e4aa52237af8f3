"""The machine this runs on: its architecture, CPU features and caches."""

from __future__ import annotations

import functools
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Best first: the rows (and cpus that refine them) that `host` may stand for.
HOST_ROWS = (
    ("x86-64-v4", "bf16"),
    ("x86-64-v4", ""),
    ("x86-64-v4", "cascadelake"),
    ("x86-64-v4", "skylake-avx512"),
    ("x86-64-v3", ""),
    ("x86-64", ""),
    ("arm-neon-dot", ""),
    ("arm-neon", ""),
    ("armv7-neon", ""),
)

_ARCHITECTURES = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "aarch64": "aarch64",
    "arm64": "aarch64",
    "armv7l": "armv7",
    "armv8l": "armv7",
}
_FEATURE_NAMES = {
    "avx512_vnni": "avx512vnni",
    "avx512_bf16": "avx512bf16",
    "asimd": "neon",
    "asimddp": "dotprod",
    "asimdhp": "fp16",
}
# What every CPU of an architecture has, for systems that do not list it.
_BASELINE = {"x86_64": {"sse2"}, "aarch64": {"neon"}}
_NUMBERED = ("cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU variant", "CPU revision")
_SIZE_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Host:
    """A machine; cache sizes are in bytes and 0 where unknown or absent."""

    system: str
    arch: str
    cores: int
    features: frozenset[str]
    l1_bytes: int = 0
    l2_bytes: int = 0
    l3_bytes: int = 0
    line_bytes: int = 0

    def has_all(self, features: tuple[str, ...]) -> bool:
        """Return whether this CPU has all `features`."""
        return not self.missing(features)

    def missing(self, features: tuple[str, ...]) -> tuple[str, ...]:
        """Return the `features` that this CPU lacks."""
        return tuple(feature for feature in features if feature not in self.features)

    def cache_bytes(self) -> dict[str, Any]:
        """Return the fields of a Target that describe the caches; empty where they are unknown."""
        if not (self.l1_bytes and self.line_bytes):
            return {}
        names = ("l1_bytes", "l2_bytes", "l3_bytes", "line_bytes")
        return {name: getattr(self, name) for name in names}


@functools.cache
def host() -> Host:
    """Return the machine this runs on."""
    return detect(platform.system(), platform.machine(), Path("/"))


@functools.cache
def host_cpu() -> str:
    """Return what the CPU of this machine calls itself."""
    return cpu_model("\n".join(_lines(Path("/proc/cpuinfo"))))


def detect(system: str, machine: str, root: Path) -> Host:
    """Return the host that `machine` and the files `proc/cpuinfo` and `sys/devices` under `root` describe."""
    arch = _architecture(machine)
    features = frozenset(_BASELINE.get(arch, set()) | _cpu_features(root / "proc/cpuinfo"))
    if system == "Darwin" and arch == "aarch64":
        features |= {"dotprod", "fp16"}
    return Host(system, arch, os.cpu_count() or 1, features, **_caches(root / "sys/devices/system/cpu/cpu0/cache"))


def cpu_model(cpuinfo: str) -> str:
    """Return what a CPU calls itself in the text of /proc/cpuinfo: its name, and the numbers that tell models apart."""
    said = dict(reversed([_fact(line) for line in cpuinfo.splitlines() if ":" in line]))
    name = next((said[key] for key in ("model name", "Model", "uarch") if said.get(key)), "unknown CPU")
    numbers = [f"{key} {said[key]}" for key in _NUMBERED if key in said]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def _fact(line: str) -> tuple[str, str]:
    key, _, value = line.partition(":")
    return key.strip(), " ".join(value.split())


def _architecture(machine: str) -> str:
    arch = _ARCHITECTURES.get(machine.lower(), "other")
    small_pointers = sys.maxsize < 2**32
    if small_pointers and arch == "aarch64":
        return "armv7"
    return "other" if small_pointers and arch == "x86_64" else arch


def _cpu_features(cpuinfo: Path) -> set[str]:
    """Return the features that all cores have, by edgec's names."""
    cores = [set(line.split(":", 1)[1].split()) for line in _lines(cpuinfo) if _lists_features(line)]
    common = set.intersection(*cores) if cores else set()
    return {_FEATURE_NAMES.get(name, name) for name in common}


def _lists_features(line: str) -> bool:
    return line.split(":")[0].strip().lower() in ("flags", "features") and ":" in line


def _caches(folder: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for index in sorted(folder.glob("index*")):
        level, kind, size, line = (_text(index / name) for name in ("level", "type", "size", "coherency_line_size"))
        if kind in ("Data", "Unified") and level in ("1", "2", "3"):
            sizes[f"l{level}_bytes"] = _bytes(size)
            sizes["line_bytes"] = _bytes(line)
    return sizes


def _bytes(size: str) -> int:
    number, unit = (size[:-1], _SIZE_UNITS[size[-1]]) if size[-1:] in _SIZE_UNITS else (size, 1)
    return int(number) * unit if number.isdigit() else 0


def _text(path: Path) -> str:
    return "".join(_lines(path)).strip()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
