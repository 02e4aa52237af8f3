"""Seconds that functions take on one thread of this machine: each by itself, and all of a program in their places."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .packages import ffi, tirx, tvm
from .program import Argument, Program, Slot

ENOUGH = 0.02
"""Seconds that the runs of one function take together."""


def on_one_thread() -> None:
    """Let TVM's own runtime use the calling thread alone."""
    big = 1
    tvm.get_global_func("runtime.config_threadpool")(big, 1)


def built(functions: Mapping[str, Any], target: Any) -> Any:
    """A module of functions; None where one does not build."""
    named = {name: function.with_attr("global_symbol", name) for name, function in functions.items()}
    try:
        return tirx.build(tvm.IRModule(named), target=target)
    except (RuntimeError, ValueError, TypeError):
        return None


def seconds_of(function: Any, target: Any, arguments: Sequence[Argument]) -> float:
    """The least of a few runs, after one to warm up; infinity where the function does not build."""
    module = built({"main": function}, target)
    if module is None:
        return float("inf")
    run, tensors = module["main"], Tensors().of(arguments)
    run(*tensors)
    once = _timed(run, tensors)
    count = int(min(max(ENOUGH / max(once, 1e-6), 3), 200))
    return min(_timed(run, tensors) for _ in range(count))


def seconds_in_place(
    program: Program, variants: Sequence[Mapping[str, Any]], target: Any, enough: Callable[[int], bool]
) -> list[dict[str, float]]:
    """The seconds of each function over all its calls, the whole program run in order, for sets of its functions.

    The sets take turns until `enough` says so of the number of turns; the least time of each call counts.
    """
    modules = [built(variant, target) for variant in variants]
    tensors = Tensors()
    calls = [(call.kernel, tensors.of(call.arguments)) for call in program.calls]
    least = [[float("inf")] * len(calls) for _ in variants]
    turns = 0
    while not enough(turns):
        for module, times in zip(modules, least, strict=True):
            for place, (name, arguments) in enumerate(calls):
                times[place] = min(times[place], _timed(module[name], arguments))
        turns += 1
    return [_by_function(program, times) for times in least]


def _by_function(program: Program, times: Sequence[float]) -> dict[str, float]:
    total = dict.fromkeys(program.kernels, 0.0)
    for call, seconds in zip(program.calls, times, strict=True):
        total[call.kernel] += seconds
    return total


def _timed(function: Any, arguments: Sequence[Any]) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


class Tensors:
    """Memory for slots: constants as they are, everything else filled with one number."""

    def __init__(self) -> None:
        self.arrays: dict[Slot, np.ndarray] = {}

    def of(self, arguments: Sequence[Argument]) -> list[Any]:
        """The tensors that a call takes."""
        return [ffi.from_dlpack(self.array(a.slot).reshape(a.shape)) for a in arguments]

    def array(self, slot: Slot) -> np.ndarray:
        """The memory of a slot."""
        if slot not in self.arrays:
            self.arrays[slot] = _filled(slot)
        return self.arrays[slot]


def _filled(slot: Slot) -> np.ndarray:
    if slot.array is not None:
        return np.array(slot.array)  # a copy: constants are not writable, which DLPack refuses
    kind = np.dtype(slot.dtype)
    return np.full(slot.shape, 0.5 if kind.kind == "f" else 1, kind)
