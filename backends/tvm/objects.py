"""Kernels compiled by LLVM to one object file, and how much memory they want while they run."""

from __future__ import annotations

import re
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


def lowered(kernels: dict[str, Any], target: Any) -> Any:
    """The kernels as one module, as the code generator takes it.

    Those whose pieces want more memory than a thread's stack may hold run on one thread.
    """
    module = _lowered(kernels, target)
    greedy = [one.name_hint for one, function in module.functions.items() if _of_tasks(function) > MOST_STACK]
    return _lowered({**kernels, **{name: serial(kernels[name]) for name in greedy}}, target) if greedy else module


def _lowered(kernels: dict[str, Any], target: Any) -> Any:
    module = tvm.IRModule({name: function.with_attr("global_symbol", name) for name, function in kernels.items()})
    bound = tirx.transform.BindTarget(target.with_host(target))(module)
    pipeline, finish, _ = tirx.get_default_tir_pipeline(target)
    return finish()(pipeline(bound))


def workspace_bytes(module: Any) -> int:
    """The most that one function of a lowered module asks for at the same time, were all its requests alive."""
    return max((_requested(function) for function in module.functions.values()), default=0)


def task_bytes(module: Any) -> int:
    """The same of the functions that threads share."""
    return max((_of_tasks(function) for function in module.functions.values()), default=0)


def _of_tasks(function: Any) -> int:
    return _requested(function) if PARALLEL in function.script() else 0


def _requested(function: Any) -> int:
    requests = REQUEST.findall(function.script())
    return sum(-(-int(size) // ROUND) * ROUND for size in requests)


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
