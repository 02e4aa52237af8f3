"""The graph: an ordered list of ops over values in single assignment, with inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError
from .dims import Symbol
from .op import Op, Origin
from .types import TensorType
from .value import Value


@dataclass(frozen=True)
class Note:
    """One recorded decision about a node: what refused or did something, and why."""

    source: str
    reason: str
    origin: Origin | None
    other: Origin | None = None

    def __str__(self) -> str:
        blamed = f" ({self.other})" if self.other else ""
        return f"{self.source}: {self.reason}{blamed}"


class Output(Op):
    """Marks a value as an output of the graph; it is a user of the value and nothing else."""

    name = "output"

    def __init__(self) -> None:
        self.results, self.origin = (), None


class Graph:
    """Inputs, ops in execution order, outputs.

    Ops stand in a doubly linked list, so that inserting, removing and walking cost what they should on a graph of ten
    thousand nodes. `stage` names what the verifier holds it to; `journal` is what `explain` prints.
    """

    def __init__(self, name: str = "graph") -> None:
        self.name = name
        self.stage = "imported"
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.output_names: list[str] = []
        self.journal: list[Note] = []
        self.metadata: dict[str, Any] = {}
        self._outputs_marker = Output()
        self._next: dict[Op | None, Op | None] = {None: None}
        self._previous: dict[Op | None, Op | None] = {None: None}

    # --- building -------------------------------------------------------------------------------------------------

    def input(self, type: TensorType, name: str = "") -> Value:
        """Add an input."""
        value = Value(type, name=name)
        self.inputs.append(value)
        return value

    def add(self, op: Op) -> Value:
        """Append an op (and the new ops that its operands come from); its first result."""
        self.insert_before(None, op)
        return op.results[0]

    def set_outputs(self, values: Sequence[Value], names: Sequence[str] | None = None) -> None:
        """Make values the outputs, in order."""
        for value in self.outputs:
            value.users.pop(self._outputs_marker, None)
        self.outputs = list(values)
        self.output_names = list(names) if names is not None else [v.name for v in values]
        for value in values:
            value.users[self._outputs_marker] = value.users.get(self._outputs_marker, 0) + 1

    # --- walking --------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Op]:
        """The ops in order; the op just yielded may be removed or replaced while walking."""
        op = self._next[None]
        while op is not None:
            following = self._next[op]
            yield op
            op = self._next.get(op, following)

    def __len__(self) -> int:
        return len(self._next) - 1

    def __contains__(self, op: object) -> bool:
        return op in self._next

    @property
    def ops(self) -> list[Op]:
        """A copy of the op list."""
        return list(self)

    @property
    def every_op(self) -> Iterator[Op]:
        """The ops in order, each followed by those of the bodies of its control flow."""
        for op in self:
            yield op
            for name in op.bodies:
                yield from getattr(op, name).every_op

    @property
    def values(self) -> Iterator[Value]:
        """Inputs, then every result in order."""
        yield from self.inputs
        for op in self:
            yield from op.results

    @property
    def symbols(self) -> dict[str, Symbol]:
        """The sizes that are known only at run time, by name: those of the inputs, then those that ops find."""
        return self.chosen_sizes | {s.name: s for op in self for s in op.found_sizes()}

    @property
    def chosen_sizes(self) -> dict[str, Symbol]:
        """The open sizes that the caller chooses, by name, as the inputs show them."""
        return {name: s for value in self.inputs for name, s in value.type.symbols.items()}

    @property
    def found_sizes(self) -> dict[str, Symbol]:
        """The open sizes that depend on data, by name."""
        chosen = self.chosen_sizes
        return {name: s for name, s in self.symbols.items() if name not in chosen}

    @property
    def checks_run(self) -> bool:
        """Whether a run can fail for a number that it finds."""
        return any(op.checks_run for op in self)

    def is_output(self, value: Value) -> bool:
        return self._outputs_marker in value.users

    def following(self, op: Op) -> Op | None:
        """The op right after another, None at the end."""
        return self._next[op]

    # --- editing --------------------------------------------------------------------------------------------------

    def insert_before(self, place: Op | None, op: Op) -> list[Op]:
        """Insert an op, and first the ops outside the graph that it reads; None is the end. Returns what came in."""
        new = [o for o in _unattached(op, self._next)]
        for each in new:
            self._link(place, each)
        return new

    def _link(self, place: Op | None, op: Op) -> None:
        before = self._previous[place]
        self._next[before], self._previous[op] = op, before
        self._next[op], self._previous[place] = place, op
        for value in op.operands:
            value.users[op] = value.users.get(op, 0) + 1

    def remove(self, op: Op) -> None:
        """Take out an op whose results nobody reads."""
        if any(r.users for r in op.results):
            raise ModelError(f"{op.name} is still in use and cannot be removed", where=op.where)
        before, after = self._previous.pop(op), self._next.pop(op)
        self._next[before], self._previous[after] = after, before
        for value in op.operands:
            value.users.pop(op, None)

    def replace_value(self, old: Value, new: Value) -> None:
        """Let every reader of `old` read `new`."""
        users = [u for u in old.users if u is not self._outputs_marker and u is not new.producer]
        for user in users:
            count = old.users.pop(user)
            user.swap_operands(lambda v: new if v is old else v)
            new.users[user] = new.users.get(user, 0) + count
        if self.is_output(old):
            self.set_outputs([new if v is old else v for v in self.outputs], self.output_names)
        new.name = new.name or old.name

    def add_copy(self, user: Op, value: Value, copy: Op) -> None:
        """Let one reader of a value read what a new op, inserted before it, makes of that."""
        count = value.users.pop(user)
        self.insert_before(user, copy)
        user.swap_operands(lambda v: copy.result if v is value else v)
        copy.result.users[user] = count

    def replace_op(self, op: Op, values: Sequence[Value]) -> list[Op]:
        """Put values in the place of an op's results and remove it; returns the ops that came in."""
        inserted: list[Op] = []
        for value in values:
            if value.producer is not None and value.producer not in self:
                inserted += self.insert_before(op, value.producer)
        for new in inserted:
            new.origin = new.origin or op.origin
        for old, new_value in zip(op.results, values, strict=True):
            self.replace_value(old, new_value)
        self.remove(op)
        return inserted

    def reorder(self, ops: Sequence[Op]) -> None:
        """Put the ops in another order; it must be a permutation that respects operands (the verifier checks)."""
        self._next, self._previous = {None: None}, {None: None}
        before: Op | None = None
        for op in ops:
            self._next[before], self._previous[op] = op, before
            before = op
        self._next[before], self._previous[None] = None, before

    def note(self, source: str, reason: str, op: Op | None, other: Op | None = None) -> None:
        """Record a decision for `explain` and the report."""
        self.journal.append(Note(source, reason, op.origin if op else None, other.origin if other else None))

    def copy(self) -> Graph:
        """A graph of the same ops that can be edited on its own; constants share their arrays."""
        made = Graph(self.name)
        made.stage, made.journal, made.metadata = self.stage, list(self.journal), dict(self.metadata)
        table = {v: made.input(v.type, v.name) for v in self.inputs}
        for op in self:
            new = op.with_operands(table.__getitem__)
            for name in op.bodies:
                setattr(new, name, getattr(op, name).copy())
            for old_result, result in zip(op.results, new.results, strict=True):
                result.type, result.name = old_result.type, old_result.name
                table[old_result] = result
            made.add(new)
        made.set_outputs([table[v] for v in self.outputs], self.output_names)
        return made

    # --- text and files -------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        from .text import print_graph

        return print_graph(self)

    @staticmethod
    def parse(text: str) -> Graph:
        """Read the text form."""
        from .text import parse_graph

        return parse_graph(text)

    @staticmethod
    def load(path: str | Path, **options: Any) -> Graph:
        """Read an .onnx or .ir file; options as `ir.onnx_import.load` takes them."""
        from .files import load

        return load(Path(path), **options)

    def evaluate(self, inputs: dict[str, np.ndarray] | Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run the graph with numpy."""
        from .evaluate import evaluate

        return evaluate(self, inputs)


def _unattached(op: Op, attached: dict[Op | None, Op | None]) -> list[Op]:
    """The op and the ops outside the graph that it depends on, operands first (iterative: chains may be long)."""
    order: dict[Op, None] = {}
    stack: list[tuple[Op, bool]] = [(op, False)]
    while stack:
        current, ready = stack.pop()
        if ready:
            order[current] = None
        elif current not in attached and current not in order:
            stack.append((current, True))
            stack.extend((v.producer, False) for v in reversed(current.operands) if v.producer is not None)
    return list(order)
