"""`bench --roofline`: each layer's time beside the least that this machine could take for it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .output import print_facts, print_json, print_table

if TYPE_CHECKING:
    import numpy as np

    from ..artifact import Artifact
    from ..artifact.machine import Machine

RIGHT = ("us", "bound us", "of bound", "GOP/s", "GB/s")


def roofline(artifact: Artifact, inputs: Mapping[str, np.ndarray], seconds: float, json: bool) -> None:
    """Measure the machine and every step of a compiled model on one thread, and print both."""
    from ..artifact.machine import measure_machine
    from ..toolchain import find_compiler

    if "regions" not in artifact.report:
        raise UsageError("--roofline needs the steps of a model in C", hint="take a target of the C backend")
    machine = measure_machine(artifact.target, find_compiler(artifact.target))
    layers = measured_layers(artifact, machine, _step_seconds(artifact, inputs, seconds))
    if json:
        print_json({"machine": asdict(machine), "layers": layers})
        return
    _print(machine, layers)


def measured_layers(artifact: Artifact, machine: Machine, seconds: Sequence[float]) -> list[dict[str, Any]]:
    """A row for each step: its time, its bound, what the bound is made of, and its rates."""
    rows = []
    for region, taken in zip(artifact.report["regions"], seconds, strict=True):
        macs, moved = region["macs"], region["bytes"]
        integers = region["kernel"].endswith(("_i8", "_i4", "_i16"))
        by_products, by_bytes = machine.seconds(macs, moved, integers)
        bound = max(by_products, by_bytes)
        rows.append({
            "index": region["index"], "label": region["label"], "kernel": region["kernel"], "tile": region["tile"],
            "macs": macs, "bytes": moved, "us": 1e6 * taken, "bound_us": 1e6 * bound,
            "bound_by": "products" if by_products >= by_bytes else "bytes",
            "gops": 2e-9 * macs / taken, "gb_per_s": 1e-9 * moved / taken,
        })  # fmt: skip
    return rows


def _step_seconds(artifact: Artifact, inputs: Mapping[str, np.ndarray], seconds: float) -> list[float]:
    """The least time of every step; steps run in order, so that each finds the caches as in a whole run."""
    calls = artifact.bind_steps(inputs)
    least = [float("inf")] * len(calls)
    end = time.perf_counter() + seconds
    while end > time.perf_counter() or float("inf") in least:
        for index, call in enumerate(calls):
            start = time.perf_counter()
            call()
            least[index] = min(least[index], time.perf_counter() - start)
    return least


def _print(machine: Machine, layers: Sequence[dict[str, Any]]) -> None:
    print("one core of this machine")
    print_facts([("float", f"{machine.float_gops:.1f} GFLOP/s"), ("int8", f"{machine.int8_gops:.1f} GOP/s")])
    streams = list(machine.levels[0].rates)
    rows = [(level.name, *(f"{level.rates[stream]:.1f}" for stream in streams)) for level in machine.levels]
    print_table(("GB/s", *streams), rows, streams)
    print_table(("us", "bound us", "of bound", "by", "GOP/s", "GB/s", "kernel", "layer"), map(_cells, layers), RIGHT)
    taken, bound = (sum(row[key] for row in layers) for key in ("us", "bound_us"))
    print(f"{taken:.1f} us in all, {bound:.1f} us by the bounds ({bound / taken:.0%})")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['us']:.1f}", f"{row['bound_us']:.1f}", f"{row['bound_us'] / row['us']:.0%}", row["bound_by"],
        f"{row['gops']:.1f}", f"{row['gb_per_s']:.1f}", f"{row['kernel']} {row['tile']}".strip(), row["label"],
    )  # fmt: skip
