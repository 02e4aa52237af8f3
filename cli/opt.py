"""`opt`: run passes over a graph and print it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ..errors import UsageError
from ..escaping import escape
from .options import (
    DimOption,
    DumpOption,
    ModelArgument,
    ModelOptions,
    PassesOption,
    PluginOption,
    ShapeOption,
    TargetOption,
    VerifyOption,
)
from .output import write_whole

if TYPE_CHECKING:
    from ..ir import Graph
    from ..passes import Pass

PrintAfterOption = Annotated[
    list[str] | None, typer.Option("--print-after", metavar="PASS", help="Print the graph after a pass. Repeatable.")
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT.ir|OUT.onnx", help="Write the graph there.")
]
FullOption = Annotated[bool, typer.Option("--full", help="Print the bytes of large constants too, so it parses back.")]


def command(
    file: ModelArgument,
    passes: PassesOption = "",
    print_after: PrintAfterOption = None,
    output: OutputOption = None,
    target: TargetOption = "host",
    shape: ShapeOption = None,
    dim: DimOption = None,
    plugin: PluginOption = None,
    verify: VerifyOption = False,
    dump: DumpOption = None,
    full: FullOption = False,
) -> None:
    """Run passes (the default pipeline if none are named) over a model and print the IR."""
    from ..choosing import choose_passes
    from ..driver import import_model, load_plugins
    from ..passes import PassManager

    load_plugins(plugin or ())
    options = ModelOptions(target, shape=shape, dim=dim)
    chosen = _shown(choose_passes(options.goal(), passes), print_after or [])
    graph = import_model(file, **options.binding())
    graph = PassManager(chosen, verify=verify, dump=dump, check_modified=verify).run(graph)
    if output is None:
        sys.stdout.write(_text(graph, elide=not full))
    else:
        write_whole(output, _content(graph, output))


@dataclass(frozen=True)
class _Shown:
    """A pass that prints the graph when it is done."""

    throughout: ClassVar[bool] = False
    inner: Pass

    @property
    def name(self) -> str:
        return self.inner.name

    def run(self, graph: Graph) -> Graph:
        from ..passes.manager import run_throughout

        result = run_throughout(self.inner, graph)
        print(f"# after {self.name}\n{_text(result, elide=True)}")
        return result


def _shown(chosen: list[Pass], names: list[str]) -> list[Pass]:
    known = list(dict.fromkeys(each.name for each in chosen))
    for name in names:
        if name not in known:
            raise UsageError(f"pass '{escape(name)}' does not run", hint=f"passes: {', '.join(known)}")
    return [_Shown(each) if each.name in names else each for each in chosen]  # type: ignore[misc]


def _content(graph: Graph, output: Path) -> bytes:
    if output.suffix != ".onnx":
        return _text(graph, elide=False).encode()
    from ..ir.onnx_export import export_bytes

    return export_bytes(graph)


def _text(graph: Graph, elide: bool) -> str:
    from ..ir.text import print_graph

    return print_graph(graph, elide=elide)
