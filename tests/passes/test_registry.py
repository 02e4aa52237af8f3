"""Choosing passes by text, anchors, plugins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from edgec.errors import UsageError
from edgec.ir import Graph
from edgec.passes import default_pipeline, known_passes, load_plugin, make_pass, parse_passes, register
from edgec.passes.registry import PASSES, slot, text_of


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Passes that a test registers are gone after it."""
    known_passes()
    before = dict(PASSES)
    yield
    PASSES.clear()
    PASSES.update(before)


def names(passes: object) -> list[str]:
    return [p.name for p in passes]  # type: ignore[attr-defined]


def test_text_gives_passes_with_options() -> None:
    first, second, third = parse_passes(
        " fold-constants{slack=8, max_bytes=100} ,simplify{fast=true},decompose{keep=a+b}"
    )
    assert first == make_pass("fold-constants", {"slack": 8, "max_bytes": 100})
    assert second == make_pass("simplify", {"fast": True})
    assert text_of(third) == "decompose{keep=a+b}"
    assert text_of(second) == "simplify{fast=true}"
    assert text_of(parse_passes("simplify")[0]) == "simplify"


def test_every_pass_of_the_package_is_known() -> None:
    assert set(names(default_pipeline())) <= set(known_passes())
    assert all(cls.__doc__ for cls in known_passes().values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fold-constant", "error: there is no pass 'fold-constant'\n  hint: did you mean 'fold-constants'? passes: "),
        (
            "simplify{fas=true}",
            "error: pass 'simplify' has no option 'fas'\n  hint: did you mean 'fast'? options: fast",
        ),
        ("simplify{fast=yes}", "error: option 'fast' of pass 'simplify' must be true or false, is 'yes'"),
        ("fold-constants{slack=x}", "error: option 'slack' of pass 'fold-constants' must be of type int, is 'x'"),
        ("simplify{fast}", "error: option 'fast' of pass 'simplify' has no value\n  hint: write option=value"),
        ("simplify{", "error: 'simplify{' is not a list of passes\n  hint: write them like "),
        ("+simplify,dead-code", "error: '+simplify,dead-code' mixes a list of passes with changes to the default list"),
        ("-fuze", "error: pass 'fuze' is not in the list and cannot be taken out\n  hint: did you mean 'fuse'?"),
    ],
)
def test_errors_say_what_is_known(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_passes(text, parse_passes("simplify,fuse"))
    assert str(caught.value).startswith(message)


def test_signs_change_the_default_list() -> None:
    default = parse_passes("fold-constants,simplify,fuse")
    assert names(parse_passes("-simplify", default)) == ["fold-constants", "fuse"]
    assert names(parse_passes("-fuse,+dead-code", default)) == ["fold-constants", "simplify", "dead-code"]
    assert names(parse_passes("dead-code", default)) == ["dead-code"]


def declared(**anchors: str) -> type:
    @dataclass(frozen=True)
    class Extra:
        name: ClassVar[str] = "extra"
        size: int = 1

        def run(self, graph: Graph) -> Graph:
            return graph

    for anchor, place in anchors.items():
        setattr(Extra, anchor, place)
    return Extra


@pytest.mark.parametrize(
    ("anchors", "wanted"),
    [
        ({"after": "simplify"}, ["fold-constants", "simplify", "extra", "fuse", "simplify"]),
        ({"before": "fuse"}, ["fold-constants", "simplify", "extra", "fuse", "simplify"]),
        ({"after": "absent", "before": "fold-constants"}, ["extra", "fold-constants", "simplify", "fuse", "simplify"]),
        ({}, ["fold-constants", "simplify", "fuse", "simplify", "extra"]),
    ],
)
def test_anchors(anchors: dict[str, str], wanted: list[str]) -> None:
    passes = parse_passes("fold-constants,simplify,fuse,simplify")
    assert names(slot(passes, declared(**anchors)())) == wanted


def test_an_absent_anchor_is_an_error() -> None:
    with pytest.raises(UsageError, match="pass 'extra' stands next to 'simplifi', which is not in the list"):
        slot(parse_passes("simplify"), declared(after="simplifi")())


def test_a_registered_pass_with_an_anchor_joins_the_default_pipeline() -> None:
    plain = names(default_pipeline())
    register(declared(after="fold-scales"))
    slotted = names(default_pipeline())
    assert slotted[slotted.index("fold-scales") + 1] == "extra"
    assert [n for n in slotted if n != "extra"] == plain


def test_options_reach_the_pipeline() -> None:
    chosen = default_pipeline(options={"fold-constants": {"slack": 5}})
    assert {p.slack for p in chosen if p.name == "fold-constants"} == {5}
    with pytest.raises(UsageError, match="options are given for passes that do not run: fold-constnats"):
        default_pipeline(options={"fold-constnats": {"slack": 5}})
    with pytest.raises(UsageError, match="there is no backend 'java'"):
        default_pipeline(backend="java")


def test_registering_refuses_what_is_no_pass() -> None:
    register(declared())
    with pytest.raises(UsageError, match="needs a `name` in lower case"):
        register(type("Bad", (), {"name": "Not A Name"}))
    with pytest.raises(UsageError, match="pass 'bad' must be a dataclass with a method"):
        register(type("Bad", (), {"name": "bad"}))
    with pytest.raises(UsageError, match="pass 'simplify' is registered twice"):
        register(dataclass(frozen=True)(type("Other", (), {"name": "simplify", "run": lambda self, graph: graph})))


PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar
from edgec.passes import register

@register
@dataclass(frozen=True)
class Shout:
    name: ClassVar[str] = "shout"
    before: ClassVar[str] = "fuse"
    volume: int = 1

    def run(self, graph):
        graph.note("shout", "HELLO" * self.volume, None)
        return graph
"""


def test_a_plugin_file_brings_a_pass(tmp_path: Path) -> None:
    file = tmp_path / "shout.py"
    file.write_text(PLUGIN)
    assert load_plugin(file) is load_plugin(file)
    chosen = names(default_pipeline())
    assert chosen[chosen.index("fuse") - 1] == "shout"
    (shout,) = parse_passes("shout{volume=2}")
    assert [note.reason for note in shout.run(Graph()).journal] == ["HELLOHELLO"]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("import os\nraise RuntimeError('no')\n", 2, "RuntimeError: no"),
        ("x = 1\ndef f(:\n", 2, "SyntaxError: "),
        ("def f():\n    import no_such_module\n\nf()\n", 2, "ModuleNotFoundError: No module named"),
        (PLUGIN.replace("shout", "fuse"), 6, "pass 'fuse' is registered twice"),
    ],
)
def test_a_broken_plugin_is_named_with_its_line(text: str, line: int, what: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_plugin(file)
    assert what in caught.value.what
    assert caught.value.where == f"{file}:{line}"


def test_an_absent_plugin_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no plugin file"):
        load_plugin(tmp_path / "absent.py")
