"""Random graphs, each computed by the C that it compiles to, by ONNX Runtime from the ONNX that it is exported as, and
by `evaluate` from what is imported from that again; all against `evaluate` of the graph.

    python bench/random_graphs.py [--count 2000] [--seed 0] [--ways c,onnxruntime,import] [--target host] [--shrink]
                                  [--json FILE] [--resume] [--seconds N] [--processes N] [--page docs/random-graphs.md]

Graph n comes from seed n. What fails is printed, with `--shrink` as the smallest part that still does. After so many
seconds no other batch of graphs is begun; `--resume` goes on where FILE ends. `--page` puts what came of all graphs
into a page.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import compare_report

from edgec.coverage.graphs import AGREES, EXEMPT, PART, WAYS, Batch, Finding, batches, random_case, shrink

FINE = (AGREES, PART, EXEMPT)
Facts = dict[str, Any]


def main() -> int:
    chosen = options()
    warnings.simplefilter("ignore")
    facts = json.loads(chosen.json.read_text(encoding="utf-8")) if chosen.resume else nothing()
    start, before = time.perf_counter(), facts["seconds"]
    seeds = range(chosen.seed + facts["graphs"], chosen.seed + chosen.count)
    for batch in batches(seeds, chosen.ways.split(","), chosen.target, chosen.processes, chosen.seconds):
        for finding in batch.findings:
            tell(finding, chosen)
        facts = with_more(facts, batch) | {"seconds": round(before + time.perf_counter() - start)}
        print(f"\rrandom{batch.seeds[-1]} ({facts['seconds']} s)", end="", file=sys.stderr, flush=True)
        if chosen.json:
            chosen.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"\n{text(facts)}")
    if chosen.page and facts["graphs"] == chosen.count:
        compare_report.put(chosen.page, "random-graphs", tables(facts, chosen))
    return 1 if facts["failed"] else 0


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--target", default="host")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--page", type=Path)
    chosen = parser.parse_args()
    if chosen.resume and not chosen.json:
        parser.error("--resume goes on where a file of --json ends")
    return chosen


def tell(finding: Finding, chosen: argparse.Namespace) -> None:
    """Print what failed, and if that is asked for the smallest case of it."""
    if finding.status in FINE:
        return
    print(f"\n{finding.name} by {finding.way} {finding.status}: {finding.reason}", flush=True)
    if not chosen.shrink:
        return
    small = shrink(random_case(int(finding.name.removeprefix("random"))), finding, chosen.target)
    print(small.graph)
    for value, array in zip(small.graph.inputs, small.inputs, strict=True):
        print(f"{value.name} = {array.tolist()}", flush=True)


# --- what came of them ------------------------------------------------------------------------------------------------


def nothing() -> Facts:
    return {"graphs": 0, "seconds": 0, "ways": {way: {} for way in WAYS}, "ops": {}, "exempt": [], "failed": []}


def with_more(facts: Facts, batch: Batch) -> Facts:
    """How many graphs agree by each way, which ops occurred how often, and what failed."""
    findings = batch.findings
    ways = {way: Counter(one.status for one in findings if one.way == way) for way in WAYS}
    exempt = Counter({(way, reason): number for way, reason, number in facts["exempt"]})
    exempt.update((one.way, reason) for one in findings if one.status in FINE for reason in causes(one))
    return {
        "graphs": facts["graphs"] + len(batch.seeds),
        "ways": {way: dict(found + Counter(facts["ways"][way])) for way, found in ways.items()},
        "ops": dict((batch.ops + Counter(facts["ops"])).most_common()),
        "exempt": [[*key, number] for key, number in exempt.most_common()],
        "failed": facts["failed"] + [asdict(one) for one in findings if one.status not in FINE],
    }


def causes(finding: Finding) -> set[str]:
    """Why ops of a graph were left out, without their names."""
    return {reason.split(": ", 1)[-1] for reason in finding.reason.split("; ") if reason}


def text(facts: Facts) -> str:
    rows = [f"{way:12} {', '.join(f'{n} {s}' for s, n in found.items())}" for way, found in facts["ways"].items()]
    return "\n".join([f"{head(facts)}, in {facts['seconds']} s", *rows])


def head(facts: Facts) -> str:
    return f"{facts['graphs']} graphs of {sum(facts['ops'].values())} ops, {len(facts['ops'])} different ones"


def tables(facts: Facts, chosen: argparse.Namespace) -> str:
    """What the page says: how many agree by each way, and why others were not compared."""
    parts = [f"{head(facts)}; seeds {chosen.seed} to {chosen.seed + chosen.count - 1}, target `{chosen.target}`."]
    parts += [table(("way", "agree", "agree in part", "nothing to compare", "disagree"), by_way(facts))]
    rows = [(f"`{way}`", cause, str(number)) for way, cause, number in facts["exempt"]]
    return "\n\n".join(
        [*parts, "Why ops were left out, and of how many graphs:", table(("way", "cause", "graphs"), rows)]
    )


def by_way(facts: Facts) -> Iterator[Sequence[str]]:
    for way, found in facts["ways"].items():
        counts = [found.get(status, 0) for status in FINE]
        yield f"`{way}`", *map(str, counts), str(sum(found.values()) - sum(counts))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, ["---"] * len(columns), *rows))


if __name__ == "__main__":
    sys.exit(main())
