"""What the fixed text of model.c says of open sizes: nothing where a model has none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...artifact.support.open_sizes import UNFIT, field
from ...artifact.support.shared import buffers_of
from ...ir import Graph
from ...ir.dims import is_open
from . import text
from .sizes import spelled

_NONE = {
    "SIZES": "", "TAKEN": "", "GIVEN": "", "CHECKED": "", "COUNTED": "", "RUNS": "step->tasks",
    "SHARES": "step->shares", "LAST_BASE": "", "ONE_MORE": "", "STATUS": "0",
}  # fmt: skip
_SOME = {
    "TAKEN": ", const model_sizes *sizes",
    "GIVEN": ", sizes",
    "CHECKED": "    if (!model_sizes_fit(sizes))\n        return MODEL_BAD_SIZES;\n",
    "COUNTED": "    const size_t number = (size_t)(step - model_schedule);\n"
    "    const size_t tasks = step->tasks == OPEN_TASKS ? model_tasks(number, sizes) : step->tasks;\n",
    "RUNS": "tasks",
    "SHARES": "tasks < step->shares ? tasks : step->shares",
    "LAST_BASE": "    bases[2 + MODEL_INPUTS + MODEL_OUTPUTS] = (char *)(uintptr_t)sizes;\n",
    "ONE_MORE": " + 1",
    "STATUS": "0",
}
_FOUND = {
    **_SOME,
    "TAKEN": ", model_sizes *sizes",
    "CHECKED": _SOME["CHECKED"] + f"    sizes->{UNFIT} = 0;\n",
    "STATUS": f"sizes->{UNFIT} != 0 ? MODEL_BAD_SIZES : 0",
}


def takes_sizes(graph: Graph) -> bool:
    """Whether a run is given sizes, or finds some."""
    return bool(graph.symbols) or graph.checks_run


def with_sizes(source: str, graph: Graph, tasks: Sequence[int]) -> str:
    """The text of model.c for a graph whose steps have so many tasks, with the marks for open sizes replaced."""
    some = _FOUND if graph.checks_run else _SOME
    parts = _NONE if not takes_sizes(graph) else {**some, "SIZES": _check(graph, tasks)}
    for key, part in parts.items():
        source = source.replace(f"@{key}@", part)
    return source


def _check(graph: Graph, tasks: Sequence[int]) -> str:
    names = [field(name) for name in graph.chosen_sizes]
    bounds = "".join(
        f"\n           && sizes->{n} - MODEL_LOW_{s} <= MODEL_HIGH_{s} - MODEL_LOW_{s}"
        for n, s in zip(names, graph.chosen_sizes, strict=True)
    )
    given, made = buffers_of(graph)
    return (
        text.CHECK.replace("@CHECKS@", bounds)
        .replace("@TASKS@", _cases((i, count) for i, count in enumerate(tasks) if is_open(count)))
        .replace("@INPUT_BYTES@", _cases(enumerate(kind.bytes for kind in given)))
        .replace("@OUTPUT_BYTES@", _cases(enumerate(kind.bytes for kind in made)))
    )


def _cases(numbers: Iterable[tuple[int, int]]) -> str:
    """Cases of a switch, those with the same number together."""
    cases: dict[str, list[int]] = {}
    for i, count in numbers:
        cases.setdefault(spelled(count, "sizes->"), []).append(i)
    return "\n".join(
        "\n".join([*(f"    case {i}:" for i in steps), f"        return {count};"]) for count, steps in cases.items()
    )
