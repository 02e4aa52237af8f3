"""What a layer can be pruned to: a share of weights that become zero, n of m, or fewer output channels."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import UsageError
from ..escaping import escape

DENSE, MAGNITUDE, PATTERN, CHANNELS = "dense", "magnitude", "n:m", "channels"
KINDS = (DENSE, MAGNITUDE, PATTERN, CHANNELS)
LARGEST = 0.99
SPARSITIES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RATIOS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75)
HINT = "0.7 (a share of zeros), 2:4 (weights kept of each four inputs), channels:0.25 (a share removed) or dense"


@dataclass(frozen=True)
class Scheme:
    """`share` is how much goes: of the weights, or of the output channels; `kept` of each `group` stay in a pattern."""

    kind: str
    share: float = 0.0
    kept: int = 0
    group: int = 0

    @property
    def name(self) -> str:
        """The text that `find_scheme` reads."""
        if self.kind == PATTERN:
            return f"{self.kept}:{self.group}"
        return DENSE if self.kind == DENSE else f"{self.kind}:{self.share:g}"

    @property
    def is_dense(self) -> bool:
        return self.kind == DENSE

    @property
    def is_sparse(self) -> bool:
        """Whether single weights become zero."""
        return self.kind in (MAGNITUDE, PATTERN)

    def ladder(self) -> list[Scheme]:
        """This scheme and all milder ones of its kind, the mildest first; without `dense`."""
        if self.kind == PATTERN:
            return [
                Scheme(PATTERN, 1 - n / self.group, n, self.group) for n in range(self.group - 1, self.kept - 1, -1)
            ]
        steps = {MAGNITUDE: SPARSITIES, CHANNELS: RATIOS, DENSE: ()}[self.kind]
        below = [Scheme(self.kind, share) for share in steps if share < self.share]
        return below if self.is_dense else [*below, self]


DENSE_SCHEME = Scheme(DENSE)


def find_scheme(text: str) -> Scheme:
    """The scheme that a text names: `0.7`, `magnitude:0.7`, `2:4`, `channels:0.25`, `dense`; UsageError otherwise."""
    if text == DENSE:
        return DENSE_SCHEME
    pattern = re.fullmatch(r"(\d{1,3}):(\d{1,3})", text)
    if pattern:
        return _pattern(int(pattern[1]), int(pattern[2]))
    kind, separator, share = text.rpartition(":")
    kind = kind if separator else MAGNITUDE
    if kind not in (MAGNITUDE, CHANNELS) or not re.fullmatch(r"\d*\.?\d+", share):
        raise UsageError(f"there is no pruning scheme '{escape(text)}'", hint=HINT)
    if not 0 < float(share) <= LARGEST:
        raise UsageError(
            f"{kind}: cannot prune a share of {escape(share)}", hint=f"a share lies above 0, up to {LARGEST}"
        )
    return Scheme(kind, float(share))


def _pattern(kept: int, group: int) -> Scheme:
    if not 0 < kept < group:
        hint = "2:4 keeps two weights of each four"
        raise UsageError(f"a pattern keeps at least one weight and not all of a group, not {kept}:{group}", hint=hint)
    return Scheme(PATTERN, 1 - kept / group, kept, group)
