"""What a user can choose: targets, CPUs, devices, schemes of quantization."""

from __future__ import annotations

from parts.writing import part, table

from edgec.quantization import SCHEMES
from edgec.targets import cpu_names, device_names, get_device, get_target, target_names


@part
def targets() -> str:
    rows = [("`host`", "", "the machine that compiles: the best of the rows below that it can run")]
    named = [get_target(name) for name in target_names() if name != "host"]
    rows += [(f"`{t.name}`", t.isa, t.description) for t in named]
    return table(("target", "vectors", "what it is"), rows)


@part
def cpus() -> str:
    names = [name for name in target_names() if name != "host"]
    return table(("target", "`--cpu`"), [(f"`{n}`", ", ".join(cpu_names(n)) or "-") for n in names])


@part
def devices() -> str:
    found = [get_device(name) for name in device_names()]
    return table(
        ("`--device`", "target", "cpu", "what it is"),
        [(f"`{d.name}`", f"`{d.target_name}`", d.cpu, d.description) for d in found],
    )


@part
def schemes() -> str:
    rows = [(f"`{one.name}`", one.weights, one.activations, one.about) for one in SCHEMES.values()]
    return table(("scheme", "weights", "activations", "meaning"), rows)
