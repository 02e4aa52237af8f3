"""The text form of graphs: printing and parsing, derived from the operators' declarations.

    graph main(%x: f32[1,3,8,8] "image") {
      %0 = constant(value=fill(0.5)) : f32[8]
      %1 = add(%x, %0) : f32[1,3,8,8] @ 4 "stem/add" Add
      return %1 "y"
    }

Operands come first, then the attributes that differ from their defaults. Small constants are printed in place, uniform
ones as `fill(v)`, large ones as `data("key")` whose bytes stand in base64 after the graph.
"""

from __future__ import annotations

from .text_parser import parse_graph
from .text_printer import print_graph

__all__ = ["parse_graph", "print_graph"]
