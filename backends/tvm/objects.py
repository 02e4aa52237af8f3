"""Kernels compiled by LLVM to one object file, and how much memory they want while they run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .packages import tirx, tvm
from .stages import rewritten

ROUND = 64
REQUEST = re.compile(r"TVMBackendAllocWorkspace\([^()]*T\.uint64\((\d+)\)")
"""A request as TVM prints it; its Python API has no visitor of statements."""
PARALLEL = "in T.parallel("
MOST_STACK = 32768
"""Bytes that a piece of a shared function may take from the stack of the thread that runs it."""


@dataclass(frozen=True)
class Lowered:
    """Kernels as the code generator takes them, and the bytes that each asks for while it runs.

    `shared` gives for those whose pieces of work threads share what one of these asks for. All requests count as if
    they were alive at once.
    """

    module: Any
    requests: dict[str, int]
    shared: dict[str, int]

    @property
    def workspace(self) -> int:
        """The most that one function asks for."""
        return max(self.requests.values(), default=0)

    @property
    def task_workspace(self) -> int:
        """The most that a piece of work asks for."""
        return max(self.shared.values(), default=0)


def lowered(kernels: dict[str, Any], target: Any) -> Lowered:
    """Lower kernels; those whose pieces want more memory than a thread's stack may hold run on one thread."""
    made = _lowered(kernels, target)
    greedy = [name for name, size in made.shared.items() if size > MOST_STACK]
    return _lowered({**kernels, **{name: serial(kernels[name]) for name in greedy}}, target) if greedy else made


def _lowered(kernels: dict[str, Any], target: Any) -> Lowered:
    module = tvm.IRModule({name: function.with_attr("global_symbol", name) for name, function in kernels.items()})
    bound = tirx.transform.BindTarget(target.with_host(target))(module)
    pipeline, finish, _ = tirx.get_default_tir_pipeline(target)
    module = finish()(tirx.transform.SkipAssert()(pipeline(bound)))  # the executor's arguments are what they should be
    texts = {one.name_hint: function.script() for one, function in module.functions.items()}
    shared = {name: _requested(text.partition(PARALLEL)[2]) for name, text in texts.items() if PARALLEL in text}
    return Lowered(module, {name: _requested(text) for name, text in texts.items()}, shared)


def _requested(text: str) -> int:
    return sum(-(-int(size) // ROUND) * ROUND for size in REQUEST.findall(text))


def write_object(module: Any, target: Any, path: Path) -> None:
    """Compile a lowered module."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tvm.get_global_func("target.build.llvm")(module, target).write_to_file(str(path))


def serial(function: Any) -> Any:
    """The function with loops in the place of parallel ones."""

    def unshared(nodes: list[dict[str, Any]]) -> None:
        for node in nodes:
            if node["type"] == "tirx.For" and node["data"]["kind"] == int(tirx.ForKind.PARALLEL):
                node["data"]["kind"] = int(tirx.ForKind.SERIAL)

    return rewritten(function, unshared)
