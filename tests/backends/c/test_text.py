"""The generated C of small networks, word by word: `<case>/network.ir` to `<case>/model.c`; `--bless` rewrites it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgec.backends.c import emit
from edgec.driver import lower
from edgec.ir import Graph, Tolerance

from ...samples import reference
from .harness import compiled, outputs

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/network.ir"))
by_case = pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)


def network(case: Path) -> tuple[Graph, str, str | None]:
    """The graph of a case, and the target and the CPU that its first line names."""
    text = (case / "network.ir").read_text(encoding="utf-8")
    target, _, cpu = text.splitlines()[0].removeprefix("# target: ").partition(" ")
    return Graph.parse(text), target, cpu or None


def source(case: Path) -> str:
    graph, target, cpu = network(case)
    lowered = lower(graph, target, cpu=cpu, verify=True)
    return emit(lowered.graph, lowered.target).files["model.c"].decode("ascii")


@by_case
def test_generated_code(case: Path, bless: bool) -> None:
    got, path = source(case), case / "model.c"
    if bless:
        path.write_text(got, encoding="ascii")
    assert got == path.read_text(encoding="ascii")


@by_case
def test_generated_code_is_tidy(case: Path) -> None:
    lines = source(case).splitlines()
    assert all(line == line.rstrip() and "\t" not in line for line in lines)
    assert not re.search(r"\n\n\n", "\n".join(lines)), "two empty lines"


@by_case
def test_it_computes_what_the_network_means(case: Path) -> None:
    graph, target, cpu = network(case)
    wanted = reference(graph, tolerance=Tolerance(1e-5, 1e-6))
    with compiled(graph, target, cpu=cpu) as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []


@pytest.mark.parametrize(
    ("name", "tiles"),
    [
        ("in_order", {"a53": ["7, 3", "7"], "a55": ["7, 3", "7"], "a72": ["8, 2", "4"], "a76": ["8, 2", "4"]}),
        ("bytes_in_order", {"a53": ["2, 4", "6"], "a55": ["5, 4", "7"], "a72": ["2, 4", "6"], "a76": ["2, 8", "6"]}),
    ],
)
def test_tiles_follow_the_cpu(name: str, tiles: dict[str, list[str]]) -> None:
    graph, target, _ = network(next(case for case in CASES if case.name == name))

    def calls(cpu: str) -> list[str]:
        lowered = lower(graph, target, cpu=f"cortex-{cpu}")
        text = emit(lowered.graph, lowered.target).files["model.c"].decode("ascii")
        return re.findall(r"ec_(?:conv|depthwise)_(?:f32|i8)\(.*&shape, (\d+(?:, \d+)?), \w+,", text)

    assert {cpu: calls(cpu) for cpu in tiles} == tiles


def test_names_of_the_model_stand_in_comments_alone() -> None:
    text = source(next(case for case in CASES if case.name == "elementwise"))
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    assert "name" not in code
    assert text.count("/*") == text.count("*/")
