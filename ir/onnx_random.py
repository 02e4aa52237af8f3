"""Random numbers of a model: drawn once, when it is compiled, from the seed that the node gives (else 0)."""

from __future__ import annotations

import math

import numpy as np

from .onnx_rules import Node, NotCovered

MAX_DRAWN = 1 << 24


def random_state(node: Node) -> np.random.RandomState:
    """The generator that a node draws from: the Mersenne Twister, whose numbers no version of numpy changes."""
    seed = node.number("seed", 0.0)
    return np.random.RandomState(int(seed) % (1 << 32) if math.isfinite(seed) else 0)


def check_drawn(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, unless it is larger than anything that should stand in an artifact."""
    if math.prod(shape) > MAX_DRAWN:
        raise NotCovered(f"it draws {math.prod(shape)} numbers", f"at most {MAX_DRAWN}")
    return shape
