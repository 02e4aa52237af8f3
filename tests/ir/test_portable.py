"""Exponentials of operations that are rounded alike everywhere: how close they come to the real ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgec.ir import Op, arg, f32
from edgec.ir.ops import PortableExp, PortableSigmoid, PortableTanh, Softmax
from edgec.passes.rules.integer_tails import softmax_of_exact

X = np.linspace(-86, 86, 400_001, dtype=np.float32)
Function = Callable[[np.ndarray], np.ndarray]


@pytest.mark.parametrize(
    ("make", "real"), [(PortableExp, np.exp), (PortableSigmoid, lambda x: 1 / (1 + np.exp(-x)))], ids=["exp", "sigmoid"]
)
def test_within_three_units_in_the_last_place(make: Callable[..., Op], real: Function) -> None:
    found, wanted = make(arg(f32, 1)).evaluate(X), real(X.astype(np.float64))
    assert found.dtype == np.float32
    assert (np.abs(found - wanted) / np.spacing(wanted.astype(np.float32))).max() < 3


def test_tanh_within_two_units_of_one() -> None:
    found = PortableTanh(arg(f32, 1)).evaluate(X)
    assert np.abs(found - np.tanh(X.astype(np.float64))).max() < 2**-22
    assert (found == -PortableTanh(arg(f32, 1)).evaluate(-X)).all()


def test_special_numbers() -> None:
    x = np.float32([0, -np.inf, -1e9, np.inf, np.nan])
    exponentials = PortableExp(arg(f32, 5)).evaluate(x)
    assert exponentials[0] == 1
    assert exponentials[1] == exponentials[2] == PortableExp(arg(f32, 1)).evaluate(np.float32([-86]))
    assert 1e37 < exponentials[3] < np.inf
    assert np.isnan(exponentials[4])
    sigmoids = PortableSigmoid(arg(f32, 5)).evaluate(x)
    assert sigmoids[[0, 1, 3]].tolist() == [0.5, 0, 1]
    assert 0 < sigmoids[2] < 1e-37
    assert np.isnan(sigmoids[4])
    assert PortableTanh(arg(f32, 5)).evaluate(x)[[0, 1, 3]].tolist() == [0, -1, 1]


@pytest.mark.parametrize("count", [1, 2, 10, 1000, 65536])
def test_softmax_of_exact_numbers(count: int) -> None:
    x = np.random.default_rng(count).normal(0, 4, (1, count)).astype(np.float32)
    found = softmax_of_exact(Softmax(arg(f32, 1, count), 1))
    assert not isinstance(found, Softmax)
    got = _evaluated(found, x)
    wide = np.exp(x.astype(np.float64) - x.max())
    np.testing.assert_allclose(got, wide / wide.sum(), rtol=4e-6)
    shuffled = np.random.default_rng(0).permutation(count)
    assert (_evaluated(found, x[:, shuffled]) == got[:, shuffled]).all()


def test_too_long_a_softmax_is_refused() -> None:
    answer = softmax_of_exact(Softmax(arg(f32, 1, 1 << 17), 1))
    assert "131072 terms" in answer.reason


def _evaluated(value: object, x: np.ndarray) -> np.ndarray:
    """What the ops behind a value compute of its one argument."""
    known: dict[object, np.ndarray] = {}

    def of(v: object) -> np.ndarray:
        op = v.producer  # type: ignore[attr-defined]
        if op is None:
            return x
        if v not in known:
            known[v] = op.compute(of)[0]
        return known[v]

    return of(value)
