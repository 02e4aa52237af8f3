"""TVM's modules, imported when something of them is first used: without them every other backend works."""

from __future__ import annotations

import importlib
from typing import Any


class Package:
    """A module that loads at the first look at one of its attributes."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


tvm, te, tirx, relax = Package("tvm"), Package("tvm.te"), Package("tvm.tirx"), Package("tvm.relax")
schedules, ffi = Package("tvm.s_tir"), Package("tvm_ffi")
builder, statements = Package("tvm.script.ir_builder"), Package("tvm.tirx.script.builder.ir")


def kind_of(value: Any) -> str:
    """The element type of an expression, by TVM's name."""
    return str(value.ty.dtype)


Expr = Any
"""An expression of TVM's tensor IR."""
Tensor = Any
"""A tensor of TVM's tensor expressions: a placeholder or a stage."""
