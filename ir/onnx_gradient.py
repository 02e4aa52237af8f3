"""Gradient: the part of a graph between some values and another one, differentiated."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from ..errors import ModelError
from ..escaping import escape
from .derivatives import NoDerivative, derivatives, replayed
from .onnx_rules import NotCovered
from .onnx_scope import BLOCKED, Known
from .onnx_site import Site, is_blocked, tensor
from .ops import array_of
from .value import Value

GRADIENT = "ai.onnx.preview.training::Gradient"


def names_of(protos: Mapping[str, onnx.AttributeProto]) -> tuple[list[str], list[str], str]:
    """The names of the values by which is differentiated, of the other ones, and of what is."""
    listed = ([_text(raw) for raw in protos[name].strings] if name in protos else [] for name in ("xs", "zs"))
    xs, zs = listed
    return xs, zs, _text(protos["y"].s) if "y" in protos else ""


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ModelError("a name is not UTF-8 text") from None


def gradient(site: Site) -> list[Known]:
    """The derivatives of `y` by `xs`, at the operands, which stand for `xs` and `zs`."""
    xs, zs, y = names_of(site.protos)
    if not xs or len(site.inputs) != len(xs) + len(zs):
        raise ModelError(f"it has {len(site.inputs)} operands for {len(xs)} values 'xs' and {len(zs)} values 'zs'")
    if site.builder.depth:
        raise NotCovered("it stands in the graph of a node", "a Gradient in the graph of the model")
    found = [site.frame.scope.find(name) for name in (*xs, *zs, y)]
    if is_blocked(found):
        return [BLOCKED] * len(site.proto.output)
    *named, target = (tensor(known, f"'{escape(n)}'") for known, n in zip(found, (*xs, *zs, y), strict=True))
    given = [tensor(known, f"operand {place}") for place, known in enumerate(site.inputs)]
    for name, was, now in zip((*xs, *zs), named, given, strict=True):
        _check(name, was, now, name in xs)
    swaps = {was: now for was, now in zip(named, given, strict=True) if was is not now}
    try:
        by = derivatives(replayed(target, swaps), given[: len(xs)])
    except NoDerivative as error:
        raise NotCovered(str(error), "elementwise operators, products, sums, views") from None
    return list(by)


def _check(name: str, was: Value, now: Value, is_variable: bool) -> None:
    if was.type != now.type:
        raise ModelError(f"'{escape(name)}' is {was.type}, the operand for it {now.type}")
    if is_variable and not was.dtype.is_float:
        raise ModelError(f"'{escape(name)}' is {was.type}", hint="a derivative is by floats")
    if is_variable and (array_of(was) is not None or array_of(now) is not None):
        raise NotCovered(f"'{escape(name)}' is known at compile time", "an input of the model")
