"""The weight blob: constants as kernels want them, each stored once."""

from __future__ import annotations

import hashlib

import numpy as np

ALIGNMENT = 64


class Weights:
    """Collects arrays; equal bytes share a place."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.places: dict[tuple[str, int], int] = {}

    def add(self, array: np.ndarray) -> int:
        """The byte offset of an array's bytes in the blob."""
        data = np.ascontiguousarray(array).tobytes()
        key = (hashlib.sha256(data).hexdigest(), len(data))
        if key not in self.places:
            self.places[key] = self.size
            padding = -len(data) % ALIGNMENT
            self.parts += [data, b"\0" * padding]
            self.size += len(data) + padding
        return self.places[key]

    def blob(self) -> bytes:
        """All bytes; never empty, so that it can be linked."""
        return b"".join(self.parts) or b"\0" * ALIGNMENT
