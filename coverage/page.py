"""docs/coverage.md: what the suite says, operator by operator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..escaping import escape
from .verdict import PASSED, Verdict

MOST_LETTERS = 160
HEAD = """\
# Coverage of ONNX

The backend tests of onnx {version}, each compiled for `{target}`, built and run against the test's own tolerance.
Do not edit this page; it is written by

```sh
{command}
```

{kinds}

## Operators

Versions are those that occur in the tests; kernels those that serve the compiled tests (`loop` and `row program` are
generated, `copy` moves elements); the error is the largest in units in the last place of the expected number, where it
exceeds the absolute tolerance of the test. Where an operator has tests of its own, only these count.

{operators}

## Tests that do not pass

{missed}

Where a result is `disputed`, the expected one is not what ONNX's words ask for, and this one is; ONNX Runtime misses
these tests too. Resize with aligned corners divides by `length_resized - 1`, the length of the result, but its tests by
0.6 x 4 - 1 = 1.4, so that the last pixel is not the last; PyTorch follows the words.
[coverage/disputes.py](../coverage/disputes.py) has the numbers that must come out.
"""


def page(verdicts: Sequence[Verdict], version: str, target: str, command: str) -> str:
    """The whole page."""
    kinds = _table(
        ("kind", "passed", "of"), [_kind(kind, verdicts) for kind in dict.fromkeys(v.kind for v in verdicts)]
    )
    operators = sorted({name for verdict in verdicts for name, _ in verdict.operators})
    columns = ("operator", "versions", "types", "kernels", "passed", "error")
    rows = [_operator(name, verdicts) for name in operators]
    missed = [(f"`{v.name}`", v.status, _short(v.reason)) for v in verdicts if v.status != PASSED]
    return HEAD.format(
        command=command, version=version, target=target, kinds=kinds, operators=_table(columns, rows),
        missed=_table(("test", "outcome", "reason"), missed) if missed else "There is none.",
    )  # fmt: skip


def _kind(kind: str, verdicts: Sequence[Verdict]) -> tuple[str, str, str]:
    own = [verdict for verdict in verdicts if verdict.kind == kind]
    return kind, str(sum(verdict.status == PASSED for verdict in own)), str(len(own))


def _operator(name: str, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    among = [verdict for verdict in verdicts if name in {other for other, _ in verdict.operators}]
    own = [verdict for verdict in among if len({other for other, _ in verdict.operators}) == 1] or among
    versions = sorted({version for verdict in among for other, version in verdict.operators if other == name})
    passed = [verdict for verdict in own if verdict.status == PASSED]
    errors = [verdict.ulp for verdict in passed if verdict.ulp is not None]
    return (
        f"`{escape(name)}`", _listed(versions), _listed(_each(v.types for v in passed)),
        _listed(_each(v.kernels for v in passed)), f"{len(passed)} of {len(own)}",
        f"{max(errors):.3g}" if errors else "",
    )  # fmt: skip


def _each(lists: Iterable[Iterable[str]]) -> list[str]:
    return sorted({one for found in lists for one in found})


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


def _short(reason: str) -> str:
    text = escape(" ".join(reason.split()), MOST_LETTERS)
    return text.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
