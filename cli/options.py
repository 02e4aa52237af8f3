"""The options that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..escaping import escape

if TYPE_CHECKING:
    from ..backends import Goal

ModelArgument = Annotated[Path, typer.Argument(help="An .onnx or .ir file.", show_default=False)]
TargetOption = Annotated[str, typer.Option("--target", "-t", help="What to compile for; see `targets`.")]
CpuOption = Annotated[str, typer.Option("--cpu", help="Refine the target for a CPU, as cortex-a72.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Take target, CPU and caches of a known device.")]
ShapeOption = Annotated[
    list[str] | None, typer.Option("--shape", metavar="NAME=1,3,224,224", help="Fix the shape of an input. Repeatable.")
]
DimOption = Annotated[
    list[str] | None, typer.Option("--dim", metavar="batch=1..8", help="Fix or bound a named dimension. Repeatable.")
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
PrecisionOption = Annotated[str, typer.Option("--precision", metavar="f32|bf16", help="How products are rounded.")]
VerifyOption = Annotated[bool, typer.Option("--verify", help="Check the graph after every pass.")]
DumpOption = Annotated[Path | None, typer.Option("--dump", metavar="DIR", help="Write the graph after every pass.")]
CompilerOption = Annotated[str, typer.Option("--compiler", help="gcc, clang, zig or a command; also EDGEC_CC.")]
TuneOption = Annotated[float, typer.Option("--tune", metavar="SECONDS", min=0.0, help="Search schedules (tvm).")]
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
        return {"shapes": read_shapes(self.shape), "dims": read_dims(self.dim)}

    def lowering(self) -> dict[str, Any]:
        """Return all that the driver takes about target and passes."""
        return {"target": self.goal(), "passes": self.passes or None, "plugins": tuple(self.plugin or ())}


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


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not equals or not name:
        raise UsageError(f"{option} '{escape(text)}' has no name", hint=f"write it like {option} {example}")
    return name, value


def _number(text: str, option: str) -> int:
    if not text.strip().isdecimal() or len(text) > 18:
        raise UsageError(f"{option}: '{escape(text)}' is not a size", hint="sizes are whole numbers")
    return int(text)
