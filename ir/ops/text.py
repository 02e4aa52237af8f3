"""Text: strings of a fixed number of bytes, compared, joined, split, normalized, found among others and matched."""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, arg, operator
from ..strings import CASED, case_table, cased
from ..types import TensorType, boolean, i64, text, u8, u16
from ..value import Value
from .constant import array_of, constant
from .routine import Number, Routine
from .select import SCALAR, Counted

SAMPLE = text(7)


def _needs_text(*types: TensorType) -> None:
    if not all(kind.dtype.is_text for kind in types) or len({kind.dtype for kind in types}) > 1:
        raise ModelError(f"operands {', '.join(map(str, types))}", hint="text of one size")


class TextRoutine(Routine):
    """A routine on strings."""

    takes_text = True
    family = "text"


@operator("text-equal")
class TextEqual(TextRoutine):
    """Whether strings of one shape are the same."""

    x: Value
    y: Value

    def infer(self, x: TensorType, y: TensorType) -> TensorType:
        _needs_text(x, y)
        if x.shape != y.shape:
            raise ModelError(f"{x} and {y} have different shapes", hint="expand them")
        return x.with_dtype(boolean).with_order(())

    def evaluate(self, x: Array, y: Array) -> Array:
        return np.asarray(x == y)

    @property
    def tasks(self) -> int:
        return self.x.type.size

    def numbers(self) -> dict[str, Number]:
        return {"bytes": self.x.dtype.bytes}

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(SAMPLE, 3, 5), arg(SAMPLE, 3, 5))
        yield cls(constant([b"a", b"", b"abcdefg"], SAMPLE), constant([b"b", b"", b"abcdefg"], SAMPLE))


@operator("text-concat")
class TextConcat(TextRoutine):
    """Strings of one shape joined in pairs, and how many of the results (i64) have no room and are cut."""

    x: Value
    y: Value

    def infer(self, x: TensorType, y: TensorType) -> tuple[TensorType, ...]:
        _needs_text(x, y)
        if x.shape != y.shape:
            raise ModelError(f"{x} and {y} have different shapes", hint="expand them")
        return x.with_order(()), SCALAR

    def evaluate(self, x: Array, y: Array) -> tuple[Array, ...]:
        joined = [a + b for a, b in zip(x.reshape(-1), y.reshape(-1), strict=True)]
        cut = sum(len(one) > x.dtype.itemsize for one in joined)
        return np.array(joined, x.dtype).reshape(x.shape), np.array(cut, np.int64)

    def numbers(self) -> dict[str, Number]:
        return {"bytes": self.x.dtype.bytes, "count": self.x.type.size}

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(SAMPLE, 3, 5), arg(SAMPLE, 3, 5))
        yield cls(arg(SAMPLE), arg(SAMPLE))


@operator("text-split")
class TextSplit(Counted, TextRoutine):
    """The parts of strings between delimiters [..., room], how many each has (i64), and the largest number of these.

    Without a delimiter white space (of ASCII) parts, however much of it. `most` delimiters count, all of them where it
    is negative. What there is no room for is counted, not kept.
    """

    x: Value
    delimiter: Value | None = None
    room: int = 1
    most: int = -1

    def infer(self, x: TensorType, delimiter: TensorType | None) -> tuple[TensorType, ...]:
        _needs_text(x, *([delimiter] if delimiter else []))
        known = array_of(self.delimiter)
        if delimiter is not None and (delimiter.size != 1 or known is None or not bytes(known.reshape(-1)[0])):
            raise ModelError("a delimiter is one constant string that is not empty")
        return x.with_shape((*x.shape, self.room)), TensorType(i64, x.shape), SCALAR

    def evaluate(self, x: Array, delimiter: Array | None) -> tuple[Array, ...]:
        mark = None if delimiter is None else bytes(delimiter.reshape(-1)[0])
        rows = [bytes(one).split(mark, self.most) for one in x.reshape(-1)]
        parts = np.zeros((len(rows), self.room), x.dtype)
        for row, found in zip(parts, rows, strict=True):
            row[: len(found)] = found[: self.room]
        counts = np.array([len(found) for found in rows], np.int64)
        return parts.reshape(*x.shape, self.room), counts.reshape(x.shape), np.array(counts.max(initial=0))

    def numbers(self) -> dict[str, Number]:
        return {"bytes": self.x.dtype.bytes, "count": self.x.type.size, "room": self.room, "most": self.most}

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(SAMPLE, 2, 3), constant(b"a", SAMPLE), 8)
        yield cls(arg(SAMPLE, 5), None, 4)
        yield cls(constant([b" a b  c", b"", b"  "], SAMPLE), None, 4, 1)
        yield cls(constant([b"aabaab", b"aa", b"a"], SAMPLE), constant(b"aa", SAMPLE), 2, 3)


@operator("text-normalize")
class TextNormalize(Counted, TextRoutine):
    """Strings [C] without certain words, in one case, and how many are left (i64): at least one, which is empty.

    `words` [W] are constant. With `folded` a word is left out in any case: it must be given in small letters. Case is
    that of the tables [2048] of `case_table`: one for letters, one for letters that go small when words are compared.
    """

    x: Value
    words: Value | None = None
    table: Value | None = None
    folded: Value | None = None

    def infer(
        self, x: TensorType, words: TensorType | None, table: TensorType | None, folded: TensorType | None
    ) -> tuple[TensorType, ...]:
        _needs_text(x, *([words] if words else []))
        tables = {kind for kind in (table, folded) if kind is not None}
        if {x.rank, 1 if words is None else words.rank} != {1} or tables - {TensorType(u16, (CASED,))}:
            raise ModelError(f"{x} without words {words}", hint="lists of text, tables u16[2048]")
        for given in (self.table, self.folded):
            known = array_of(given)
            if given is None:
                continue
            if known is None or not 0 < known[1:].min() <= known.max() < CASED or known[:128].max() >= 128:
                raise ModelError("a table of letters is not constant, or makes strings longer")
        return x.with_shape((max(x.shape[0], 1),)), SCALAR

    def evaluate(self, x: Array, words: Array | None, table: Array | None, folded: Array | None) -> tuple[Array, ...]:
        unwanted = set() if words is None else {bytes(word) for word in words}
        kept = [one for one in map(bytes, x) if (one if folded is None else cased(one, folded)) not in unwanted]
        found = np.zeros(max(len(x), 1), x.dtype)
        found[: len(kept)] = [one if table is None else cased(one, table) for one in kept]
        return found, np.array(max(len(kept), 1))

    def numbers(self) -> dict[str, Number]:
        words = 0 if self.words is None else self.words.shape[0]
        return {"bytes": self.x.dtype.bytes, "count": self.x.shape[0], "words": words}

    @classmethod
    def samples(cls) -> Any:
        words = constant(["b", "a", "\xe9t\xe9".encode()], SAMPLE)
        small, large = constant(case_table(False)), constant(case_table(True))
        yield cls(arg(SAMPLE, 9), words, large, small)
        yield cls(arg(SAMPLE, 5), words, small)
        yield cls(constant(["\xc9t\xe9".encode(), b"Ab\xc3", b"\xe9t\xff"], SAMPLE), words, small, small)
        yield cls(constant([b"a", b"b"], SAMPLE), words)


@operator("text-find")
class TextFind(TextRoutine):
    """Where strings stand among constant keys [K] in ascending order of their bytes (i64); K for one that does not."""

    x: Value
    keys: Value

    def infer(self, x: TensorType, keys: TensorType) -> TensorType:
        _needs_text(x, keys)
        known = array_of(self.keys)
        if known is None or keys.rank != 1 or (known[:-1] >= known[1:]).any():
            raise ModelError("its keys are not constant, or do not ascend")
        return x.with_dtype(i64).with_order(())

    def evaluate(self, x: Array, keys: Array) -> Array:
        places = [bisect.bisect_left(keys.tolist(), one) for one in x.reshape(-1).tolist()]
        pairs = zip(places, x.reshape(-1), strict=True)
        found = [p if p < len(keys) and keys[p] == one else len(keys) for p, one in pairs]
        return np.array(found, np.int64).reshape(x.shape)

    @property
    def tasks(self) -> int:
        return self.x.type.size

    def numbers(self) -> dict[str, Number]:
        return {"bytes": self.x.dtype.bytes, "keys": self.keys.shape[0]}

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(SAMPLE, 5, 3), constant([b"", b"a", b"ab", b"b", b"ba"], SAMPLE))
        yield cls(constant([b"a", b"aa", b"", b"\xff"], SAMPLE), constant([b"a"], SAMPLE))


@operator("text-match")
class TextMatch(TextRoutine):
    """Whether strings as a whole lead from state 0 of an automaton to one that accepts.

    `classes` u8[256] sorts bytes, `steps` u16[states, kinds] says where a state goes on each of them, and `accepts`
    u8[states] where a string may end.
    """

    x: Value
    classes: Value
    steps: Value
    accepts: Value

    def infer(self, x: TensorType, classes: TensorType, steps: TensorType, accepts: TensorType) -> TensorType:
        _needs_text(x)
        if (classes, steps.dtype, steps.rank, accepts) != (
            TensorType(u8, (256,)),
            u16,
            2,
            TensorType(u8, steps.shape[:1]),
        ):
            raise ModelError(f"an automaton of {classes}, {steps} and {accepts}")
        tables = [array_of(v) for v in (self.classes, self.steps)]
        sizes = (steps.shape[1], steps.shape[0])
        if any(known is None or known.max(initial=0) >= n for known, n in zip(tables, sizes, strict=True)):
            raise ModelError("an automaton is constant and leads nowhere else")
        return x.with_dtype(boolean).with_order(())

    def evaluate(self, x: Array, classes: Array, steps: Array, accepts: Array) -> Array:
        return np.array([self._ends(one, classes, steps, accepts) for one in x.reshape(-1)], bool).reshape(x.shape)

    @staticmethod
    def _ends(one: bytes, classes: Array, steps: Array, accepts: Array) -> bool:
        state = 0
        for byte in one:
            state = steps[state, classes[byte]]
        return bool(accepts[state])

    @property
    def tasks(self) -> int:
        return self.x.type.size

    def numbers(self) -> dict[str, Number]:
        return {"bytes": self.x.dtype.bytes, "kinds": self.steps.shape[1]}

    @classmethod
    def samples(cls) -> Any:
        classes = constant([byte == ord("a") for byte in range(256)], u8)
        yield cls(arg(SAMPLE, 4, 3), classes, constant([[0, 1], [0, 1]], u16), constant([0, 1], u8))
