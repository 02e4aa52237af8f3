"""Random graphs, each computed by the C that it compiles to, by ONNX Runtime from the ONNX that it is exported as, and
by `evaluate` from what is imported from that again; all against `evaluate` of the graph.

    python bench/random_graphs.py [--count 2000] [--seed 0] [--ways c,onnxruntime,import] [--target host] [--json FILE]
                                  [--shrink] [--seconds N]

Graph n comes from seed n; after so many seconds no other batch of graphs is begun. What fails is printed, with
`--shrink` as the smallest part that still does.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgec.coverage.graphs import AGREES, EXEMPT, WAYS, Case, Finding, check, random_case, shrink

BATCH = 24
"""Graphs for one call of the C compiler."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--target", default="host")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    ways, start, count = chosen.ways.split(","), time.perf_counter(), 0
    findings: list[Finding] = []
    ops: Counter[str] = Counter()
    for cases in batches(chosen.seed, chosen.count):
        found = check(cases, ways, chosen.target)
        findings += found
        ops.update(op.name for case in cases for op in case.graph.every_op)
        for finding in found:
            tell(finding, cases, chosen)
        count, seconds = count + len(cases), time.perf_counter() - start
        print(f"\r{cases[-1].name} ({seconds:.0f} s)", end="", file=sys.stderr, flush=True)
        if seconds > chosen.seconds:
            break
    facts = summary(findings, ops, count, time.perf_counter() - start)
    print(f"\n{text(facts)}")
    if chosen.json:
        chosen.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return 1 if facts["failed"] else 0


def batches(seed: int, count: int) -> Iterator[list[Case]]:
    for at in range(seed, seed + count, BATCH):
        yield [random_case(number) for number in range(at, min(at + BATCH, seed + count))]


def tell(finding: Finding, cases: list[Case], chosen: argparse.Namespace) -> None:
    """Print what failed, and if that is asked for the smallest case of it."""
    if finding.status in (AGREES, EXEMPT):
        return
    print(f"\n{finding.name} by {finding.way} {finding.status}: {finding.reason}", flush=True)
    if not chosen.shrink:
        return
    case = next(one for one in cases if one.name == finding.name)
    small = shrink(case, finding, chosen.target)
    print(small.graph)
    for value, array in zip(small.graph.inputs, small.inputs, strict=True):
        print(f"{value.name} = {array.tolist()}", flush=True)


def summary(findings: list[Finding], ops: Counter[str], count: int, seconds: float) -> dict[str, Any]:
    """How many graphs agree by each way, which ops occurred how often, and what failed."""
    failed = [one for one in findings if one.status not in (AGREES, EXEMPT)]
    statuses = {way: Counter(one.status for one in findings if one.way == way) for way in WAYS}
    exempt = Counter((one.way, one.reason) for one in findings if one.status == EXEMPT)
    return {
        "graphs": count, "seconds": round(seconds), "ways": {way: dict(found) for way, found in statuses.items()},
        "ops": dict(ops.most_common()), "exempt": [[*key, number] for key, number in exempt.most_common()],
        "failed": [asdict(one) for one in failed],
    }  # fmt: skip


def text(facts: dict[str, Any]) -> str:
    rows = [f"{way:12} {', '.join(f'{n} {s}' for s, n in found.items())}" for way, found in facts["ways"].items()]
    total = sum(facts["ops"].values())
    head = f"{facts['graphs']} graphs of {total} ops, {len(facts['ops'])} different ones, in {facts['seconds']} s"
    return "\n".join([head, *rows])


if __name__ == "__main__":
    sys.exit(main())
