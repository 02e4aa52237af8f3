"""Configurations as files: written and read back, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgec.errors import UsageError
from edgec.quantization import Config, read_config

NAMES = ["stem/conv", "head/a", 'odd "name" [1]', "head/b"]


def test_file_reproduces_the_configuration(tmp_path: Path) -> None:
    config = Config("w4a8", "entropy", equalize=False, smooth=0.5)
    config = config.with_layers({'odd "name" [1]': "float", "head/a": "w8a16"})
    path = tmp_path / "config.toml"
    path.write_text(config.text(), encoding="utf-8")
    assert read_config(path) == config
    assert read_config(path).text() == config.text()
    found = {name: scheme.name for name, scheme in read_config(path).schemes(NAMES).items()}
    assert found == {"stem/conv": "w4a8", "head/a": "w8a16", 'odd "name" [1]': "float", "head/b": "w4a8"}


def test_name_of_a_scheme_is_a_configuration() -> None:
    assert read_config("int4").scheme == "w4"


def test_patterns() -> None:
    config = Config(layers={"head/*": {"scheme": "float"}})
    assert [s.name for s in config.schemes(NAMES).values()] == ["int8", "float", "int8", "float"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('scheme = "w5"', "no scheme 'w5'"),
        ('calibrator = "best"', "no calibrator 'best'"),
        ("smoth = 1", "unknown key 'smoth'"),
        ('equalize = "yes"', "must be of type bool"),
        ("smooth = 2.0", "between 0 and 1"),
        ('rounding = "up"', "rounding cannot be 'up'"),
        ("layer = 3", "must hold tables"),
        ('[layer."a"]\nbits = 4', "cannot override 'bits'"),
        ('[layer."a"]\nscheme = "float"\ncalibrator = "mse"', "left in float and yet"),
        ('[layer."a"]\n[layer."a"]', "is not TOML"),
    ],
)
def test_wrong_files(text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        Config.parse(text)
    assert said in str(error.value)


def test_contradictions_name_both_patterns() -> None:
    config = Config(layers={"head/*": {"scheme": "float"}, "*/a": {"scheme": "int8"}})
    with pytest.raises(UsageError, match="contradict") as error:
        config.schemes(NAMES)
    assert "says int8 and" in str(error.value)
    assert "layer 'head/a'" in str(error.value)


def test_a_name_wins_over_a_pattern() -> None:
    config = Config(layers={"head/*": {"scheme": "w8a16"}}).with_layers({"head/a": "float"})
    assert [s.name for s in config.schemes(NAMES).values()] == ["int8", "float", "int8", "w8a16"]


def test_override_of_no_layer() -> None:
    with pytest.raises(UsageError, match="no layer is called 'tail'"):
        Config(layers={"tail": {"scheme": "float"}}).schemes(NAMES)
