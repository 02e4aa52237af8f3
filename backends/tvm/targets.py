"""The targets of TVM: this machine, CPUs of the table, and anything that TVM has a description for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...errors import UsageError
from ...escaping import escape
from ...targets import Target, cpu_names, get_target, target_names
from .tiles import Machine

Description = dict[str, Any]
"""A target as TVM takes it: kind, mtriple, mcpu, mattr."""

PREFIX = "tvm"

RISCV = {
    "kind": "llvm",
    "mtriple": "riscv64-linux-gnu",
    "mcpu": "generic-rv64",
    "mattr": ["+m", "+a", "+f", "+d", "+c"],
}
TRIPLES = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu", "armv7": "armv7-linux-gnueabihf"}
CPUS = {"x86-64-v4": "x86-64-v4", "x86-64-v3": "x86-64-v3", "x86-64": "x86-64", "arm-neon": "cortex-a72"}
CPUS |= {"arm-neon-dot": "cortex-a76", "armv7-neon": "cortex-a7"}
ATTRIBUTES = {
    "aarch64": ["+neon"], "armv7": ["+neon", "+vfp4"],
}  # fmt: skip
FEATURES = {"avx512vnni": "+avx512vnni", "dotprod": "+dotprod", "fp16": "+fullfp16"}


def names() -> list[str]:
    """The names of CPUs that this backend serves, but for its pattern."""
    rows = [name for name in target_names() if name not in ("host", "c") and _row(name).arch in TRIPLES]
    return [PREFIX, *(f"{PREFIX}-{name}" for name in rows), f"{PREFIX}-riscv64"]


def _row(name: str) -> Target:
    return get_target(name)


def row_of(target: str, cpu: str) -> Target | None:
    """The row of the CPU behind a target's name; None where the name is none of this backend's."""
    if target == PREFIX:
        return replace(get_target("host", cpu or None), name=PREFIX)
    if target == f"{PREFIX}-riscv64":
        return riscv()
    plain = target.removeprefix(f"{PREFIX}-")
    if target.startswith(f"{PREFIX}:"):
        return described(parsed(target))
    return replace(get_target(plain, cpu or None), name=target) if target in names() else None


def parsed(target: str) -> Description:
    """The JSON object behind `tvm:`; UsageError where it is none of a CPU."""
    try:
        found = json.loads(target.removeprefix(f"{PREFIX}:"))
    except ValueError as error:
        raise UsageError(f"'{escape(target)}' is no JSON object: {error}", hint=HINT) from None
    if not isinstance(found, dict) or found.get("kind", "llvm") != "llvm":
        raise UsageError(f"'{escape(target)}' is no object of kind llvm", hint=HINT)
    return {"kind": "llvm", **found}


HINT = """write it like tvm:{"mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72", "mattr": ["+neon"]}"""


def riscv() -> Target:
    """64-bit RISC-V with floats: no vectors that schedules could count on."""
    base = get_target("c")
    flags = ("-march=rv64gc", "-mabi=lp64d")
    return replace(
        base, name=f"{PREFIX}-riscv64", description="RISC-V, 64 bit (RV64GC)", arch="riscv64", lanes=4, registers=32,
        gcc=flags, clang=("--target=riscv64-linux-gnu", *flags), zig=(), triple="riscv64-linux-gnu",
        zig_triple="riscv64-linux-gnu", zig_static_triple="riscv64-linux-musl", zig_link_cpu="baseline_rv64",
        emulator="qemu-riscv64", emulator_cpu="rv64",
    )  # fmt: skip


def described(description: Mapping[str, Any]) -> Target:
    """A row for a description of TVM's: that of its instruction set's baseline."""
    triple = str(description.get("mtriple", ""))
    base = {"aarch64": "arm-neon", "arm64": "arm-neon", "armv7": "armv7-neon", "x86_64": "x86-64"}
    arch = triple.split("-")[0] or "x86_64"
    if arch.startswith("riscv64"):
        return replace(riscv(), name=PREFIX + ":" + json.dumps(dict(description), sort_keys=True))
    row = get_target(base[arch]) if arch in base else replace(get_target("c"), arch=arch, lanes=4, registers=16)
    cpu = str(description.get("mcpu", ""))
    refined = get_target(base[arch], cpu) if arch in base and cpu in cpu_names(base[arch]) else row
    return replace(refined, name=PREFIX + ":" + json.dumps(dict(description), sort_keys=True))


def description_of(row: Target) -> Description:
    """What TVM takes for a row."""
    if row.name.startswith(f"{PREFIX}:"):
        return parsed(row.name)
    if row.arch == "riscv64":
        return dict(RISCV)
    wanted = [FEATURES[name] for name in row.features if name in FEATURES]
    attributes = sorted({*ATTRIBUTES.get(row.arch, []), *wanted})
    cpu = row.cpu or CPUS.get(row.row, "generic")
    described = {"kind": "llvm", "mtriple": TRIPLES.get(row.arch, ""), "mcpu": cpu}
    return described | ({"mattr": attributes} if attributes else {})


def machine_of(row: Target) -> Machine:
    """What schedules have to know."""
    return Machine(row.lanes, row.registers, row.l2_bytes)
