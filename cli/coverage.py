"""`coverage`: how much of ONNX's own backend suite compiles, runs and agrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..escaping import escape
from .options import CompilerOption, JsonOption, TargetOption
from .output import print_json, print_table, write_whole
from .progress import progress_bar

if TYPE_CHECKING:
    from ..coverage import Coverage

KindOption = Annotated[
    list[str] | None,
    typer.Option("--kind", help="node, simple, pytorch-operator or pytorch-converted. Repeatable; default: node."),
]
OnlyOption = Annotated[
    str, typer.Option("--only", metavar="PATTERN", help="Cases whose name holds this regular expression.")
]
EvaluateOption = Annotated[bool, typer.Option("--evaluate", help="Compute with numpy; compile nothing.")]
PageOption = Annotated[
    Path | None,
    typer.Option("--page", metavar="FILE.md", help="Write a page of all operators: docs/coverage.md."),
]
ProcessesOption = Annotated[int, typer.Option("--processes", min=1, max=64, help="How many run side by side.")]


def command(
    kind: KindOption = None,
    only: OnlyOption = "",
    target: TargetOption = "host",
    compiler: CompilerOption = "",
    evaluate: EvaluateOption = False,
    processes: ProcessesOption = 2,
    page: PageOption = None,
    json: JsonOption = False,
) -> None:
    """Run the backend tests of the installed onnx package: each compiled to C, built, run and compared."""
    from ..coverage import measure

    with progress_bar(json) as progress:
        found = measure(kind or ("node",), only, target, evaluate, compiler, processes, progress)
    if page is not None:
        write_whole(page, _page(found, target, kind or ("node",)).encode())
    if json:
        print_json(found.facts())
    else:
        _print(found)


def _page(found: Coverage, target: str, kinds: Sequence[str]) -> str:
    from ..coverage.page import page
    from ..ir.onnx_suite import suite_version

    words = [f"--kind {kind}" for kind in kinds] + ([] if target == "host" else [f"--target {escape(target)}"])
    command = f"python -m edgec coverage {' '.join(words)} --page docs/coverage.md"
    return page(found.verdicts, suite_version(), escape(target), command)


def _print(found: Coverage) -> None:
    missed = [one for one in found.verdicts if one.status != "passed"]
    if missed:
        print_table(("case", "status", "reason"), [(one.name, one.status, one.reason) for one in missed])
    counts = Counter(one.status for one in missed)
    others = "".join(f", {count} {status}" for status, count in sorted(counts.items()))
    print(f"{found.passed} of {found.total} passed{others}, {found.seconds:.0f} s")
