"""Which weights stay, and the fit of those that do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgec.pruning import find_scheme
from edgec.pruning.masks import mask_of
from edgec.pruning.refit import fitted

Array = np.ndarray


def importance(rows: int, length: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((rows, length))


@given(st.integers(1, 5), st.integers(1, 40), st.sampled_from(["2:4", "1:4", "4:8", "1:2", "3:4"]))
def test_a_pattern_holds(rows: int, length: int, name: str) -> None:
    scheme, weights = find_scheme(name), importance(rows, length)
    mask = mask_of(weights, scheme)
    for start in range(0, length, scheme.group):
        group, kept = weights[:, start : start + scheme.group], mask[:, start : start + scheme.group]
        assert (kept.sum(axis=1) == min(scheme.kept, group.shape[1])).all()
        assert (np.where(kept, group, np.inf).min(axis=1) >= np.where(kept, 0, group).max(axis=1)).all()


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_the_least_important_share_goes(share: float) -> None:
    weights = importance(7, 33)
    mask = mask_of(weights, find_scheme(str(share)))
    assert mask.sum() == round((1 - share) * weights.size)
    assert weights[mask].min() > weights[~mask].max()


def test_of_equal_weights_the_first_stay() -> None:
    mask = mask_of(np.ones((2, 4)), find_scheme("2:4"))
    assert mask.tolist() == [[True, True, False, False]] * 2


def test_the_fit_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 12)) @ rng.standard_normal((12, 12))
    rows, mask = rng.standard_normal((5, 12)), rng.random((5, 12)) < 0.5
    found = fitted(rows, mask, x.T @ x)
    for row, kept, got in zip(rows, mask, found, strict=True):
        wanted = np.linalg.lstsq(x[:, kept], x @ row, rcond=None)[0]
        np.testing.assert_allclose(got[kept], wanted, rtol=1e-4, atol=1e-5)
        assert not got[~kept].any()


def test_a_row_without_weights_stays_zero() -> None:
    mask = np.array([[False, False], [True, True]])
    found = fitted(np.ones((2, 2)), mask, np.eye(2))
    assert found.tolist() == [[0, 0], [1, 1]]
