"""Sparse weights in the order in which ec_sparse_f32 reads them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .packing import Array

MOST_PLACES = 256


class SparseWeights(NamedTuple):
    """float32 weights that are not zero, uint8 places of each in its block of inputs, uint16 numbers of them."""

    values: Array
    places: Array
    counts: Array


def pack_sparse(matrix: Array, block_k: int, block_c: int) -> SparseWeights:
    """Packs w[k, n] block by block: block_c outputs, in them block_k inputs, in them output by output."""
    if not 1 <= block_k <= MOST_PLACES:
        raise ValueError(f"a block has 1 to {MOST_PLACES} inputs, not {block_k}")
    k, n = matrix.shape
    blocks = [matrix[i : i + block_k, c : c + block_c] for c in range(0, n, block_c) for i in range(0, k, block_k)]
    found = [np.nonzero(block.T) for block in blocks]
    values = [block.T[at] for block, at in zip(blocks, found, strict=True)]
    counts = [np.bincount(rows, minlength=block.shape[1]) for block, (rows, _) in zip(blocks, found, strict=True)]
    places = [place for _, place in found]
    return SparseWeights(_joined(values, np.float32), _joined(places, np.uint8), _joined(counts, np.uint16))


def starts_of(matrix: Array, block_c: int) -> Array:
    """Where the values of each block of outputs of w[k, n] begin; int32."""
    counts = [np.count_nonzero(matrix[:, c : c + block_c]) for c in range(0, matrix.shape[1], block_c)]
    return np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32)


def _joined(parts: list[Array], kind: type[np.generic]) -> Array:
    """The parts in a row; never empty, so that it has an address."""
    joined = np.concatenate([np.asarray(part, kind) for part in parts])
    return joined if joined.size else np.zeros(1, kind)
