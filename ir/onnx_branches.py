"""If and SequenceMap: graphs that are written out, or become an `if`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..errors import ModelError
from .graph import Note
from .onnx_rules import NotCovered
from .onnx_scope import BLOCKED, Body, Known, Listed, Misfit
from .onnx_site import Site, flag, is_blocked, tensor
from .ops import If, Impossible
from .value import Value


def branch(site: Site) -> list[Known]:
    """The branch that a known condition names, else an `if`."""
    condition = tensor(site.inputs[0], "its condition")
    known = flag(condition)
    if known is None:
        return _choice(site, condition)
    name = "then_branch" if known else "else_branch"
    return _enough(site.inline(site.graph(name), {}), site, name)


def _enough(outputs: list[Known], site: Site, name: str) -> list[Known]:
    if len(outputs) < len(site.proto.output):
        raise ModelError(f"its {name} has {len(outputs)} outputs, {len(site.proto.output)} are read")
    return outputs


def _choice(site: Site, condition: Value) -> list[Known]:
    names = ("then_branch", "else_branch")
    bodies = [Body(name, site.frame.folder) for name in names]
    found = _tried_both(site, names, bodies)
    if any(is_blocked(outputs) for outputs in found):
        return [BLOCKED] * len(site.proto.output)
    lengths = [_lengths(outputs) for outputs in found]
    if lengths[0] != lengths[1]:
        raise NotCovered("its branches give sequences of different lengths", "sequences of one length")
    then, otherwise = (_tensors(outputs) for outputs in found)
    _check_alike(then, otherwise)
    for body, outputs in zip(bodies, (then, otherwise), strict=True):
        body.finish(outputs)
    xs = list(dict.fromkeys(v for body in bodies for v in body.read()))
    for body in bodies:
        body.graph.inputs = [body.captured.get(v) or Value(v.type, name=v.name) for v in xs]
    results = iter(If(condition, tuple(xs), bodies[0].graph, bodies[1].graph).results)
    return [next(results) if n is None else Listed(tuple(itertools.islice(results, n))) for n in lengths[0]]


def _lengths(outputs: Sequence[Known]) -> list[int | None]:
    """How many tensors each sequence has; None for what is none."""
    return [len(v.items) if isinstance(v, Listed) and not v.hidden else None for v in outputs]


def _tensors(outputs: Sequence[Known]) -> list[Value]:
    """All tensors, those of sequences in their place."""
    parts = (v.items if isinstance(v, Listed) and not v.hidden else (v,) for v in outputs)
    return [tensor(v, "a result of its branches") for part in parts for v in part]


def _tried_both(site: Site, names: Sequence[str], bodies: Sequence[Body]) -> list[list[Known]]:
    """What both branches give. One whose nodes do not fit these shapes ends the run where it is taken."""
    found: list[list[Known] | Misfit] = []
    for name, body in zip(names, bodies, strict=True):
        try:
            found.append(_enough(site.nested(site.graph(name), body, {}), site, name))
        except Misfit as fault:
            found.append(fault)
    sound = [one for one in found if isinstance(one, list)]
    if not sound:
        raise next(one for one in found if isinstance(one, Misfit))
    pairs = zip(names, found, strict=True)
    return [one if isinstance(one, list) else _impossible(site, name, one, sound[0]) for name, one in pairs]


def _impossible(site: Site, name: str, fault: Misfit, other: list[Known]) -> list[Known]:
    """Values in the place of what a branch cannot compute, of the types that the other branch gives."""
    if is_blocked(other):
        return [BLOCKED] * len(other)
    reason = f"its {name} does not fit these shapes: {fault.what}"
    site.builder.graph.journal.append(Note("import", reason, site.origin, None))
    results = iter(Impossible(reason, tuple(v.type for v in _tensors(other))).results)
    return [next(results) if n is None else Listed(tuple(itertools.islice(results, n))) for n in _lengths(other)]


def _check_alike(then: list[Value], otherwise: list[Value]) -> None:
    if len(then) != len(otherwise):
        raise ModelError(f"its branches have {len(then)} and {len(otherwise)} outputs")
    for a, b in zip(then, otherwise, strict=True):
        if a.dtype != b.dtype:
            raise ModelError(f"its branches give {a.type} and {b.type}")
        if a.shape != b.shape:
            raise NotCovered(
                f"its branches give {a.type} and {b.type}", "branches of equal shapes, or a known condition"
            )


def sequence_map(site: Site) -> list[Known]:
    """The body written out for every element."""
    first, graph = site.inputs[0], site.graph("body")
    if not isinstance(first, Listed):
        raise ModelError("its first operand is no sequence")
    if any(isinstance(v, Listed) and v.hidden for v in site.inputs):
        raise NotCovered("the shapes of its tensors are not known at compile time", "a split by constant sizes")
    if len(graph.input) != len(site.inputs) or len(graph.output) < len(site.proto.output):
        raise ModelError(f"its body takes {len(graph.input)} values, is given {len(site.inputs)}")
    lengths = {len(v.items) for v in site.inputs if isinstance(v, Listed)}
    if len(lengths) > 1:
        raise ModelError(f"its sequences have {', '.join(map(str, sorted(lengths)))} elements")
    names = [v.name for v in graph.input]
    results: list[list[Known]] = []
    for place in range(len(first.items)):
        given = [v.items[place] if isinstance(v, Listed) else v for v in site.inputs]
        results.append(site.inline(graph, dict(zip(names, given, strict=True))))
    columns = zip(*results, strict=True) if results else [()] * len(graph.output)
    return [_sequence_of(column) for column in columns]


def _sequence_of(found: Sequence[Known]) -> Known:
    return BLOCKED if is_blocked(found) else Listed(tuple(tensor(v, "a result of its body") for v in found))
