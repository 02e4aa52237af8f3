"""Schemes by name, configurations as files, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgec.errors import UsageError
from edgec.pruning import Config, find_scheme, read_config

NAMES = ["stem", "block/a", "block/b", "head"]


@pytest.mark.parametrize("name", ["magnitude:0.7", "2:4", "1:8", "channels:0.25", "dense"])
def test_a_scheme_has_a_name(name: str) -> None:
    assert find_scheme(name).name == name


def test_a_share_alone_is_magnitude() -> None:
    assert find_scheme("0.7") == find_scheme("magnitude:0.7") == find_scheme(".7")
    assert find_scheme("2:4").share == 0.5


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("half", "there is no pruning scheme 'half'"),
        ("0", "magnitude: cannot prune a share of 0"),
        ("1.5", "magnitude: cannot prune a share of 1.5"),
        ("channels:1", "channels: cannot prune a share of 1"),
        ("channels:-0.1", "there is no pruning scheme"),
        ("channels", "there is no pruning scheme"),
        ("4:4", "a pattern keeps at least one weight and not all of a group, not 4:4"),
        ("0:4", "a pattern keeps at least one weight"),
        ("5:4", "a pattern keeps at least one weight"),
    ],
)
def test_what_is_no_scheme(text: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        find_scheme(text)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("1:4", ["3:4", "2:4", "1:4"]),
        ("0.6", ["magnitude:0.3", "magnitude:0.4", "magnitude:0.5", "magnitude:0.6"]),
        ("channels:0.25", ["channels:0.125", "channels:0.25"]),
        ("dense", []),
    ],
)
def test_a_ladder_ends_with_the_scheme(name: str, steps: list[str]) -> None:
    assert [scheme.name for scheme in find_scheme(name).ladder()] == steps


def test_a_file_says_the_same_again(tmp_path: Path) -> None:
    config = Config(scheme="2:4", refit=False, samples=7, layers={"head": "dense", "block/*": "0.7"})
    path = tmp_path / "pruning.toml"
    path.write_text(config.text())
    assert read_config(path) == config
    assert read_config(path).text() == config.text()


def test_overrides() -> None:
    config = Config(scheme="0.5", layers={"block/*": "2:4", "block/b": "dense"})
    found = {name: scheme.name for name, scheme in config.schemes(NAMES).items()}
    assert found == {"stem": "magnitude:0.5", "block/a": "2:4", "block/b": "dense", "head": "magnitude:0.5"}
    assert config.named(NAMES) == {"block/a", "block/b"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("scheme = ", "is not TOML"),
        ('sheme = "2:4"', "holds an unknown key 'sheme'"),
        ("scheme = 0.5", "'scheme' of .* must be of type str"),
        ("samples = 0", "samples and multiple must be at least 1"),
        ("multiple = 0", "samples and multiple must be at least 1"),
        ('criterion = "luck"', "criterion cannot be 'luck'"),
        ('scheme = "1.5"', "cannot prune a share of 1.5"),
        ('[layer."head"]\nscheme = "9:4"', "a pattern keeps"),
        ('[layer."head"]\nratio = 0.5', "layer 'head' can override the scheme alone, not ratio = 0.5"),
        ("layer = 3", "'layer' of .* must hold tables"),
    ],
)
def test_what_is_no_configuration(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "pruning.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=what):
        read_config(path)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"cannot read 'missing\.toml'"):
        read_config("missing.toml")


def test_overrides_that_match_nothing_or_contradict() -> None:
    with pytest.raises(UsageError, match="no layer is called 'tail'") as caught:
        Config(layers={"tail": "2:4"}).schemes(NAMES)
    assert "stem" in caught.value.hint
    with pytest.raises(UsageError, match=r"contradict .* layer 'block/a': '\*a' says 2:4 and 'block.*' says 0\.5"):
        Config(layers={"*a": "2:4", "block/*": "0.5"}).schemes(NAMES)
