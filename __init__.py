"""edgec compiles trained networks ahead of time: ONNX in, C that needs no runtime out.

    import edgec

    model = edgec.compile("model.onnx", target="host", output="build/model")
    y = model(x)                                # numpy in, numpy out

    model = edgec.load("build/model")           # later, or elsewhere
    graph = edgec.Graph.load("model.onnx")      # the IR: walk it, print it, evaluate it, rewrite it
    edgec.passes                                # the passes, and how to add one
    edgec.EdgecError                            # what all of them raise

Submodules load when they are first used, so `import edgec` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import BudgetError, EdgecError, Mismatch, ModelError, ToolchainError, Unsupported, UsageError

if TYPE_CHECKING:
    from . import passes
    from .artifact import Artifact
    from .driver import compile
    from .driver import load_artifact as load
    from .ir import Graph

__version__ = "0.1.0"

__all__ = [
    "Artifact",
    "BudgetError",
    "EdgecError",
    "Graph",
    "Mismatch",
    "ModelError",
    "ToolchainError",
    "Unsupported",
    "UsageError",
    "__version__",
    "compile",
    "load",
    "passes",
]

_HOMES = {"Artifact": ("artifact", "Artifact"), "Graph": ("ir", "Graph"), "compile": ("driver", "compile")}
_HOMES |= {"load": ("driver", "load_artifact")}


def __getattr__(name: str) -> Any:
    if name == "passes":
        return importlib.import_module(".passes", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module 'edgec' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(f".{module}", __name__), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
