"""Which schedules there are: all that are offered fit, none that does not fit gets into code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from edgec import driver
from edgec.backends.c.emit import emit
from edgec.errors import ModelError
from edgec.kernels.schedules import Known, Question, Schedule, Space
from edgec.targets import get_target

from .tuned import TARGET, TILES, lowered, network, spaces


@dataclass
class Nth:
    """A book that takes the nth of all schedules of each layer."""

    number: int

    def choose(self, space: Space) -> Schedule:
        some = [space.default(), *space.candidates(), *space.variations(space.default())]
        chosen = some[self.number % len(some)]
        assert space.fits(chosen)
        return chosen

    def times(self, question: Question) -> dict[Schedule, float]:
        return {}


@pytest.mark.parametrize("target", ["c", "x86-64", "x86-64-v3", "x86-64-v4", "arm-neon", "armv7-neon"])
def test_all_candidates_fit(target: str) -> None:
    for space in spaces(target):
        assert space.fits(space.default())
        some = [*space.candidates(), *space.variations(space.default())]
        assert all(map(space.fits, some))
        assert space.default() in some or space.question.kernel in {"depthwise_f32", "sparse_f32"}


def test_blocks_leave_work_for_threads() -> None:
    point = next(one for one in spaces() if one.question.flat)
    tasks = point.tasks  # type: ignore[attr-defined]
    assert all(tasks(one) >= min(8, tasks(point.default())) for one in point.variations(point.default()))


@pytest.mark.parametrize("number", [3, 5, 13])
def test_every_schedule_computes_the_same(number: int) -> None:
    made = lowered("host")
    made.book = Nth(number)
    image = np.random.default_rng(1).standard_normal((1, 8, 14, 14)).astype(np.float32)
    artifact = driver.assemble(made, selftest=False)
    if artifact.cannot_run or not artifact.report["toolchain"]["built"]:
        pytest.skip("nothing runs here")
    np.testing.assert_allclose(artifact(image), network().evaluate([image])[0], rtol=1e-5)


WRONG: list[tuple[str, Callable[[Schedule], Schedule]]] = [
    ("conv_f32", lambda s: (s[0], 9, 9, s[3], s[4])),  # no such tile
    ("conv_f32", lambda s: (s[0], 0, 1, s[3], s[4])),
    ("conv_f32", lambda s: (s[0], -1, 1, s[3], s[4])),
    ("conv_f32", lambda s: (s[0], 15, 1, s[3], s[4])),  # more pixels than registers
    ("conv_f32", lambda s: (s[0], s[1], 8, s[3], s[4])),  # more vectors than channels
    ("conv_f32", lambda s: (s[0] - 1, *s[1:])),  # no width of this layer
    ("conv_f32", lambda s: (0, *s[1:])),
    ("conv_f32", lambda s: (*s[:3], 0, s[4])),
    ("conv_f32", lambda s: (*s[:3], 10**6, s[4])),
    ("conv_f32", lambda s: (*s[:4], 0)),
    ("conv_f32", lambda s: (*s[:4], 99)),
    ("depthwise_f32", lambda s: (0,)),
    ("depthwise_f32", lambda s: (9,)),
]


@pytest.mark.parametrize(("kernel", "change"), WRONG)
def test_a_schedule_that_does_not_fit_is_refused(kernel: str, change: Callable[[Schedule], Schedule]) -> None:
    space = next(one for one in spaces() if one.question.kernel == kernel)
    wrong = change(space.default())
    known = Known("database 'x'", {space.question: {wrong: 1.0}})
    with pytest.raises(ModelError, match=r"^error: database 'x': the schedule .* does not fit") as found:
        emit(lowered().graph, get_target(TARGET), known)
    assert found.value.exit_code == 3


@pytest.mark.parametrize("form", [(3, 4), (4, 0), (4, -1), (4, 65), (8, 1), (2, 50)])
def test_a_form_that_does_not_exist_is_refused(form: Schedule) -> None:
    known = Known("x", {TILES: {(0, 0): 2.0, form: 1.0}})
    with pytest.raises(ModelError, match="does not fit winograd_f32"):
        driver.lower(network(), TARGET, book=known)


@pytest.mark.parametrize(
    ("times", "kernel"),
    [
        ({(0, 0): 2.0, (4, 4): 1.0, (2, 4): 1.5}, "F4"),
        ({(0, 0): 2.0, (2, 7): 1.0}, "F2"),
        ({(0, 0): 1.0, (4, 4): 0.99}, ""),  # not worth it
        ({(0, 0): 1.0}, ""),
    ],
)
def test_measured_forms_are_taken(times: dict[Schedule, float], kernel: str) -> None:
    known = Known("x", {TILES: times})
    made = driver.lower(network(), TARGET, book=known)
    code = emit(made.graph, get_target(TARGET), known).report["regions"]
    assert [one["tile"].split()[0] for one in code if one["kernel"] == "winograd"] == ([kernel] if kernel else [])


def test_measured_forms_keep_the_limits() -> None:
    known = Known("x", {TILES: {(0, 0): 2.0, (4, 4): 1.0}})
    made = driver.lower(network(), TARGET, book=known, winograd="error=1e-12")
    assert "of the largest value" in next(note.reason for note in made.graph.journal if note.source == "winograd")
    regions = emit(made.graph, get_target(TARGET), known).report["regions"]
    assert "winograd" not in [one["kernel"] for one in regions]
