"""The options that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..escaping import escape

if TYPE_CHECKING:
    from ..backends import Goal

ModelArgument = Annotated[Path, typer.Argument(help="An .onnx or .ir file.", show_default=False)]
WhatArgument = Annotated[Path, typer.Argument(help="An artifact, or a model to compile first.", show_default=False)]
TargetOption = Annotated[str, typer.Option("--target", "-t", help="What to compile for; see `targets`.")]
CpuOption = Annotated[str, typer.Option("--cpu", help="Refine the target for a CPU, as cortex-a72.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Take target, CPU and caches of a known device.")]
ShapeOption = Annotated[
    list[str] | None, typer.Option("--shape", metavar="NAME=1,3,224,224", help="Fix the shape of an input. Repeatable.")
]
DimOption = Annotated[
    list[str] | None, typer.Option("--dim", metavar="batch=1..8", help="Fix or bound a named dimension. Repeatable.")
]
AliasOption = Annotated[
    list[str] | None, typer.Option("--alias", metavar="IN=OUT", help="Pass one buffer as input and output. Repeatable.")
]
TextBytesOption = Annotated[
    int, typer.Option("--text-bytes", metavar="N", min=1, max=4096, help="Bytes that a string has room for.")
]
PassesOption = Annotated[
    str, typer.Option("--passes", metavar="SPEC", help="The passes to run, as 'a,b{option=1}', or changes: '+a,-b'.")
]
PluginOption = Annotated[
    list[Path] | None, typer.Option("--plugin", metavar="FILE.py", help="A Python file with passes or ops. Repeatable.")
]
FusionOption = Annotated[str, typer.Option("--fusion", help="The fusion strategy.")]
WinogradOption = Annotated[
    str,
    typer.Option("--winograd", metavar="off|auto|...", help="Forms of 3x3 convolutions, as growth=1.5."),
]
PrecisionOption = Annotated[str, typer.Option("--precision", metavar="f32|bf16|f16", help="How products are rounded.")]
CascadeOption = Annotated[
    str,
    typer.Option("--cascade", metavar="speed|memory|off", help="Compute runs of layers by rows, which is for what."),
]
VerifyOption = Annotated[bool, typer.Option("--verify", help="Check the graph after every pass.")]
DumpOption = Annotated[Path | None, typer.Option("--dump", metavar="DIR", help="Write the graph after every pass.")]
CompilerOption = Annotated[str, typer.Option("--compiler", help="gcc, clang, zig or a command; also EDGEC_CC.")]
TuneOption = Annotated[
    float | None, typer.Option("--tune", metavar="SECONDS", help="Measure schedules of layers for so long (C, tvm).")
]
DatabaseOption = Annotated[
    str | None, typer.Option("--database", metavar="FILE|cache|off", help="Where measured schedules are kept.")
]
SampleOption = Annotated[
    Path | None, typer.Option("--sample", metavar="X.npz", help="Inputs for the self-test, by name or in:NAME.")
]
RunnerOption = Annotated[
    str, typer.Option("--runner", metavar="'CMD {}'", help="What runs a program on the device, for --tune.")
]
OwnOption = Annotated[
    list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="An option of the backend. Repeatable.")
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, max=1024, help="How many threads to run on.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ToleranceOption = Annotated[
    float, typer.Option("--tolerance", min=0.0, help="What may differ, as a part of the largest reference value.")
]


@dataclass(frozen=True)
class ModelOptions:
    """What the shared options say about a model and how to lower it."""

    target: str = "host"
    cpu: str = ""
    device: str = ""
    shape: Sequence[str] | None = None
    dim: Sequence[str] | None = None
    passes: str = ""
    plugin: Sequence[Path] | None = None
    text_bytes: int = 64
    alias: Sequence[str] | None = None
    precision: str = "f32"
    cascade: str = "speed"

    def goal(self) -> Goal:
        """Return what to compile for; UsageError where target, CPU and device do not go together."""
        from ..backends import find_goal
        from ..driver import load_plugins
        from ..targets import get_device

        load_plugins(self.plugin or ())
        if not self.device:
            return find_goal(self.target, self.cpu or None)
        if self.cpu:
            raise UsageError("a device has its own CPU", hint="leave out --cpu or --device")
        return find_goal(get_device(self.device).target)

    def binding(self) -> dict[str, Any]:
        """Return what fixes open shapes, as the driver takes it."""
        return {"shapes": read_shapes(self.shape), "dims": read_dims(self.dim), "text_bytes": self.text_bytes}

    def lowering(self) -> dict[str, Any]:
        """Return all that the driver takes about target and passes."""
        return {
            "target": self.goal(), "passes": self.passes or None, "plugins": tuple(self.plugin or ()),
            "aliases": read_aliases(self.alias), "precision": self.precision, "cascade": self.cascade,
        }  # fmt: skip

    def given(self) -> list[str]:
        """Return the options that say something about a model; plugins may be an artifact's too."""
        said = [one.name for one in fields(self) if (getattr(self, one.name) or one.default) != one.default]
        return [f"--{name.replace('_', '-')}" for name in said if name != "plugin"]


def check_compiled(given: Sequence[str]) -> None:
    """UsageError if options were given that an artifact cannot follow any more."""
    if given:
        goes = "goes" if len(given) == 1 else "go"
        raise UsageError("an artifact is compiled already", hint=f"{', '.join(given)} {goes} with a model")


def read_shapes(texts: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """Read `NAME=1,3,224,224`; a scalar is `NAME=`."""
    pairs = [_pair(text, "--shape", "NAME=1,3,224,224") for text in texts or ()]
    return {name: tuple(_number(part, "--shape") for part in value.split(",") if value) for name, value in pairs}


def read_dims(texts: Sequence[str] | None) -> dict[str, int | tuple[int, int] | str]:
    """Read `NAME=1`, `NAME=1..8` and `NAME=OTHER+1`."""
    pairs = [_pair(text, "--dim", "batch=1..8") for text in texts or ()]
    return {name: _dim(value) for name, value in pairs}


def _dim(text: str) -> int | tuple[int, int] | str:
    """A number, bounds that are both inclusive, or what is made of other dimensions."""
    low, dots, high = text.partition("..")
    if dots:
        return _number(low, "--dim"), _number(high, "--dim")
    return text.strip() if re.search("[A-Za-z_]", text) else _number(text, "--dim")


def read_options(texts: Sequence[str] | None) -> dict[str, str]:
    """Read `NAME=VALUE`."""
    pairs = [text.partition("=") for text in texts or ()]
    for text, (name, equals, _) in zip(texts or (), pairs, strict=True):
        if not equals or not name:
            raise UsageError(f"--option '{escape(text)}' has no name", hint="write it like --option NAME=VALUE")
    return {name: value for name, _, value in pairs}


def read_sample(path: Path | None) -> dict[str, Any] | None:
    """Read the arrays of inputs; None where there is no file named."""
    from .arrays import inputs_in, read_arrays

    if path is None:
        return None
    arrays = read_arrays(path)
    return inputs_in(arrays) or arrays


def read_seconds(seconds: float | None) -> float:
    """The time of a search, 0 where none was asked for; UsageError where it is no time."""
    from ..tuning import check_seconds

    if seconds is None:
        return 0.0
    check_seconds(seconds)
    return seconds


def read_aliases(texts: Sequence[str] | None) -> dict[str, str]:
    """Read `past=present`."""
    pairs = [_pair(text, "--alias", "past=present") for text in texts or ()]
    twice = next((name for name, _ in pairs if [one for one, _ in pairs].count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"--alias names input '{escape(twice)}' twice", hint="an input has one buffer")
    return dict(pairs)


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not equals or not name:
        raise UsageError(f"{option} '{escape(text)}' has no name", hint=f"write it like {option} {example}")
    return name, value


def _number(text: str, option: str) -> int:
    if not text.strip().isdecimal() or len(text) > 18:
        raise UsageError(f"{option}: '{escape(text)}' is not a size", hint="sizes are whole numbers")
    return int(text)
