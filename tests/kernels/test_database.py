"""Databases of schedules: what is written is read again, and what is damaged, foreign or unknown is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgec.errors import ModelError, UsageError
from edgec.kernels.database import SHIPPED, Database, Machine, parse, read_database, shipped
from edgec.kernels.schedules import MODEL, Both, Known, Question, fastest
from edgec.kernels.table import get_isa, useful_tiles
from edgec.kernels.table_winograd import EDGES, LARGEST_BLOCK, Layer
from edgec.targets import get_target

HERE = Machine("x86-64-v3", "", "some CPU (model 1)", "gcc 12")
SIZES = (1, 1, 8, 8, 16, 8, 1, 1, 1, 1, 1, 1, 512, 64, 8, 1024, 128, 16)
CONV = Question("conv_f32", SIZES, epilogue=("relu",), flat=True)
TILES = Question("winograd_f32", (1, 8, 8, 16, 8))


def database() -> Database:
    made = Database("the database")
    made.add(HERE, CONV, {(8, 4, 2, 8, 1): 3.5, (16, 6, 2, 4, 1): 2.25})
    made.add(HERE, TILES, {(0, 0): 10.0, (4, 4): 6.0})
    made.add(replace(HERE, compiler="gcc 13"), TILES, {(0, 0): 1.0})
    return made


def lines() -> list[Any]:
    return [json.loads(line) for line in database().text().splitlines()]


def content(parts: list[Any]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in parts).encode()


def test_what_is_written_is_read_again() -> None:
    text = database().text()
    again = parse(text.encode(), "the database")
    assert again == database()
    assert again.text() == text


def test_the_whole_machine_is_compared() -> None:
    found = database()
    assert fastest(found.known(HERE).times(CONV)) == (16, 6, 2, 4, 1)
    others = ({"target": "x86-64-v4"}, {"cpu": "znver4"}, {"model": "another CPU"}, {"compiler": "clang 14"})
    assert [found.known(replace(HERE, **other)).times(CONV) for other in others] == [{}] * 4


def test_the_whole_question_is_compared() -> None:
    known = database().known(HERE)
    others: list[Question] = [
        replace(CONV, sizes=(*CONV.sizes[:-1], 17)), replace(CONV, weights="f16 0"), replace(CONV, epilogue=()),
        replace(CONV, vectors=2), replace(CONV, flat=False), replace(CONV, kernel="conv_i8"),
    ]  # fmt: skip
    assert [known.times(other) for other in others] == [{}] * len(others)


def test_the_first_book_that_knows_decides() -> None:
    first = Known("a", {CONV: {(8, 4, 2, 8, 1): 1.0}})
    second = Known("b", {CONV: {(8, 2, 2, 8, 1): 0.5}, TILES: {(0, 0): 1.0}})
    both = Both(first, second)
    assert both.times(CONV) == {(8, 4, 2, 8, 1): 1.0}
    assert both.times(TILES) == {(0, 0): 1.0}
    assert Both(MODEL, first).times(TILES) == {}


def _set(place: list[Any], value: Any) -> Callable[[list[Any]], None]:
    def change(parts: list[Any]) -> None:
        at = parts
        for step in place[:-1]:
            at = at[step]
        at[place[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set([0, "format"], "schedules"), "holds no schedules"),
        (_set([0, "version"], 2), "is of version 2, kernels 1; this is version 1, kernels 1"),
        (_set([0, "kernels"], 0), "is of version 1, kernels 0"),
        (_set([0, "more"], 1), "this is version 1"),
        (_set([1, "question", "kernel"], "conv_f99"), "line 2: there is no kernel 'conv_f99' with schedules"),
        (_set([1, "question", "sizes"], [1, 2]), "line 2: conv_f32 has 18 sizes, not 2"),
        (_set([1, "question", "sizes", 3], 8.0), "line 2: a size is no whole number"),
        (_set([1, "question", "sizes", 3], True), "line 2: a size is no whole number"),
        (_set([1, "question", "flat"], 1), "line 2: flat is neither true nor false"),
        (_set([1, "question", "speed"], 1), "line 2: a question has kernel, sizes"),
        (_set([1, "schedules", 0, "unroll"], 4), "line 2: a schedule of conv_f32 has width, mr, nv, rows, panels, us"),
        (_set([1, "schedules", 0], {"mr": 4, "us": 1.0}), "line 2: a schedule of conv_f32 has width"),
        (_set([1, "schedules", 0, "mr"], "4"), "line 2: a size is no whole number"),
        (_set([1, "schedules", 0, "us"], 0), "line 2: a time is no number of microseconds above zero"),
        (_set([1, "schedules", 0, "us"], float("nan")), "line 2: a time is no number"),
        (_set([1, "schedules", 0, "us"], float("inf")), "line 2: a time is no number"),
        (_set([1, "schedules"], []), "line 2: schedules stand there twice, or none does"),
        (_set([1, "schedules"], None), "line 2: it does not have the form of an entry"),
        (_set([1, "machine"], "mine"), "line 2: a machine has target, cpu, model, compiler"),
        (_set([1, "machine", "model"], 7), "line 2: a name is no text"),
        (_set([2], []), "line 3: an entry has machine, question, schedules"),
        (lambda parts: parts.append(parts[1]), "line 5: the layer stands there twice"),
        (lambda parts: parts[1]["schedules"].append(parts[1]["schedules"][0]), "line 2: schedules stand there twice"),
    ],
)  # fmt: skip
def test_what_was_tampered_with_is_refused(change: Callable[[list[Any]], None], said: str) -> None:
    parts = lines()
    change(parts)
    with pytest.raises(ModelError) as found:
        parse(content(parts), "the database")
    assert found.value.what.startswith("the database")
    assert said in found.value.what
    assert found.value.hint == "delete it, or name another file with --database"


@pytest.mark.parametrize("cut", [0, 1, 30, 200, -1, -20])
def test_what_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(ModelError):
        parse(database().text().encode()[:cut], "the database")


@pytest.mark.parametrize("bytes_", [b"\xff\xfe", b"[" * 100000 + b"\n", b"null\n", b"{}\n"])
def test_what_is_no_database_is_refused(bytes_: bytes) -> None:
    with pytest.raises(ModelError, match="the database"):
        parse(bytes_, "the database")


@pytest.mark.parametrize("line", [b"nothing\n", b"[" * 100000 + b"\n", b"\n", b"null\n"])
def test_a_line_that_is_no_entry_is_refused(line: bytes) -> None:
    with pytest.raises(ModelError, match="line 2"):
        parse(content(lines()[:1]) + line, "the database")


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "one.jsonl"
    database().save(path)
    assert read_database(path) == replace(database(), source=f"database '{path}'")
    assert [found.name for found in path.parent.iterdir()] == ["one.jsonl"]
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        database().save(tmp_path / "taken" / "one.jsonl")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    assert read_database(path, needed=False).times == {}
    with pytest.raises(UsageError, match="there is no database"):
        read_database(path)
    with pytest.raises(UsageError, match="cannot read database"):
        read_database(tmp_path)


def test_what_comes_with_edgec_is_for_the_target_alone() -> None:
    assert shipped(get_target("x86-64-v4", "znver4")).measured == {}
    assert shipped(get_target("c")).measured == {}


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.jsonl")), ids=lambda path: path.stem)
def test_what_comes_with_edgec_fits(path: Path) -> None:
    """Every schedule is one that the kernel has; whether it fits the layer is asked again where it is used."""
    found = read_database(path)
    assert found.text() == path.read_text(encoding="utf-8")
    ((machine, layers),) = found.times.items()
    target = get_target(path.stem)
    assert (machine.target, machine.cpu) == (path.stem, "")
    isa = get_isa(target.isa, target.registers)
    for question, times in layers.items():
        for schedule in times:
            if question.kernel == "winograd_f32":
                edge, block = schedule
                n, h, w, out_c, in_c = question.sizes
                assert schedule == (0, 0) or edge in EDGES
                assert schedule == (0, 0) or 1 <= block <= min(LARGEST_BLOCK, Layer(n, h, w, out_c, in_c).tiles(edge))
            elif question.kernel == "conv_f32":
                width, mr, nv, rows, panels = schedule
                tiles = {(tile.mr, tile.nv) for tile in useful_tiles(isa, width, question.sizes[4], question.vectors)}
                assert (mr, nv) in tiles
                assert min(rows, panels) >= 1
            elif question.kernel == "depthwise_f32":
                assert 1 <= schedule[0] <= min(8, question.sizes[3])
