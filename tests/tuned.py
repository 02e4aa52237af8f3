"""What tests of tuning share: a small network, the schedules that its layers may have."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edgec import driver
from edgec.backends.c.emit import emit
from edgec.errors import ToolchainError
from edgec.ir import Graph
from edgec.ir.text import parse_graph
from edgec.kernels.schedules import MODEL, Question, Schedule, Space
from edgec.targets import get_target
from edgec.toolchain import find_compiler

TARGET = "x86-64-v3"
NETWORK = """
graph "small"(%image: f32[1,8,14,14] "image") {
  %w = constant(value=fill(0.125)) : f32[24,8,3,3]
  %conv = conv(%image, %w, pads=[1, 1, 1, 1]) : f32[1,24,14,14]
  %relu = relu(%conv) : f32[1,24,14,14]
  %v = constant(value=fill(0.0625)) : f32[40,24,1,1]
  %point = conv(%relu, %v) : f32[1,40,14,14]
  %d = constant(value=fill(0.25)) : f32[40,1,3,3]
  %depth = conv(%point, %d, groups=40) : f32[1,40,12,12]
  %pool = reduce(%depth, kind="mean", axes=[2, 3], keepdims=false) : f32[1,40]
  %m = constant(value=fill(0.5)) : f32[40,10]
  %scores = matmul(%pool, %m) : f32[1,10]
  return %scores "scores"
}
"""
TILES = Question("winograd_f32", (1, 14, 14, 24, 8))


def network() -> Graph:
    return parse_graph(NETWORK)


def lowered(target: str = TARGET, winograd: str = "off") -> driver.Lowered:
    return driver.lower(network(), target, winograd=winograd, book=MODEL)


@dataclass
class Collected:
    """A book that keeps the spaces it is asked about."""

    spaces: list[Space]

    def choose(self, space: Space) -> Schedule:
        self.spaces.append(space)
        return space.default()

    def times(self, question: Question) -> dict[Schedule, float]:
        return {}


def spaces(target: str = TARGET) -> list[Space]:
    book = Collected([])
    emit(lowered(target).graph, get_target(target), book)
    return book.spaces


def find_host_compiler() -> None:
    try:
        find_compiler(get_target("host"))
    except ToolchainError as error:
        pytest.skip(error.what)
