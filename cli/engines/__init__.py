"""Other engines that run the same model, a file each: for `bench --against` and `verify --against`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ToolchainError, UsageError
from ...escaping import escape

if TYPE_CHECKING:
    from .job import Array, Bound, Job

ENGINES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "mnn": "MNN", "ncnn": "ncnn", "tvm": "tvm"}
"""The engines, each in the file of its name here, and the package that each is."""


def check_engine(name: str) -> None:
    """UsageError if there is no engine of that name."""
    if name not in ENGINES:
        raise UsageError(f"unknown engine '{escape(name)}'", hint=f"engines: {', '.join(ENGINES)}")


def engine(name: str, job: Job) -> Bound:
    """Open a model with inputs bound in an engine; ToolchainError if that is not installed or refuses the model."""
    check_engine(name)
    if job.model.suffix == ".ir":
        raise UsageError(f"{name} reads .onnx files only", hint="--against evaluate compares with numpy")
    opener = importlib.import_module(f".{name}", __name__)
    try:
        return opener.open_model(job)  # type: ignore[no-any-return]
    except ToolchainError:
        raise
    except Exception as error:
        what = f"{name} cannot run '{escape(job.model.name)}': {escape(str(error).strip(), 300)}"
        raise ToolchainError(what) from error


def version(name: str) -> str:
    """The version of an installed engine."""
    from .job import installed

    module = installed(ENGINES[name])
    return str(getattr(module, "__version__", "") or getattr(module, "version", lambda: "")())


def onnxruntime_outputs(model: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """What ONNX Runtime makes of the inputs."""
    from .job import Job

    run, outputs = engine("onnxruntime", Job(model, inputs))
    run()
    return outputs()
