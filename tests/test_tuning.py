"""Measuring schedules: the fastest is found and kept, none that does not fit gets into code, and time is kept."""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from edgec import driver, schedule_search, tuning
from edgec.backends.c.emit import emit
from edgec.cli import main
from edgec.errors import ModelError, ToolchainError, UsageError
from edgec.ir import Graph
from edgec.ir.text import parse_graph
from edgec.kernels.database import Database, read_database, shipped
from edgec.kernels.schedules import MODEL, Known, Question, Schedule, Space, fastest
from edgec.schedule_search import OutOfTimeError, Tuner, Variant, conclude, machine_of, settle
from edgec.targets import get_target, host_cpu
from edgec.targets.host import cpu_model
from edgec.toolchain import find_compiler
from edgec.tuning import cache_folder

TARGET = "x86-64-v3"
NETWORK = """
graph "small"(%image: f32[1,8,14,14] "image") {
  %w = constant(value=fill(0.125)) : f32[24,8,3,3]
  %conv = conv(%image, %w, pads=[1, 1, 1, 1]) : f32[1,24,14,14]
  %relu = relu(%conv) : f32[1,24,14,14]
  %v = constant(value=fill(0.0625)) : f32[40,24,1,1]
  %point = conv(%relu, %v) : f32[1,40,14,14]
  %d = constant(value=fill(0.25)) : f32[40,1,3,3]
  %depth = conv(%point, %d, groups=40) : f32[1,40,12,12]
  %pool = reduce(%depth, kind="mean", axes=[2, 3], keepdims=false) : f32[1,40]
  %m = constant(value=fill(0.5)) : f32[40,10]
  %scores = matmul(%pool, %m) : f32[1,10]
  return %scores "scores"
}
"""
LAYERS = {"conv_f32": 3, "depthwise_f32": 1, "winograd_f32": 1}


def network() -> Graph:
    return parse_graph(NETWORK)


def lowered(target: str = TARGET, winograd: str = "off") -> driver.Lowered:
    return driver.lower(network(), target, winograd=winograd, book=MODEL)


@dataclass
class Collected:
    """A book that keeps the spaces it is asked about."""

    spaces: list[Space]

    def choose(self, space: Space) -> Schedule:
        self.spaces.append(space)
        return space.default()

    def times(self, question: Question) -> dict[Schedule, float]:
        return {}


def spaces(target: str = TARGET) -> list[Space]:
    book = Collected([])
    emit(lowered(target).graph, get_target(target), book)
    return book.spaces


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


# --- which schedules there are ----------------------------------------------------------------------------------------


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


TILES = Question("winograd_f32", (1, 14, 14, 24, 8))


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


# --- the search, with times that are made up --------------------------------------------------------------------------


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


# --- machines and databases -------------------------------------------------------------------------------------------


def test_an_emulator_does_not_measure(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="under an emulator time means nothing") as found:
        driver.compile(network(), "arm-neon", tune=1.0, database=tmp_path / "a.jsonl")
    assert "--runner" in found.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("runner", ["run", "run {} {}"])
def test_a_runner_names_the_program_once(runner: str) -> None:
    with pytest.raises(UsageError, match="the runner names the program"):
        driver.compile(network(), "host", tune=1.0, database="x.jsonl", runner=runner)


def test_a_runner_must_say_times(tmp_path: Path) -> None:
    find_host_compiler()
    with pytest.raises(ToolchainError, match="said no times"):
        driver.compile(
            network(), "host", tune=30.0, database=tmp_path / "a.jsonl", runner=f"{sys.executable} -c 0 {{}}"
        )


def find_host_compiler() -> None:
    try:
        find_compiler(get_target("host"))
    except ToolchainError as error:
        pytest.skip(error.what)


def test_open_sizes_are_not_measured(tmp_path: Path) -> None:
    find_host_compiler()
    digits = Path(__file__).parents[1] / "examples" / "digits.onnx"
    with pytest.raises(UsageError, match="a search measures one size"):
        driver.compile(digits, "host", dims={"batch": (1, 8)}, tune=5.0, database=tmp_path / "a.jsonl")


def test_a_search_and_what_follows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The real thing, with a runner, a compiler and times; then the file is used again, with the same bytes."""
    find_host_compiler()
    model, database = tmp_path / "small.ir", tmp_path / "a.jsonl"
    model.write_text(NETWORK)
    words = ["compile", str(model), "--database", str(database), "--no-build", "--json"]
    for seconds in ("0.01", "5", "60"):  # the first is too short for anything, the last for machines that are busy
        assert main([*words, "--tune", seconds, "-o", str(tmp_path / "first"), "--runner", "env {}"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["tuning"]["variants"] == 0 or seconds != "0.01"
        if facts["tuning"]["variants"]:
            break
    assert facts["tuning"]["variants"] >= 1
    assert facts["tuning"]["layers"] == 5
    assert facts["schedules"]["measured"] == facts["schedules"]["layers"] >= 4
    kept = database.read_bytes()
    for name in ("second", "third"):
        assert main([*words, "-o", str(tmp_path / name)]) == 0
        assert json.loads(capsys.readouterr().out)["schedules"] == facts["schedules"]
    first, second, third = ((tmp_path / name / "model.c").read_bytes() for name in ("first", "second", "third"))
    assert first == second == third
    assert database.read_bytes() == kept
    assert [one.model for one in read_database(database).times] == [host_cpu()]


def test_a_database_of_another_machine_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    find_host_compiler()
    target = get_target("host")
    machine = replace(machine_of(target, find_compiler(target), host_cpu()), model="another CPU")
    other = Database("x")
    for space in spaces("host"):
        other.add(machine, space.question, {space.candidates()[-1]: 1.0})
    other.save(tmp_path / "a.jsonl")
    (tmp_path / "small.ir").write_text(NETWORK)
    words = ["compile", str(tmp_path / "small.ir"), "--no-build", "-o"]
    assert main([*words, str(tmp_path / "plain")]) == 0
    capsys.readouterr()
    assert main([*words, str(tmp_path / "out"), "--database", str(tmp_path / "a.jsonl")]) == 0
    said = capsys.readouterr().out
    assert re.search(r"0 of \d layers measured: the database knows none of them for this machine", said)
    assert (tmp_path / "out" / "model.c").read_bytes() == (tmp_path / "plain" / "model.c").read_bytes()


def test_the_users_own_database_is_used_only_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_host_compiler()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tuning.sys, "platform", "linux")
    plain = code(tmp_path / "plain")
    target = get_target("host")
    own = Database("x")
    for space in spaces("host"):
        own.add(machine_of(target, find_compiler(target), host_cpu()), space.question, {space.candidates()[-1]: 1.0})
    own.save(tuning.cache_path())
    assert code(tmp_path / "again") == plain
    assert code(tmp_path / "named", database="cache") != plain
    assert shipped(target).times(spaces("host")[0].question) or code(tmp_path / "off", database="off") == plain


def code(output: Path, **options: str) -> bytes:
    driver.compile(network(), "host", output=output, build=False, **options)  # type: ignore[arg-type]
    return (output / "model.c").read_bytes()


@pytest.mark.parametrize(
    ("words", "said", "status"),
    [
        (["--tune", "0"], "--tune 0: a search takes seconds", 2),
        (["--tune", "-3"], "--tune -3: a search takes seconds", 2),
        (["--tune", "nan"], "--tune nan: a search takes seconds", 2),
        (["--tune", "soon"], "invalid value for '--tune'", 2),
        (["--tune", "1", "--database", "off"], "--tune measures schedules, --database off forbids them", 2),
        (["--database", "missing.jsonl"], "there is no database 'missing.jsonl'", 2),
        (["--database", "damaged.jsonl"], "database 'damaged.jsonl' holds no schedules", 3),
        (["--database", "damaged.jsonl", "--tune", "1"], "database 'damaged.jsonl' holds no schedules", 3),
    ],
)
def test_what_is_refused(
    words: list[str], said: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    find_host_compiler()
    monkeypatch.chdir(tmp_path)
    Path("small.ir").write_text(NETWORK)
    Path("damaged.jsonl").write_text("{}\n")
    assert main(["compile", "small.ir", "-o", "out", *words]) == status
    assert said in capsys.readouterr().err
    assert not Path("out").exists()
    assert Path("damaged.jsonl").read_text() == "{}\n"


@pytest.mark.parametrize(
    ("platform", "environment", "folder"),
    [
        ("linux", {}, "/home/me/.cache"),
        ("linux", {"XDG_CACHE_HOME": "/fast/cache"}, "/fast/cache"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "/home/me/Library/Caches"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local"),
        ("win32", {}, "/home/me/AppData/Local"),
    ],
)
def test_the_cache_is_where_it_belongs(platform: str, environment: dict[str, str], folder: str) -> None:
    assert cache_folder(platform, environment, Path("/home/me")) == Path(folder)


def test_the_cpu_is_named() -> None:
    x86 = "model name\t: AMD  EPYC\ncpu family\t: 25\nmodel\t\t: 17\nstepping\t: 1\n\nmodel name\t: other\n"
    assert cpu_model(x86) == "AMD EPYC (cpu family 25, model 17, stepping 1)"
    arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n"
    assert cpu_model(arm) == "unknown CPU (CPU implementer 0x41, CPU part 0xd0b)"
    assert cpu_model("") == "unknown CPU"


def test_out_of_time_is_no_error_of_users() -> None:
    assert not issubclass(OutOfTimeError, UsageError)
