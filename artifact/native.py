"""Call libmodel.so in this process."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EdgecError, ToolchainError, UsageError

Array = np.ndarray
ALIGNMENT = 64
CANNOT_RUN = 3
"""What model_run returns where a branch is taken that does not fit the shapes it was compiled for."""
BAD_SIZES = 2
_POINTERS = ctypes.POINTER(ctypes.c_void_p)
Chosen = Sequence[int] | ctypes.Array[ctypes.c_size_t]
"""Sizes of a run; it writes those that it finds only to what `Native.sizes` gives."""


class Native:
    """A loaded library; calls may come from several threads at a time."""

    def __init__(self, path: Path, arena_bytes: int, sizes: int = 0) -> None:
        """Load the library at `path`, whose runs choose so many sizes; ToolchainError if this machine cannot."""
        self._sizes = sizes
        try:
            self._library = ctypes.CDLL(str(path.resolve()))
            self._declare()
        except (OSError, AttributeError) as error:
            raise ToolchainError(f"cannot load '{path.name}': {error}", hint="compile the model again here") from error
        self._arena_bytes = arena_bytes
        self._free_arenas: list[Array] = []
        self._pools: dict[int, int] = {}
        self._pool_lock = threading.Lock()

    def run(self, inputs: Sequence[Array], outputs: Sequence[Array], threads: int = 1, sizes: Chosen = ()) -> None:
        """Run the model once on arrays of the right type and size, C-contiguous; `sizes` are the open ones."""
        arena = self._take_arena()
        try:
            self._call(self.bind(inputs, outputs, arena, threads, sizes), threads)
        finally:
            self._free_arenas.append(arena)

    def bind(
        self,
        inputs: Sequence[Array],
        outputs: Sequence[Array],
        arena: Array,
        threads: int = 1,
        sizes: Chosen = (),
    ) -> Callable[[], int]:
        """Return a call without arguments that runs the model on these buffers and returns its status.

        The call keeps the arrays and the pool alive; with `threads` over 1 two such calls must not overlap.
        """
        held = (self, *inputs, *outputs, arena)
        pointers = self._arguments(inputs, outputs, arena, sizes)
        if threads == 1:
            return _Bound(held, self._library.model_run, pointers)
        pool = ctypes.c_void_p(self._pool(threads))
        return _Bound(held, self._library.model_run_parallel, (*pointers, pool))

    def bind_steps(
        self, inputs: Sequence[Array], outputs: Sequence[Array], arena: Array, sizes: Chosen = ()
    ) -> list[Callable[[], int]]:
        """Return a call for each step of the model on these buffers; a step needs what the ones before it computed."""
        held = (self, *inputs, *outputs, arena)
        pointers = self._arguments(inputs, outputs, arena, sizes)
        count = self._library.model_steps()
        return [_Bound(held, self._library.model_run_step, (*pointers, ctypes.c_size_t(i))) for i in range(count)]

    def _arguments(
        self, inputs: Sequence[Array], outputs: Sequence[Array], arena: Array, sizes: Chosen
    ) -> tuple[Any, ...]:
        given = (sizes if isinstance(sizes, ctypes.Array) else self.sizes(sizes),) if self._sizes else ()
        return _pointers(inputs), _pointers(outputs), ctypes.c_void_p(arena.ctypes.data), *given

    def sizes(self, chosen: Sequence[int]) -> ctypes.Array[ctypes.c_size_t]:
        """Return what a run takes as its sizes, and writes those that it finds to: the chosen ones come first."""
        return (ctypes.c_size_t * self._sizes)(*chosen)

    def new_arena(self) -> Array:
        """Return memory for one run, aligned as the model needs it."""
        return aligned(self._arena_bytes)

    def _declare(self) -> None:
        library = self._library
        sizes: list[Any] = [ctypes.POINTER(ctypes.c_size_t)] if self._sizes else []
        run = [_POINTERS, _POINTERS, ctypes.c_void_p, *sizes]
        library.model_run.argtypes = run
        library.model_run_parallel.argtypes = [*run, ctypes.c_void_p]
        library.model_run_step.argtypes = [*run, ctypes.c_size_t]
        library.model_steps.argtypes = []
        library.model_steps.restype = ctypes.c_size_t
        library.model_pool_create.argtypes = [ctypes.c_size_t]
        library.model_pool_create.restype = ctypes.c_void_p
        library.model_pool_destroy.argtypes = [ctypes.c_void_p]
        library.model_pool_destroy.restype = None

    def _call(self, bound: Callable[[], int], threads: int) -> None:
        if threads == 1:
            status = bound()
        else:
            with self._pool_lock:
                status = bound()
        self.check(status)

    def check(self, status: int) -> None:
        """Raise the error that the status of a run stands for."""
        if status == CANNOT_RUN:
            what = "the network took a branch that does not fit the shapes it was compiled for"
            raise UsageError(what, hint="the notes in report.json say which, and why")
        if status == BAD_SIZES and self._sizes:
            what = "a size that the run has found is outside the bounds that the model was compiled for"
            raise UsageError(what, hint="if the model joins strings, one may have no room: --text-bytes")
        if status:
            raise EdgecError(f"model_run returned {status}")

    def _take_arena(self) -> Array:
        try:
            return self._free_arenas.pop()
        except IndexError:
            return self.new_arena()

    def _pool(self, threads: int) -> int:
        with self._pool_lock:
            if threads not in self._pools:
                made = self._library.model_pool_create(threads)
                if not made:
                    raise UsageError(f"cannot start {threads} threads", hint="ask for 1 to 1024")
                self._pools[threads] = made
            return self._pools[threads]

    def __del__(self) -> None:
        for pool in getattr(self, "_pools", {}).values():
            self._library.model_pool_destroy(pool)


class _Bound:
    """A run of the model on fixed buffers."""

    __slots__ = ("_arguments", "_function", "_held")

    def __init__(self, held: tuple[object, ...], function: Callable[..., int], arguments: tuple[Any, ...]) -> None:
        self._held, self._function, self._arguments = held, function, arguments

    def __call__(self) -> int:
        return self._function(*self._arguments)


def aligned(size: int) -> Array:
    """Return `size` bytes that start at a multiple of ALIGNMENT."""
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size]


def aligned_array(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Return an uninitialised array that starts at a multiple of ALIGNMENT."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return aligned(size).view(dtype).reshape(shape)


def as_aligned(array: Array) -> Array:
    """Return a copy that starts at a multiple of ALIGNMENT."""
    copied = aligned_array(array.shape, array.dtype)
    copied[...] = array
    return copied


def _pointers(arrays: Sequence[Array]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * (len(arrays) + 1))(*[array.ctypes.data for array in arrays], None)
