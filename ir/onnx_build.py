"""Building the graph node by node, with a stack of frames where functions and branches nest."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import onnx

from ..errors import EdgecError, ModelError, Unsupported, UnsupportedNode
from ..escaping import escape
from .dims import Undecided
from .graph import Graph
from .onnx_attributes import Contract, by_name, check_counts, contract, read_attributes, resolved
from .onnx_containers import Inputs
from .onnx_control import too_many_runs, with_graphs
from .onnx_declared import declared_of
from .onnx_fold import Folder, drop_dead, insert_constants
from .onnx_found import found
from .onnx_frame import Frame
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
from .onnx_read import MAX_NESTING, MAX_NODES
from .onnx_rules import RULES, Node, NotCovered, Rule
from .onnx_rules_sequence import TAKES_SEQUENCES
from .onnx_scope import ABSENT, BLOCKED, Absent, Blocked, Known, Listed, Misfit, Scope
from .onnx_site import Site, described
from .onnx_structure import Placed, arrange
from .onnx_suppose import Supposed
from .onnx_tensors import Tensors
from .op import NoText, Origin
from .types import TensorType
from .value import Value
from .verify import verify

MAX_CALLS = 200


class Builder:
    """Translates one model."""

    def __init__(
        self, model: onnx.ModelProto, tensors: Tensors, opsets: dict[str, int], inputs: dict[str, TensorType],
        refused: Mapping[str, UnsupportedNode], given: Inputs,
        supposed: Supposed | None = None,
    ) -> None:  # fmt: skip
        self.model, self.tensors, self.opsets = model, tensors, opsets
        self.functions = functions_of(model)
        self.graph = Graph(model.graph.name or "graph")
        self.folder = Folder(self.graph)
        self.unsupported: dict[UnsupportedNode, None] = dict.fromkeys(refused.values())
        self.guessed: list[Value] = []
        self.nodes_left = MAX_NODES
        self.depth = 0
        self.unrolled = 0
        self.root = Scope(tensors)
        self.declared = declared_of(model.graph, tensors.strings)
        self.root.values.update(dict.fromkeys(refused, BLOCKED))
        for name, kind in inputs.items():
            if not name:
                raise ModelError("an input of the model has no name")
            self.root.values[name] = self.graph.input(kind, name)
        self.root.values.update(dict.fromkeys(given.absent, ABSENT))
        for name, members in given.sequences.items():
            values = (self.root.values.pop(member) for member in members)
            self.root.values[name] = Listed(tuple(v for v in values if isinstance(v, Value)))
        if supposed is not None:
            self._suppose(supposed)

    def _suppose(self, supposed: Supposed) -> None:
        value = self.root.values[supposed.name]
        assert isinstance(value, Value)
        self.graph.metadata.setdefault("examples", {})[supposed.name] = supposed.example(value.type)
        self.root.values[supposed.name], checks = supposed.put_in(value)
        for check in checks:
            self.folder.settle(check, Origin(0, supposed.name, "input"))

    def build(self) -> Graph:
        """The finished graph; raises `Unsupported` with all nodes that have no translation."""
        source = self.model.graph
        names = [value.name for value in source.output]
        _check_boundary([value.name for value in source.input], names)
        self.root.declare(source)
        nodes = self._arranged(source.node, self.root, names)
        try:
            self._run(Frame(nodes, self.root, self.opsets, names, self.folder))
        except Misfit as error:  # in no branch, so that it is an error like any other
            raise ModelError(error.what, error.where, error.hint) from None
        found = self._outputs(names)
        if self.unsupported:
            raise Unsupported(list(self.unsupported), rest=self._rest())
        values, names = list(found.values()), list(found)
        if not values:
            raise ModelError("the model has no outputs")
        insert_constants(values, self.graph)
        self.graph.set_outputs(values, names)
        drop_dead(self.graph)
        refused = too_many_runs(self.graph)
        if refused:
            raise Unsupported(refused)
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
                stack.pop().finish()
            elif (inner := self._step(stack[-1], placed)) is not None:
                stack.append(inner)
            if len(stack) > MAX_CALLS:
                raise ModelError(f"functions call one another more than {MAX_CALLS} deep")

    def _step(self, frame: Frame, placed: Placed) -> Frame | None:
        """Translate a node; returns the frame to go through first where it stands for others."""
        origin = frame.origin_of(placed)
        try:
            return self._translate(frame, placed.proto, origin)
        except EdgecError as error:
            what = f"{escape(placed.proto.op_type)} '{escape(placed.proto.name)}': {error.what}"
            kind = Misfit if isinstance(error, Misfit) else ModelError
            raise kind(what, where=error.where or str(origin), hint=error.hint) from None
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            what = f"{escape(placed.proto.op_type)} '{escape(placed.proto.name)}' is malformed"
            raise ModelError(what, where=str(origin), hint=escape(str(error))) from error

    def _translate(self, frame: Frame, proto: onnx.NodeProto, origin: Origin) -> Frame | None:
        inputs: list[Known] = []
        try:
            found = [frame.scope.find(name) if name else None for name in proto.input]
            if any(isinstance(v, Blocked) for v in found):
                self._check_known(frame, proto)
                frame.block(proto.output)
                return None
            inputs = list(found)
            return self._apply(frame, proto, inputs, origin)
        except NotCovered as error:
            reason = error
        except NoText as error:
            reason = NotCovered(error.what, "numbers or bool")
        except Undecided as error:
            reason = NotCovered(error.what, error.hint)
        self._refuse(frame, proto, inputs, origin, reason)
        return None

    def _check_known(self, frame: Frame, proto: onnx.NodeProto) -> None:
        """Refuse a node behind an unsupported one when its own operator has no translation either."""
        domain = standard(proto.domain)
        ruled = (domain, proto.op_type) in RULES or generic_rule(domain, proto.op_type) is not None
        if ruled or with_graphs(domain, proto.op_type) or self.functions.get(key_of(proto)) is not None:
            return
        known = contract(domain, proto.op_type, self._version(frame, domain))
        if known is None or not (known.schema.has_function or known.schema.has_context_dependent_function):
            raise _no_rule(proto.op_type, known)

    def _version(self, frame: Frame, domain: str) -> int:
        return frame.opsets.get(domain, 1 if domain else self.opsets.get("", 1))

    def _apply(self, frame: Frame, proto: onnx.NodeProto, inputs: list[Known], origin: Origin) -> Frame | None:
        proto = resolved(proto, frame.attributes)
        protos = by_name(proto)
        function = self.functions.get(key_of(proto))
        if function is not None:
            return self._call(frame, proto, function, inputs, call_attributes(function, protos), origin)
        domain = standard(proto.domain)
        version = self._version(frame, domain)
        known = contract(domain, proto.op_type, version)
        check_counts(proto, known)
        translate = with_graphs(domain, proto.op_type)
        if translate is not None:
            site = Site(self, frame, proto, inputs, protos, origin)
            frame.bind(proto.output, translate(site), origin)
            return None
        _check_tensors(inputs, first=int(not domain and proto.op_type in TAKES_SEQUENCES))
        rule = RULES.get((domain, proto.op_type)) or generic_rule(domain, proto.op_type)
        if rule is not None:
            attributes = read_attributes(protos, self.tensors, known)
            declared = tuple(frame.declared_type(name, self.declared) for name in proto.output)
            node = Node(proto.op_type, inputs, attributes, tuple(proto.output), version, domain, proto.name, declared)
            node.strings = self.tensors.strings
            self._follow(rule, node, frame, origin)
            return None
        body = shipped_body(proto, known, version, [_type_of(v) for v in inputs])
        if body is None:
            raise _no_rule(proto.op_type, known)
        return self._call(frame, proto, body, inputs, {**default_protos(known), **protos}, origin)

    def _follow(self, rule: Rule, node: Node, frame: Frame, origin: Origin) -> None:
        """Put what a rule makes of a node into the graph."""
        with _misfits():
            results = found(node, rule)
            results = rule(node) if results is None else results
            examples = self.graph.metadata.setdefault("examples", {})
            examples.update({v.name: array for v, array in node.examples.items() if v.producer is None})
            for effect in node.effects:
                frame.folder.settle(effect, origin)
            frame.bind(node.outputs, results if isinstance(results, tuple) else (results,), origin)

    def _call(
        self, frame: Frame, proto: onnx.NodeProto, function: onnx.FunctionProto, inputs: Sequence[Known],
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
        return Frame(nodes, scope, opsets, outputs, frame.folder, attributes, origin, frame, proto.output)

    def translated(
        self, frame: Frame, graph: onnx.GraphProto, scope: Scope, folder: Folder, origin: Origin
    ) -> list[Known]:
        """What the outputs of a graph inside a node stand for, its ops having gone where `folder` puts them."""
        if self.depth >= MAX_NESTING:
            raise ModelError(f"graphs are nested more than {MAX_NESTING} deep")
        scope.declare(graph)
        names = [value.name for value in graph.output]
        nodes = self._arranged(graph.node, scope, names)
        self.depth += 1
        try:
            self._run(Frame(nodes, scope, frame.opsets, names, folder, frame.attributes, origin))
        finally:
            self.depth -= 1
        return [scope.find(name) for name in names]

    def first_that_works(self, ways: Sequence[Callable[[], list[Known]]]) -> list[Known]:
        """What the first way gives that every node can go; where there is none, what the first one says."""
        before = dict(self.unsupported)
        outcomes: list[tuple[list[Known] | NotCovered | Misfit, dict[UnsupportedNode, None]]] = []
        for way in ways:
            self.unsupported = dict(before)
            try:
                found: list[Known] | NotCovered | Misfit = way()
            except (NotCovered, Misfit) as reason:
                found = reason
            if isinstance(found, list) and self.unsupported == before:
                return found
            outcomes.append((found, self.unsupported))
        outcome, self.unsupported = outcomes[0]
        if not isinstance(outcome, list):
            raise outcome
        return outcome

    def _outputs(self, names: Sequence[str]) -> dict[str, Value]:
        """The outputs by name, a sequence `y` as `y[0]`, `y[1]`, ...; what is no tensor otherwise is recorded."""
        found: dict[str, Value] = {}
        for name in names:
            known = self.root.find(name)
            if isinstance(known, Value):
                found[name] = known
            elif isinstance(known, Listed) and known.items:
                found.update((f"{name}[{place}]", item) for place, item in enumerate(known.items))
            elif isinstance(known, Listed | Absent):
                kind = "sequence" if isinstance(known, Listed) else "optional"
                reason = "it has no tensors" if known == Listed() else f"its type is {kind}"
                node = UnsupportedNode(name, f"output of type {kind}", reason, nearest="tensors")
                self.unsupported[node] = None
        return found

    def _refuse(
        self, frame: Frame, proto: onnx.NodeProto, inputs: Sequence[Known], origin: Origin, why: NotCovered
    ) -> None:
        """Record a node that has no translation, and go on as far as the types of its outputs are known."""
        domain = standard(proto.domain)
        version = frame.opsets.get(domain)
        types = [_type_of(v) for v in inputs]
        shapes = tuple("-" if t is None else "x".join(map(str, t.shape)) or "scalar" for t in types)
        name = origin.name or ", ".join(proto.output)
        self.unsupported[UnsupportedNode(name, proto.op_type, why.reason, domain, version, shapes, why.nearest)] = None
        known = contract(domain, proto.op_type, version or 1)
        values = [v if isinstance(v, Value) else None for v in inputs]
        guessed = inferred_types(proto, known, values, frame.opsets) if len(inputs) == len(proto.input) else {}
        for output in proto.output:
            frame.scope.values[output] = Value(guessed[output], name=output) if output in guessed else BLOCKED
            self.guessed += [v for v in [frame.scope.values[output]] if isinstance(v, Value)]

    def _rest(self) -> Graph | None:
        """The nodes that have a translation: results of the others are inputs, what nobody reads are outputs."""
        self.graph.inputs += self.guessed
        self.graph.set_outputs([r for op in self.graph for r in op.results if not r.users])
        try:
            verify(self.graph)
        except ModelError:
            return None
        return self.graph


@contextmanager
def _misfits() -> Iterator[None]:
    """Tell what a rule finds wrong with a node's operands from what is wrong with the model's structure."""
    try:
        yield
    except (Misfit, NoText, Undecided):
        raise
    except ModelError as error:
        raise Misfit(error.what, where=error.where, hint=error.hint) from None


def _check_tensors(inputs: Sequence[Known], first: int) -> None:
    """Refuse a sequence or an absent optional among the operands from the first one that must be a tensor."""
    for position, given in enumerate(inputs[first:], first):
        if isinstance(given, Listed | Absent):
            raise NotCovered(f"operand {position} is {described(given)}", "tensors")


def _type_of(known: Known) -> TensorType | None:
    return known.type if isinstance(known, Value) else None


def _check_boundary(inputs: Sequence[str], outputs: Sequence[str]) -> None:
    for what, names in (("input", inputs), ("output", outputs)):
        if not all(names):
            raise ModelError(f"an {what} of the model has no name")
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise ModelError(f"{what} '{escape(twice[0])}' is listed twice")


def _no_rule(op_type: str, known: Contract | None) -> NotCovered:
    near = difflib.get_close_matches(op_type, sorted({name for _, name in RULES}), 1, 0.75)
    nearest = near[0] if near and near[0] != op_type else ""
    return NotCovered("this operator is not supported" if known else "this operator is not known", nearest)
