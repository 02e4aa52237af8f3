"""Measured schedules in a file: JSON lines, a header first, then a line for each layer on each machine.

    {"format": "edgec schedules", "version": 1, "kernels": 1}
    {"machine": {...}, "question": {...}, "schedules": [{"width": 28, "mr": 6, ..., "us": 12.5}, ...]}

The whole machine and the whole question are compared. What a file says is checked when it is read: names, kinds and
signs of numbers here, whether a schedule fits its layer where it is used.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import ModelError, UsageError
from ..escaping import escape
from ..targets import Target
from .schedules import ABI, NUMBERS, SIZES, Known, Question, Schedule, named

FORMAT, VERSION = "edgec schedules", 1
HEADER = {"format": FORMAT, "version": VERSION, "kernels": ABI}
SHIPPED = Path(__file__).resolve().parent / "measured"
MOST_BYTES = 64 << 20
HINT = "delete it, or name another file with --database"

Times = dict[Question, dict[Schedule, float]]


@dataclass(frozen=True)
class Machine:
    """What measured times hold for: the row of a target, its `--cpu`, the CPU itself, the C compiler."""

    target: str
    cpu: str
    model: str
    compiler: str

    def __str__(self) -> str:
        return f"{self.target} on {self.model} with {self.compiler}"


@dataclass
class Database:
    """Times by machine and layer; `source` is what messages call it."""

    source: str
    times: dict[Machine, Times] = field(default_factory=dict)

    def known(self, machine: Machine) -> Known:
        """The schedules of one machine."""
        return Known(self.source, self.times.get(machine, {}))

    def add(self, machine: Machine, question: Question, times: Mapping[Schedule, float]) -> None:
        """Remember what was measured of a layer, in the place of what was known of it."""
        self.times.setdefault(machine, {})[question] = dict(times)

    def text(self) -> str:
        """The content of the file: the same database gives the same bytes."""
        lines = [json.dumps(HEADER)]
        for machine, layers in sorted(self.times.items(), key=lambda one: str(one[0])):
            ordered = sorted(layers.items(), key=lambda one: json.dumps(asdict(one[0])))
            lines += [_line(machine, question, times) for question, times in ordered]
        return "\n".join(lines) + "\n"

    def save(self, path: Path) -> None:
        """Write the file all at once; UsageError where that is impossible."""
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                partial.write_text(self.text(), encoding="utf-8")
                os.replace(partial, path)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write '{escape(str(path))}': {error.strerror}") from error


def read_database(path: Path, needed: bool = True) -> Database:
    """Read a file; UsageError where it is `needed` and not there, ModelError where it is damaged or too new."""
    source = f"database '{escape(str(path))}'"
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        if needed:
            raise UsageError(f"there is no {source}", hint="--tune SECONDS makes one") from None
        return Database(source)
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise ModelError(f"{source} is larger than {MOST_BYTES >> 20} MiB", hint=HINT)
    return parse(content, source)


def parse(content: bytes, source: str) -> Database:
    """The database in the content of a file; ModelError names the line that is wrong."""
    try:
        lines = content.decode("utf-8").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise ModelError(f"{source} is no text", hint=HINT) from error
    _check_header(lines[0] if lines else "", source)
    found = Database(source)
    for number, line in enumerate(lines[1:], 2):
        try:
            if not line.endswith("\n"):
                raise ValueError("the line is cut off")
            machine, question, times = _entry(json.loads(line))
            if question in found.times.get(machine, {}):
                raise ValueError("the layer stands there twice")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            said = str(error) if type(error) is ValueError else "it does not have the form of an entry"
            raise ModelError(f"{source}: line {number}: {said}", hint=HINT) from error
        found.add(machine, question, times)
    return found


def _check_header(line: str, source: str) -> None:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT or not line.endswith("\n"):
        raise ModelError(f"{source} holds no schedules", hint=HINT)
    if header != HEADER:
        said = f"version {escape(str(header.get('version')))}, kernels {escape(str(header.get('kernels')))}"
        raise ModelError(f"{source} is of {said}; this is version {VERSION}, kernels {ABI}", hint=HINT)


def _line(machine: Machine, question: Question, times: Mapping[Schedule, float]) -> str:
    ordered = sorted(times.items(), key=lambda one: (one[1], one[0]))
    schedules = [{**named(question, schedule), "us": round(us, 3)} for schedule, us in ordered]
    return json.dumps({"machine": asdict(machine), "question": asdict(question), "schedules": schedules})


def _entry(line: Any) -> tuple[Machine, Question, dict[Schedule, float]]:
    _check_names(line, ("machine", "question", "schedules"), "an entry")
    _check_names(line["machine"], [one.name for one in fields(Machine)], "a machine")
    machine = Machine(**{name: _text(value) for name, value in line["machine"].items()})
    question = _question(line["question"])
    times = dict(_timed(question, one) for one in line["schedules"])
    if not times or len(times) != len(line["schedules"]):
        raise ValueError("schedules stand there twice, or none does")
    return machine, question, times


def _question(said: Any) -> Question:
    _check_names(said, [one.name for one in fields(Question)], "a question")
    kernel = _text(said["kernel"])
    if kernel not in NUMBERS:
        raise ValueError(f"there is no kernel '{escape(kernel)}' with schedules; kernels: {', '.join(NUMBERS)}")
    sizes = tuple(map(_whole, said["sizes"]))
    if len(sizes) != SIZES[kernel]:
        raise ValueError(f"{kernel} has {SIZES[kernel]} sizes, not {len(sizes)}")
    epilogue = tuple(map(_text, said["epilogue"]))
    if type(said["flat"]) is not bool:
        raise ValueError("flat is neither true nor false")
    return Question(kernel, sizes, _text(said["weights"]), epilogue, _whole(said["vectors"]), said["flat"])


def _timed(question: Question, said: Any) -> tuple[Schedule, float]:
    names = NUMBERS[question.kernel]
    _check_names(said, (*names, "us"), f"a schedule of {question.kernel}")
    time = said["us"]
    if type(time) not in (int, float) or not 0 < time < 1e12:
        raise ValueError("a time is no number of microseconds above zero")
    return tuple(_whole(said[name]) for name in names), float(time)


def _check_names(said: Any, names: Any, what: str) -> None:
    if not isinstance(said, dict) or set(said) != set(names):
        found = ", ".join(escape(str(name)) for name in said) if isinstance(said, dict) else "something else"
        raise ValueError(f"{what} has {', '.join(names)}, not {found}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a name is no text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or abs(value) > 1 << 62:
        raise ValueError("a size is no whole number")
    return value


@functools.cache
def shipped(target: Target) -> Known:
    """The schedules that come with edgec for a target, whatever machine this is; none for a CPU that was named.

    They were measured on one machine, as the constants of the cost model were, and hold for the target all the same:
    what is compiled depends on the target alone.
    """
    path = SHIPPED / f"{target.row}.jsonl"
    if target.cpu or not path.is_file():
        return Known("", {})
    found = read_database(path)
    (times,) = found.times.values()
    return Known(f"measured/{path.name}", times)
