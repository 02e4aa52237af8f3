"""Backends: a lowered graph to an artifact. They never import each other.

`protocol.py` says what a backend is. Those of this package stand in folders of their own; an installed package brings
another through the entry-point group `edgec.backends`, a plugin file by `register`.
"""

from .protocol import Backend, Built, Goal, Lowered, Missing, OpenSizes, Options, TargetRow, known_options
from .registry import all_backends, find_backend, find_goal, register

__all__ = [
    "Backend",
    "Built",
    "Goal",
    "Lowered",
    "Missing",
    "OpenSizes",
    "Options",
    "TargetRow",
    "all_backends",
    "find_backend",
    "find_goal",
    "known_options",
    "register",
]
