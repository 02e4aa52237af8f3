"""The tolerance of self-tests: wider only where networks round sums of floats on their way."""

from __future__ import annotations

from edgec.artifact import golden_sample
from edgec.artifact.support import GOLDEN_TOLERANCE
from edgec.backends.golden import narrow_tolerance, rounds_inexact_numbers, tolerance_of
from edgec.driver import lower
from edgec.ir import Graph
from edgec.ir.text import parse_graph

EXACT = """
graph "main"(%0: u8[1,64] "x") {
  %1 = constant(value=fill(3)) : i8[64,8]
  %2 = matmul-integer(%0, %1) : f32[1,8]
  %3 = constant(value=fill(0.01)) : f32[]
  %4 = constant(value=fill(0)) : u8[]
  %5 = requantize(%2, %3, %4) : u8[1,8]
  return %5 "y"
}
"""

INEXACT = """
graph "main"(%0: f32[1,64] "x") {
  %1 = constant(value=fill(0.37)) : f32[64,8]
  %2 = matmul(%0, %1) : f32[1,8]
  %3 = constant(value=fill(0.0001)) : f32[]
  %4 = constant(value=fill(0)) : i8[]
  %5 = quantize(%2, %3, %4, to=i8) : i8[1,8]
  return %5 "y"
}
"""


def tolerance(graph: Graph) -> float:
    return tolerance_of(graph, *golden_sample(graph))


def test_integers_keep_the_usual_tolerance() -> None:
    graph = parse_graph(EXACT)
    assert not rounds_inexact_numbers(graph)
    assert tolerance(graph) == GOLDEN_TOLERANCE


def test_sums_of_floats_that_are_rounded_widen_it_by_what_a_nudge_does() -> None:
    graph = parse_graph(INEXACT.replace("0.0001", "0.05"))
    assert rounds_inexact_numbers(graph)
    assert GOLDEN_TOLERANCE <= tolerance(graph) < 0.1


def test_floats_alone_keep_it() -> None:
    graph = parse_graph(INEXACT)
    rounding = graph.outputs[0].producer
    assert rounding is not None
    graph.set_outputs([rounding.operands[0]], ["y"])
    assert tolerance(graph) == GOLDEN_TOLERANCE


HALVES = """
graph "main"(%q: f16[1,2,9,8] "q", %t: f16[1,2,8,9] "t", %v: f16[1,2,9,8] "v") {
  %s = matmul(%q, %t) : f16[1,2,9,9]
  %p = softmax(%s, axis=3) : f16[1,2,9,9]
  %y = matmul(%p, %v) : f16[1,2,9,8]
  return %y "y"
}
"""


def test_narrow_floats_may_be_off_by_what_passes_round_elsewhere_but_few_steps() -> None:
    lowered = lower(parse_graph(HALVES), "x86-64-v3")
    sample = golden_sample(lowered.reference)
    assert 0 < narrow_tolerance(lowered, *sample) < 2 * 2**-10
    lowered.graph = parse_graph(HALVES.replace("softmax(%s, axis=3)", "relu(%s)"))
    assert narrow_tolerance(lowered, *sample) == 8 * 2**-10
    single = lower(parse_graph(HALVES.replace("f16", "f32")), "x86-64-v3")
    assert narrow_tolerance(single, *golden_sample(single.reference)) == 0
