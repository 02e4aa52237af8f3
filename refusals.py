"""What cannot be compiled, all of it at once: by the import, by passes, and by the backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .backends import Goal
from .errors import EdgecError, Unsupported, UnsupportedNode
from .ir import Graph
from .passes import Pass, PassManager


def imported(load: Callable[[], Graph], goal: Goal, passes: Sequence[Pass]) -> Graph:
    """The graph that `load` gives; where it refuses nodes, `Unsupported` names also what is refused of the others."""
    try:
        return load()
    except Unsupported as error:
        refused = _behind(error, lambda rest: _refused(rest, goal, passes))
        raise Unsupported(refused, error.where, error.hint) from None


def passed(graph: Graph, goal: Goal, manager: PassManager) -> Graph:
    """The graph that passes leave; `Unsupported` names what they and the backend refuse."""
    try:
        graph = manager.run(graph)
    except Unsupported as error:
        refused = _behind(error, lambda rest: goal.backend.supports(rest, goal))
        raise Unsupported(refused, error.where, error.hint) from None
    refused = goal.backend.supports(graph, goal)
    if refused:
        raise Unsupported(refused)
    return graph


def _refused(rest: Graph, goal: Goal, passes: Sequence[Pass]) -> Iterable[UnsupportedNode]:
    try:
        passed(rest, goal, PassManager(passes))
    except Unsupported as error:
        return error.nodes
    except EdgecError:  # without the refused nodes it may make no sense, which is no news of the model
        return ()
    return ()


def _behind(error: Unsupported, more: Callable[[Graph], Iterable[UnsupportedNode]]) -> list[UnsupportedNode]:
    """The nodes of an error and others that are refused in what it leaves."""
    known = {(node.name, node.op) for node in error.nodes}
    others = more(error.rest) if isinstance(error.rest, Graph) else ()
    return [*error.nodes, *(node for node in others if (node.name, node.op) not in known)]
