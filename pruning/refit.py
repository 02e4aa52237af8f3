"""The weights that stay, fitted so that a layer's output changes least; by least squares, without training.

The squared error of outputs is a quadratic form of the change of weights, given by second moments of the inputs. Its
minimum over the weights that stay is found for all outputs at once, by conjugate gradients that never leave the mask.
"""

from __future__ import annotations

import numpy as np

from ..quantization.moments import Moments

Array = np.ndarray
STEPS = 200
CLOSE = 1e-10
"""How far the squared residual falls, as a part of that at the start."""


def refitted(rows: Array, mask: Array, moments: Moments) -> Array:
    """Weights [outputs, K] within a mask that come nearest to what `rows` give in the network as it was."""
    parts = np.split(np.arange(len(rows)), moments.layer.groups)
    pieces = [fitted(moments.target(g, rows[part]), mask[part], moments.form(g)) for g, part in enumerate(parts)]
    return np.asarray(np.concatenate(pieces), np.float32)


def fitted(rows: Array, mask: Array, form: Array) -> Array:
    """The w within the mask with the least (w - rows) form (w - rows)', row by row; `form` is positive definite."""
    found = np.where(mask, rows, 0.0)
    scale = 1 / np.diagonal(form)
    residual = np.where(mask, (rows - found) @ form, 0.0)
    direction = preconditioned = residual * scale
    energy = start = (residual * preconditioned).sum(axis=1)
    for _ in range(STEPS):
        if (energy <= CLOSE * start).all():
            break
        moved = np.where(mask, direction @ form, 0.0)
        step = energy / np.maximum((direction * moved).sum(axis=1), 1e-300)
        found = found + step[:, None] * direction
        residual = residual - step[:, None] * moved
        preconditioned = residual * scale
        before, energy = energy, (residual * preconditioned).sum(axis=1)
        direction = preconditioned + (energy / np.maximum(before, 1e-300))[:, None] * direction
    return np.asarray(found)
