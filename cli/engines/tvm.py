"""TVM's own import and default build of the model for this CPU: what it does without edgec, and without tuning."""

from __future__ import annotations

import importlib
import os
from typing import Any

from .job import Array, Bound, Job, installed

CPUS = {"avx2": "x86-64-v3"}
"""LLVM's name of a CPU that has an instruction set and no more."""


def open_model(job: Job) -> Bound:
    """Import, build and run in TVM's virtual machine."""
    if job.threads:
        os.environ["TVM_NUM_THREADS"] = str(job.threads)
    tvm: Any = installed("tvm")
    relax: Any = importlib.import_module("tvm.relax")
    frontend: Any = importlib.import_module("tvm.relax.frontend.onnx")
    onnx: Any = installed("onnx")
    shapes = {name: list(array.shape) for name, array in job.inputs.items()}
    module = frontend.from_onnx(onnx.load(str(job.model)), shape_dict=shapes)
    codegen: Any = importlib.import_module("tvm.target.codegen")
    target = tvm.target.Target({"kind": "llvm", "mcpu": CPUS.get(job.isa) or str(codegen.llvm_get_system_cpu())})
    machine = relax.VirtualMachine(tvm.compile(module, target=target), tvm.cpu())
    given = [tvm.runtime.tensor(array) for array in job.inputs.values()]
    found: list[Any] = []

    def run() -> None:
        made = machine["main"](*given)
        found[:] = [made] if hasattr(made, "numpy") else list(made)

    def results() -> dict[str, Array]:
        run()
        return {name: one.numpy() for name, one in zip(job.outputs, found, strict=True)}

    return run, results
