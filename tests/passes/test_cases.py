"""Text cases `<folder>/<case>.ir`: a header `# pass: ...`, a graph, `---`, the graph after the pass, `# trace:` lines.

`pytest --bless` rewrites everything below the line. Each case is checked by numbers too: on the same random inputs the
graphs before and after compute the same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from edgec.errors import EdgecError
from edgec.ir import Graph, verify
from edgec.passes import parse_passes
from edgec.passes.numeric import random_inputs, worst_difference
from edgec.passes.rules import (
    activations,
    algebra,
    branches,
    clips,
    contractions,
    integer_contractions,
    integer_floats,
    integer_groups,
    integer_lookups,
    integer_reductions,
    integer_tails,
    integer_views,
    joins,
    norms,
    nothing,
    pads,
    ranks,
    scales,
    sinking,
    stored_weights,
    symmetric,
    views,
)
from edgec.passes.tally import take_claims

FOLDER = Path(__file__).parent
CASES = sorted(FOLDER.glob("*/*.ir"))
LINE = "---\n"


@dataclass(frozen=True)
class Ran:
    """A case after its passes ran: the text below its line, what fired, and whether the graph changed."""

    text: str
    fired: Counter[str]
    changed: bool


@cache
def ran(path: Path) -> Ran:
    """Run the passes of a case and compare numbers."""
    source = path.read_text(encoding="utf-8").partition(LINE)[0]
    header = source.splitlines()[0]
    assert header.startswith("# pass: "), f"{path.name} must begin with '# pass: '"
    graph = Graph.parse(source)
    before = str(graph)
    verify(graph)
    inputs = random_inputs(graph)
    expected = graph.evaluate(inputs)
    fired: Counter[str] = Counter()
    for each in parse_passes(header.removeprefix("# pass: ")):
        try:
            graph = each.run(graph)
        except EdgecError as error:
            return Ran("".join(f"# {line}\n" for line in str(error).splitlines()), fired, False)
        fired += take_claims(graph) or Counter()
    verify(graph)
    assert worst_difference(expected, graph.evaluate(inputs)) is None
    after = str(graph)
    return Ran(after + "".join(f"# trace: {note}\n" for note in graph.journal), fired, after != before)


@pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_case(path: Path, bless: bool) -> None:
    source, _, expected = path.read_text(encoding="utf-8").partition(LINE)
    got = ran(path).text
    if bless:
        path.write_text(source + LINE + got, encoding="utf-8")
    assert got == expected or bless


MODULES = (
    activations, algebra, branches, clips, contractions, integer_contractions, integer_floats, integer_groups,
    integer_lookups, integer_reductions, integer_tails, integer_views, joins, norms, nothing, pads, ranks, scales,
    sinking, stored_weights, symmetric, views,
)  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_every_rule_has_a_case_that_fires(module: object) -> None:
    fired = Counter[str]()
    for path in CASES:
        fired += ran(path).fired
    rules = {rule.__name__ for rule in module.RULES}
    assert not rules - set(fired)


PASSES = (
    "fold-constants", "dead-code", "common-subexpressions", "simplify", "recognise", "fold-scales", "decompose",
    "integerize", "store-weights", "lower-pads", "pack-operands", "assign-layout", "fuse", "order",
    "symmetric-scales", "winograd", "fuse-attention", "half-products",
)  # fmt: skip


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_has_a_case_that_fires_and_one_that_refuses(name: str) -> None:
    changed = {ran(path).changed for path in (FOLDER / name).glob("*.ir")}
    assert changed == {True, False}
