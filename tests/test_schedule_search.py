"""Searching schedules, with times that are made up: the fastest is found and kept, and time is kept."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from edgec import driver, schedule_search
from edgec.errors import ToolchainError, UsageError
from edgec.kernels.database import Database, read_database
from edgec.kernels.schedules import Question, Schedule, fastest
from edgec.schedule_search import OutOfTimeError, Tuner, Variant, conclude, settle
from edgec.targets import get_target, host_cpu
from edgec.toolchain import find_compiler

from .tuned import TARGET, TILES, network, spaces

LAYERS = {"conv_f32": 3, "depthwise_f32": 1, "winograd_f32": 1}


def made_up(question: Question, schedule: Schedule) -> float:
    """Microseconds between 10 and 20."""
    return 10 + zlib.crc32(repr((question, schedule)).encode()) % 1000 / 100


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A search that neither compiles nor runs: each variant takes a second."""
    now = [0.0]

    def take(self: Tuner, variant: Variant) -> None:
        self.cpu = host_cpu()
        us = [sum(made_up(*one) for one in asked) for asked in variant.asked]
        variant.us = list(map(min, us, variant.us)) if variant.us else us
        now[0] += 0.4

    def build(folder: Path, *_: object) -> Path:
        now[0] += 0.6
        return folder

    monkeypatch.setattr(Tuner, "take", take)
    monkeypatch.setattr(schedule_search, "build_timing", build)
    monkeypatch.setattr(schedule_search.time, "monotonic", lambda: now[0])
    return now


def tuner(path: Path, seconds: float) -> Tuner:
    target = get_target(TARGET)
    try:
        compiler = find_compiler(target)
    except ToolchainError as error:
        pytest.skip(error.what)
    return Tuner(
        lambda form, book: driver.lower(network(), TARGET, winograd=form, book=book).graph, target, compiler, path,
        seconds, runner="run {}",
    )  # fmt: skip


def test_the_fastest_schedules_are_found_and_kept(tmp_path: Path, clock: list[float]) -> None:
    search = tuner(tmp_path / "a.jsonl", 60.0)
    report = search.run()
    assert report["us"] < report["own_us"]
    (times,) = read_database(tmp_path / "a.jsonl").times.values()
    assert {k: sum(q.kernel == k for q in times) for k in LAYERS} == LAYERS
    for space in spaces():
        tried = times[space.question]
        assert {space.default(), *space.candidates()} <= set(tried)
        assert fastest(tried) in (space.default(), min(tried, key=lambda one: made_up(space.question, one)))
    assert {edge for edge, _ in times[TILES]} == {0, 2, 4, 6}


def test_a_search_goes_on_where_it_ended(tmp_path: Path, clock: list[float]) -> None:
    counts = []
    for _ in range(3):
        search = tuner(tmp_path / "a.jsonl", 6.0)
        search.own_cpu = host_cpu  # type: ignore[method-assign]
        search.__post_init__()
        counts.append(search.run()["schedules"])
    assert counts[0] < counts[1] < counts[2]


@pytest.mark.parametrize("seconds", [0.5, 3.0, 7.5, 20.0])
def test_the_time_is_kept(tmp_path: Path, clock: list[float], seconds: float) -> None:
    search = tuner(tmp_path / "a.jsonl", seconds)
    search.run()
    assert clock[0] <= seconds + 1.0


def test_an_interrupted_search_keeps_what_it_measured(
    tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    search, path = tuner(tmp_path / "a.jsonl", 60.0), tmp_path / "a.jsonl"

    def interrupt(text: str, done: float) -> None:
        if search.variants == 3:
            raise KeyboardInterrupt

    search.say = interrupt
    with pytest.raises(KeyboardInterrupt):
        search.run()
    (times,) = read_database(path).times.values()
    assert max(map(len, times.values())) == 3
    assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl"]


def test_others_may_add_to_the_file_meanwhile(tmp_path: Path, clock: list[float]) -> None:
    search, path = tuner(tmp_path / "a.jsonl", 6.0), tmp_path / "a.jsonl"
    machine = replace(search.machine("another CPU"), target="arm-neon")
    other = Database("x")
    other.add(machine, TILES, {(0, 0): 1.0})
    search.say = lambda text, done: other.save(path) if search.variants == 2 else None
    search.run()
    assert {one.target for one in read_database(path).times} == {TARGET, "arm-neon"}


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_no_time_is_an_error(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(UsageError, match="a search takes seconds"):
        driver.compile(network(), TARGET, tune=seconds, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_late_loser_is_not_taken() -> None:
    question, other = Question("depthwise_f32", (1,) * 18), TILES
    times = {question: {(4,): 10.0, (7,): 8.0, (8,): 7.9}, other: {(0, 0): 10.0, (4, 4): 5.0, (2, 4): 4.0}}
    winners: dict[Question, Schedule] = {}
    ours = {(question, (4,)): 9.0, (other, (0, 0)): 12.0}
    assert settle(times, ours, {(question, (8,)): 8.9, (other, (4, 4)): 6.0}, winners)
    assert winners == {other: (4, 4)}
    assert fastest(times[question]) == (7,)  # the next to try
    assert not settle(times, ours, {(question, (7,)): 9.5, (other, (4, 4)): 3.0}, winners)
    conclude(times, ours, winners)
    assert fastest(times[question]) == (4,)
    assert times[other] == {(0, 0): 12.0, (4, 4): 3.0, (2, 4): 4.0}


def test_out_of_time_is_no_error_of_users() -> None:
    assert not issubclass(OutOfTimeError, UsageError)
