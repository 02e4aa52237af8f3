"""Measured schedules in compilations: machines, databases, the options of the command line."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgec import driver, tuning
from edgec.cli import main
from edgec.errors import ToolchainError, UsageError
from edgec.kernels.database import Database, read_database, shipped
from edgec.schedule_search import machine_of
from edgec.targets import get_target, host_cpu
from edgec.targets.host import cpu_model
from edgec.toolchain import find_compiler
from edgec.tuning import cache_folder

from .tuned import NETWORK, find_host_compiler, network, spaces


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
