"""TensorRT-RTX's parser: what it takes, asked without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...escaping import escape


@dataclass(frozen=True)
class Refusal:
    """A node that the parser does not take, by its name in the ONNX model."""

    node: str
    operator: str
    reason: str


def examine(model: bytes) -> tuple[Refusal, ...]:
    """What the parser refuses in a model; it stops at the first fault."""
    with _parser() as parser:
        if parser.supports_model_v2(model):
            return ()
        faults = [parser.get_error(i) for i in range(parser.num_errors)]
        return tuple(Refusal(fault.node_name(), fault.node_operator(), _reason(fault.desc())) for fault in faults)


def subgraphs(model: bytes) -> list[list[int]]:
    """The parts of a model that the parser takes, each as the places of its nodes."""
    with _parser() as parser:
        parser.supports_model_v2(model)
        return [list(parser.get_subgraph_nodes(i)) for i in range(parser.num_subgraphs)]


@contextmanager
def _parser() -> Iterator[Any]:
    """A parser with what it needs to stay alive."""
    import tensorrt_rtx as trt

    logger = _silent(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    yield trt.OnnxParser(network, logger)


def _reason(text: str) -> str:
    """The part of a message that a person can use."""
    return escape(" ".join(text.split()).removeprefix("Assertion failed: "), 300)


def _silent(trt: Any) -> Any:
    """A logger that keeps nothing: what matters the parser tells as errors."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            pass

    return Logger()
