"""Einsum: each pair of operands becomes one batched matrix product between transposes and reshapes."""

from __future__ import annotations

import math
import string
from dataclasses import dataclass

import numpy as np

from ..errors import ModelError
from .onnx_rules import Node, NotCovered, rule
from .onnx_rules_gather import taken
from .onnx_rules_shape import reshaped, transposed
from .ops import MatMul, Reduce
from .value import Value

LETTERS = set(string.ascii_letters)


@dataclass(frozen=True)
class Term:
    """A tensor and the letter of each of its dimensions."""

    value: Value
    letters: str

    def size(self, letter: str) -> int:
        return self.value.shape[self.letters.index(letter)]

    def sizes(self, letters: str) -> tuple[int, ...]:
        return tuple(self.size(letter) for letter in letters)


@rule("Einsum")
def einsum(node: Node) -> Value:
    """Operands are joined from left to right; a letter is summed away once nothing later needs it."""
    inputs, output = _parsed(node.text("equation"), [v.rank for v in node.given])
    terms = [_without_repeats(Term(v, s)) for v, s in zip(node.given, inputs, strict=True)]
    _check_sizes(terms, output)
    current = _summed(terms[0], output + "".join(t.letters for t in terms[1:]))
    for position, term in enumerate(terms[1:], 2):
        later = output + "".join(t.letters for t in terms[position:])
        current = _joined(current, _summed(term, later + current.letters), later)
    current = _summed(current, output)
    return transposed(current.value, tuple(current.letters.index(letter) for letter in output))


def _parsed(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """The letters of operands and result; an ellipsis becomes letters that are still free."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks) or len(equation) > 1000:
        raise ModelError(f"equation has {len(parts)} operands, the node has {len(ranks)}")
    used = LETTERS & set(equation)
    spread = [rank - len(p.replace("...", "", 1)) for p, rank in zip(parts, ranks, strict=True) if "..." in p]
    count = max(spread, default=0)
    if count > len(LETTERS - used) or min(spread, default=0) < 0:
        raise ModelError("equation does not fit the ranks of the operands")
    dots = "".join(sorted(LETTERS - used)[:count])
    inputs = [p.replace("...", dots[count - (rank - len(p) + 3) :], 1) for p, rank in zip(parts, ranks, strict=True)]
    if not arrow:
        flat = "".join(parts).replace("...", "")
        right = ("..." if dots else "") + "".join(sorted(c for c in set(flat) if flat.count(c) == 1))
    output = right.replace("...", dots, 1)
    wrong = [len(p) for p in inputs] != ranks or not set("".join(inputs) + output) <= LETTERS
    if wrong or len(set(output)) < len(output) or not set(output) <= set("".join(inputs)):
        raise ModelError("equation does not fit its operands")
    return inputs, output


def _check_sizes(terms: list[Term], output: str) -> None:
    sizes: dict[str, int] = {}
    pairs = (pair for term in terms for pair in zip(term.letters, term.value.shape, strict=True))
    for letter, size in pairs:
        if sizes.setdefault(letter, size) == size:
            continue
        if 1 in (size, sizes[letter]):
            raise NotCovered("dimensions that broadcast", "an Expand before it")
        raise ModelError(f"letter '{letter}' stands for {sizes[letter]} and {size}")


def _without_repeats(term: Term) -> Term:
    """A letter that occurs twice selects a diagonal."""
    letters = "".join(dict.fromkeys(term.letters))
    if len(letters) == len(term.letters):
        return term
    shape = term.value.shape
    grid = np.indices(term.sizes(letters))
    if any(term.size(c) != d for c, d in zip(term.letters, shape, strict=True)):
        raise ModelError("a repeated letter stands for two sizes")
    steps = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    places = sum(grid[letters.index(c)] * step for c, step in zip(term.letters, steps, strict=True))
    return Term(taken(term.value, np.asarray(places, np.int64), len(shape)), letters)


def _summed(term: Term, needed: str) -> Term:
    """Without the dimensions that nothing needs."""
    axes = tuple(i for i, c in enumerate(term.letters) if c not in needed)
    if not axes:
        return term
    kept = "".join(c for c in term.letters if c in needed)
    return Term(Reduce(term.value, "sum", axes, False).result, kept)


def _joined(a: Term, b: Term, later: str) -> Term:
    """Two terms multiplied, the letters that nothing needs later summed away."""
    both = [c for c in a.letters if c in b.letters]
    batch = "".join(c for c in both if c in later)
    inner = "".join(c for c in both if c not in later)
    rows = "".join(c for c in a.letters if c not in b.letters)
    columns = "".join(c for c in b.letters if c not in a.letters)
    left = _matrix(a, batch, rows, inner)
    right = _matrix(b, batch, inner, columns)
    found = MatMul(left, right).result
    return Term(reshaped(found, a.sizes(batch + rows) + b.sizes(columns)), batch + rows + columns)


def _matrix(term: Term, batch: str, rows: str, columns: str) -> Value:
    order = batch + rows + columns
    ordered = transposed(term.value, tuple(term.letters.index(c) for c in order))
    return reshaped(ordered, (*term.sizes(batch), math.prod(term.sizes(rows)), math.prod(term.sizes(columns))))
