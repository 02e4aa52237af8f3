"""Building the graph node by node, with a stack of frames where functions and branches nest."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx

from ..errors import EdgecError, ModelError, Unsupported, UnsupportedNode
from ..escaping import escape
from .dims import Undecided
from .graph import Graph
from .onnx_attributes import Contract, by_name, check_counts, contract, read_attributes, resolved
from .onnx_fold import Folder, drop_dead, insert_constants
from .onnx_found import found
from .onnx_functions import (
    call_attributes,
    default_protos,
    functions_of,
    inferred_types,
    key_of,
    opsets_of,
    shipped_body,
    standard,
)
from .onnx_generic import generic_rule
from .onnx_read import MAX_NODES
from .onnx_rules import RULES, Node, NotCovered
from .onnx_structure import Placed, arrange
from .onnx_tensors import Tensors, check_dims
from .op import Origin
from .ops import array_of, constant
from .types import TensorType
from .value import Value

MAX_CALLS = 200


class Blocked:
    """Stands for a value that cannot be computed because something before it is not supported."""


BLOCKED = Blocked()
Known = Value | Blocked | None


class Scope:
    """Values by name; initializers are decoded when they are first read. A branch sees the names around it."""

    def __init__(self, tensors: Tensors, outer: Scope | None = None) -> None:
        self.tensors, self.outer = tensors, outer
        self.values: dict[str, Known] = {}
        self.pending: dict[str, onnx.TensorProto | onnx.SparseTensorProto] = {}

    def declare(self, graph: onnx.GraphProto) -> None:
        """Take in the initializers of a graph, each checked."""
        for tensor in graph.initializer:
            self.tensors.check(tensor)
            self._declare_one(tensor.name, tensor)
        for sparse in graph.sparse_initializer:
            self.tensors.check(sparse.values)
            self._declare_one(sparse.values.name, sparse)

    def _declare_one(self, name: str, tensor: onnx.TensorProto | onnx.SparseTensorProto) -> None:
        if not name:
            raise ModelError("an initializer has no name")
        if name in self.pending:
            raise ModelError(f"initializer '{escape(name)}' is defined twice")
        self.pending[name] = tensor

    def find(self, name: str) -> Known:
        """The value of a name; `ModelError` where there is none."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            if name in scope.pending:
                return scope._decode(name)
            scope = scope.outer
        raise ModelError(f"value '{escape(name)}' is read but nothing produces it")

    def _decode(self, name: str) -> Value:
        tensor = self.pending[name]
        array = self.tensors.array(tensor) if isinstance(tensor, onnx.TensorProto) else self.tensors.sparse(tensor)
        value = constant(array)
        value.name = name
        self.values[name] = value
        return value

    @property
    def names(self) -> set[str]:
        return {*self.values, *self.pending}


@dataclass
class Frame:
    """A graph or function body being translated: where it stands and where its results go."""

    nodes: Iterator[Placed]
    scope: Scope
    opsets: dict[str, int]
    outputs: Sequence[str]
    attributes: Mapping[str, onnx.AttributeProto] = field(default_factory=dict)
    origin: Origin | None = None
    caller: Frame | None = None
    targets: Sequence[str] = ()


class Builder:
    """Translates one model."""

    def __init__(
        self, model: onnx.ModelProto, tensors: Tensors, opsets: dict[str, int], inputs: dict[str, TensorType]
    ) -> None:
        self.model, self.tensors, self.opsets = model, tensors, opsets
        self.functions = functions_of(model)
        self.graph = Graph(model.graph.name or "graph")
        self.folder = Folder(self.graph)
        self.unsupported: dict[UnsupportedNode, None] = {}
        self.nodes_left = MAX_NODES
        self.declared = _declared_shapes(model.graph)
        self.root = Scope(tensors)
        for name, kind in inputs.items():
            if not name:
                raise ModelError("an input of the model has no name")
            self.root.values[name] = self.graph.input(kind, name)

    def build(self) -> Graph:
        """The finished graph; raises `Unsupported` with all nodes that have no translation."""
        source = self.model.graph
        names = [value.name for value in source.output]
        _check_boundary([value.name for value in source.input], names)
        self.root.declare(source)
        self._run(Frame(self._arranged(source.node, self.root, names), self.root, self.opsets, names))
        if self.unsupported:
            raise Unsupported(list(self.unsupported))
        values = [v for v in (self.root.find(name) for name in names) if isinstance(v, Value)]
        if not values:
            raise ModelError("the model has no outputs")
        insert_constants(values, self.graph)
        self.graph.set_outputs(values, names)
        drop_dead(self.graph)
        return self.graph

    def _arranged(self, nodes: Any, scope: Scope, outputs: Sequence[str]) -> Iterator[Placed]:
        placed = arrange(nodes, scope.names, outputs)
        self.nodes_left -= len(placed)
        if self.nodes_left < 0:
            raise ModelError(f"with its functions written out the model has more than {MAX_NODES} nodes")
        return iter(placed)

    def _run(self, frame: Frame) -> None:
        stack = [frame]
        while stack:
            placed = next(stack[-1].nodes, None)
            if placed is None:
                _finish(stack.pop())
            elif (inner := self._step(stack[-1], placed)) is not None:
                stack.append(inner)
            if len(stack) > MAX_CALLS:
                raise ModelError(f"functions call one another more than {MAX_CALLS} deep")

    def _step(self, frame: Frame, placed: Placed) -> Frame | None:
        """Translate a node; returns the frame to go through first where it stands for others."""
        origin = _origin(frame, placed)
        try:
            return self._translate(frame, placed.proto, origin)
        except EdgecError as error:
            what = f"{escape(placed.proto.op_type)} '{escape(placed.proto.name)}': {error.what}"
            raise ModelError(what, where=str(origin), hint=error.hint) from None
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            what = f"{escape(placed.proto.op_type)} '{escape(placed.proto.name)}' is malformed"
            raise ModelError(what, where=str(origin), hint=escape(str(error))) from error

    def _translate(self, frame: Frame, proto: onnx.NodeProto, origin: Origin) -> Frame | None:
        inputs: list[Value | None] = []
        try:
            found = [frame.scope.find(name) if name else None for name in proto.input]
            if any(isinstance(v, Blocked) for v in found):
                self._check_known(frame, proto)
                _block(frame, proto.output)
                return None
            inputs = [v for v in found if not isinstance(v, Blocked)]
            return self._apply(frame, proto, inputs, origin)
        except NotCovered as reason:
            self._refuse(frame, proto, inputs, origin, reason)
            return None
        except Undecided as error:
            self._refuse(frame, proto, inputs, origin, NotCovered(error.what, error.hint))
            return None

    def _check_known(self, frame: Frame, proto: onnx.NodeProto) -> None:
        """Refuse a node behind an unsupported one when its own operator has no translation either."""
        domain = standard(proto.domain)
        ruled = (domain, proto.op_type) in RULES or generic_rule(domain, proto.op_type) is not None
        if ruled or proto.op_type == "If" or self.functions.get(key_of(proto)) is not None:
            return
        known = contract(domain, proto.op_type, frame.opsets.get(domain, 1 if domain else self.opsets.get("", 1)))
        if known is None or not (known.schema.has_function or known.schema.has_context_dependent_function):
            raise _no_rule(proto.op_type, known)

    def _apply(self, frame: Frame, proto: onnx.NodeProto, inputs: list[Value | None], origin: Origin) -> Frame | None:
        proto = resolved(proto, frame.attributes)
        protos = by_name(proto)
        function = self.functions.get(key_of(proto))
        if function is not None:
            return self._call(frame, proto, function, inputs, call_attributes(function, protos), origin)
        domain = standard(proto.domain)
        version = frame.opsets.get(domain, 1 if domain else self.opsets.get("", 1))
        known = contract(domain, proto.op_type, version)
        check_counts(proto, known)
        if (domain, proto.op_type) == ("", "If"):
            return self._branch(frame, proto, inputs, protos)
        rule = RULES.get((domain, proto.op_type)) or generic_rule(domain, proto.op_type)
        if rule is not None:
            attributes = read_attributes(protos, self.tensors, known)
            declared = tuple(self.declared.get(name) for name in proto.output) if frame.caller is None else ()
            node = Node(proto.op_type, inputs, attributes, tuple(proto.output), version, domain, proto.name, declared)
            results = found(node, rule)
            results = rule(node) if results is None else results
            examples = self.graph.metadata.setdefault("examples", {})
            examples.update({v.name: array for v, array in node.examples.items() if v.producer is None})
            for effect in node.effects:
                self.folder.settle(effect, origin)
            self._bind(frame, proto.output, results if isinstance(results, tuple) else (results,), origin)
            return None
        body = shipped_body(proto, known, version, [v.type if v else None for v in inputs])
        if body is None:
            raise _no_rule(proto.op_type, known)
        return self._call(frame, proto, body, inputs, {**default_protos(known), **protos}, origin)

    def _call(
        self, frame: Frame, proto: onnx.NodeProto, function: onnx.FunctionProto, inputs: Sequence[Value | None],
        attributes: Mapping[str, onnx.AttributeProto], origin: Origin,
    ) -> Frame:  # fmt: skip
        if len(inputs) > len(function.input) or len(proto.output) > len(function.output):
            what = f"function '{escape(function.name)}' has {len(function.input)} parameters"
            raise ModelError(f"{what}, {len(inputs)} are given")
        scope = Scope(self.tensors)
        padded = [*inputs, *[None] * (len(function.input) - len(inputs))]
        scope.values.update(zip(function.input, padded, strict=True))
        opsets = {**frame.opsets, **opsets_of(function.opset_import)}
        outputs = function.output[: len(proto.output)]
        nodes = self._arranged(function.node, scope, outputs)
        return Frame(nodes, scope, opsets, outputs, attributes, origin, frame, proto.output)

    def _branch(
        self, frame: Frame, proto: onnx.NodeProto, inputs: list[Value | None], protos: Mapping[str, onnx.AttributeProto]
    ) -> Frame:
        condition = array_of(inputs[0])
        if condition is None:
            raise NotCovered("its condition is not known at compile time", "a constant condition, or Where")
        if condition.size != 1:
            raise ModelError(f"its condition has {condition.size} elements")
        name = "then_branch" if condition.reshape(-1)[0] else "else_branch"
        if name not in protos:
            raise ModelError(f"attribute '{name}' is missing")
        body, scope = protos[name].g, Scope(self.tensors, frame.scope)
        scope.declare(body)
        outputs = [value.name for value in body.output]
        if len(outputs) < len(proto.output):
            raise ModelError(f"its {name} has {len(outputs)} outputs, {len(proto.output)} are read")
        nodes = self._arranged(body.node, scope, outputs)
        return Frame(nodes, scope, frame.opsets, outputs, frame.attributes, frame.origin, frame, proto.output)

    def _bind(self, frame: Frame, names: Sequence[str], values: Sequence[Value | None], origin: Origin) -> None:
        """Give a rule's results the names of the node's outputs."""
        for position, name in enumerate(names):
            value = values[position] if position < len(values) else None
            if name and value is None:
                raise NotCovered(f"its output {position} is read", "the first output alone")
            if name and value is not None:
                settled = self.folder.settle(value, origin)
                check_dims(settled.shape, f"result '{escape(name)}'")
                settled.name = settled.name or name
                frame.scope.values[name] = settled

    def _refuse(
        self, frame: Frame, proto: onnx.NodeProto, inputs: Sequence[Value | None], origin: Origin, why: NotCovered
    ) -> None:
        """Record a node that has no translation, and go on as far as the types of its outputs are known."""
        domain = standard(proto.domain)
        version = frame.opsets.get(domain)
        types = [v.type if v else None for v in inputs]
        shapes = tuple("-" if t is None else "x".join(map(str, t.shape)) or "scalar" for t in types)
        name = origin.name or ", ".join(proto.output)
        self.unsupported[UnsupportedNode(name, proto.op_type, why.reason, domain, version, shapes, why.nearest)] = None
        known = contract(domain, proto.op_type, version or 1)
        guessed = inferred_types(proto, known, inputs, frame.opsets) if len(inputs) == len(proto.input) else {}
        for output in proto.output:
            frame.scope.values[output] = Value(guessed[output], name=output) if output in guessed else BLOCKED


def _declared_shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """The shapes that the model declares for its outputs and for values on the way, where they are all numbers."""
    found: dict[str, tuple[int, ...]] = {}
    for value in (*graph.value_info, *graph.output):
        shape = value.type.tensor_type.shape
        numbers = all(d.HasField("dim_value") and d.dim_value >= 0 for d in shape.dim)
        if value.type.tensor_type.HasField("shape") and numbers:
            found[value.name] = tuple(d.dim_value for d in shape.dim)
    return found


def _check_boundary(inputs: Sequence[str], outputs: Sequence[str]) -> None:
    for what, names in (("input", inputs), ("output", outputs)):
        if not all(names):
            raise ModelError(f"an {what} of the model has no name")
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise ModelError(f"{what} '{escape(twice[0])}' is listed twice")


def _origin(frame: Frame, placed: Placed) -> Origin:
    proto = placed.proto
    if frame.origin is None:
        return Origin(placed.index, proto.name, proto.op_type)
    inner = "/".join(part for part in (frame.origin.name, proto.name) if part)
    return Origin(frame.origin.index, inner, proto.op_type)


def _finish(frame: Frame) -> None:
    """Hand the results of a function or branch to the one that called it."""
    if frame.caller is None:
        return
    for inner, outer in zip(frame.outputs, frame.targets, strict=False):
        if outer:
            found = frame.scope.find(inner)
            if isinstance(found, Value):
                found.name = found.name or outer
            frame.caller.scope.values[outer] = found


def _block(frame: Frame, names: Sequence[str]) -> None:
    frame.scope.values.update({name: BLOCKED for name in names if name})


def _no_rule(op_type: str, known: Contract | None) -> NotCovered:
    near = difflib.get_close_matches(op_type, sorted({name for _, name in RULES}), 1, 0.75)
    nearest = near[0] if near and near[0] != op_type else ""
    return NotCovered("this operator is not supported" if known else "this operator is not known", nearest)
