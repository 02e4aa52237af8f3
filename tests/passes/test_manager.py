"""The pass manager: records, checks, dumps, the debug ladder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from edgec.errors import EdgecError, Mismatch, ModelError, UsageError
from edgec.ir import Graph, TensorType, f32
from edgec.ir.ops import Add, Exp, Mul, Neg, Relu, constant
from edgec.passes import PassManager, parse_passes
from edgec.passes.tally import claim


def sample() -> Graph:
    graph = Graph("main")
    x = graph.input(TensorType(f32, (2, 3)), "x")
    graph.set_outputs([graph.add(Relu(Add(Neg(Neg(x).result).result, constant(0, f32)).result))], ["y"])
    return graph


@dataclass(frozen=True)
class Nothing:
    name: ClassVar[str] = "nothing"

    def run(self, graph: Graph) -> Graph:
        return graph


@dataclass(frozen=True)
class Count:
    """Tells what it is run on."""

    name: ClassVar[str] = "count"
    seen: list[str]

    def run(self, graph: Graph) -> Graph:
        self.seen.append(graph.name)
        graph.note(self.name, f"saw {graph.name}", None)
        return graph


@dataclass(frozen=True)
class CountNetworks(Count):
    throughout: ClassVar[bool] = False


NESTED = """
graph "main"(%x: f32[2], %c: bool[]) {
  %y = loop([%x], [], [%c], body=graph "body"(%i: i64[], %v: f32[2], %c: bool[]) {
    %w = if(%c, [%v], then=graph "then"(%a: f32[2]) {
      %n = neg(%a) : f32[2]
      %m = neg(%n) : f32[2]
      return %m
    }, otherwise=graph "otherwise"(%a: f32[2]) {
      %b = exp(%a) : f32[2]
      return %b
    }) : f32[2]
    return %w
  }, trips=3) : f32[2]
  return %y
}
"""


def test_passes_run_on_bodies_first_and_on_networks_alone_where_they_say_so() -> None:
    graph, seen = Graph.parse(NESTED), list[str]()
    PassManager([Count(seen)], verify=True).run(graph)
    assert seen == ["then", "otherwise", "body", "main"]
    assert [note.reason for note in graph.journal] == [f"saw {name}" for name in seen]
    PassManager([CountNetworks(seen)], verify=True).run(graph)
    assert seen[4:] == ["main"]


def test_what_fires_in_a_body_is_told_of_the_network() -> None:
    graph = Graph.parse(NESTED)
    manager = PassManager(parse_passes("simplify", []), verify=True, numeric=True, check_modified=True)
    manager.run(graph)
    assert sum(manager.records[0].fired.values()) >= 1
    assert manager.records[0].changed
    assert [op.name for op in graph.every_op] == ["loop", "if", "exp"]


@dataclass(frozen=True)
class Boast:
    name: ClassVar[str] = "boast"

    def run(self, graph: Graph) -> Graph:
        claim(graph, Counter(wonders=1))
        return graph


@dataclass(frozen=True)
class Sneak:
    """Adds an op and claims that nothing happened."""

    name: ClassVar[str] = "sneak"

    def run(self, graph: Graph) -> Graph:
        graph.set_outputs([graph.add(Exp(graph.outputs[0]))], graph.output_names)
        claim(graph, Counter())
        return graph


@dataclass(frozen=True)
class Break:
    """Puts an op after its reader."""

    name: ClassVar[str] = "break"

    def run(self, graph: Graph) -> Graph:
        graph.reorder(graph.ops[::-1])
        return graph


@dataclass(frozen=True)
class Forget:
    name: ClassVar[str] = "forget"

    def run(self, graph: Graph) -> Graph:
        return None  # type: ignore[return-value]


def test_records_say_what_each_pass_did() -> None:
    manager = PassManager(
        [*parse_passes("simplify,simplify"), Nothing()], verify=True, numeric=True, check_modified=True
    )
    graph = manager.run(sample())
    first, second, third = manager.records
    assert [op.name for op in graph] == ["relu"]
    assert (first.name, first.ops_before, first.ops_after, first.changed) == ("simplify", 5, 1, True)
    assert first.fired == {"add_zero": 1, "double_negation": 1}
    assert (second.changed, second.fired, third.changed) == (False, {}, False)
    assert first.ms >= 0


def test_progress_is_told_before_each_pass() -> None:
    seen: list[tuple[str, int, int]] = []
    PassManager([Nothing(), Boast()], progress=lambda *told: seen.append(told)).run(sample())
    assert seen == [("nothing", 0, 2), ("boast", 1, 2)]


def test_a_claim_without_a_change_is_an_error() -> None:
    with pytest.raises(EdgecError, match="pass 'boast' claims to have fired wonders, but the graph did not change"):
        PassManager([Boast()], check_modified=True).run(sample())


def test_a_change_without_a_claim_is_an_error() -> None:
    with pytest.raises(EdgecError, match="pass 'sneak' claims to have changed nothing, but the graph changed"):
        PassManager([Sneak()], check_modified=True).run(sample())


def test_verify_names_the_pass() -> None:
    with pytest.raises(ModelError, match=r"after pass 'break': .* reads a value before it is computed"):
        PassManager([Break()], verify=True).run(sample())


def test_numeric_names_the_pass_and_the_output() -> None:
    with pytest.raises(Mismatch, match="pass 'sneak' changes what the model computes: output 'y' is off by"):
        PassManager([Sneak()], numeric=True).run(sample())


def test_a_pass_must_return_a_graph() -> None:
    with pytest.raises(EdgecError, match="pass 'forget' returned NoneType, not a graph"):
        PassManager([Forget()]).run(sample())


def test_dump_writes_the_graph_around_each_pass(tmp_path: Path) -> None:
    PassManager(parse_passes("simplify,dead-code"), dump=tmp_path / "dump").run(sample())
    files = sorted(p.name for p in (tmp_path / "dump").iterdir())
    assert files == ["00-import.ir", "01-simplify.ir", "02-dead-code.ir"]
    assert "neg" in (tmp_path / "dump" / files[0]).read_text()
    assert "neg" not in (tmp_path / "dump" / files[1]).read_text()


@pytest.mark.parametrize(
    ("level", "wanted", "absent"),
    [(0, [], ["simplify"]), (1, ["simplify", "5 -> 1 ops"], ["graph"]), (2, ['graph "main"'], ["fired"]),
     (3, ["fired add_zero x1"], ["skipped"]), (4, ["fired add_zero x1"], [])],
)  # fmt: skip
def test_debug_ladder(
    level: int,
    wanted: list[str],
    absent: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EDGEC_DEBUG", str(level))
    PassManager(parse_passes("simplify")).run(sample())
    said = capsys.readouterr().err
    assert all(text in said for text in wanted)
    assert not any(text in said for text in absent)


def test_debug_ladder_prints_refusals(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("EDGEC_DEBUG", "4")
    graph = Graph("main")
    x = graph.input(TensorType(f32, (3,)), "x")
    graph.set_outputs([graph.add(Mul(x, constant(0, f32)))], ["y"])
    PassManager(parse_passes("simplify")).run(graph)
    assert "skipped mul_zero: 0 * x is not 0" in capsys.readouterr().err


def test_debug_level_must_be_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEC_DEBUG", "loud")
    with pytest.raises(UsageError, match="EDGEC_DEBUG must be a number, is 'loud'"):
        PassManager([]).run(sample())
