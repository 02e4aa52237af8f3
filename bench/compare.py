"""The whole comparison: networks, engines, threads and instruction sets, with a table and a picture of it.

    python bench/compare.py prepare RESULTS MODEL.onnx ... [--targets host,x86-64-v3]
    python bench/compare.py measure RESULTS MODEL.onnx ... [--targets host] [--threads 1,2] [--most 3]
    python bench/compare.py report RESULTS [--page docs/speed.md] [--pictures docs]

`prepare` compiles; `measure` times one case after another and writes a file for each, so that it goes on where it was
stopped (`--most` bounds one run); `report` makes a table and a picture for each target and number of threads. Nothing
else should run on the machine during `measure`. Engines take turns, each in a process of its own, and a time counts
only where the outputs agree. Where the target is not the machine's own instruction set, other engines are held to it by
their environment variables (`ISA_LIMITS` in cli/bench.py) or by what the CPU seems to answer (cli/engines/holding.py).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import compare_report

from edgec.artifact import golden_inputs
from edgec.cli.arrays import read_arrays, write_arrays
from edgec.cli.bench import measure as measure_engines
from edgec.cli.bench import read_peers
from edgec.driver import compile, import_model, load_artifact

ENGINES = "onnxruntime,openvino,mnn,ncnn"
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Case:
    """A network on a target and so many threads."""

    results: Path
    model: Path
    target: str
    threads: int

    @property
    def artifact(self) -> Path:
        """Where the compiled network lies, with the inputs that all engines get beside it."""
        return self.results / "artifacts" / self.target / self.model.stem

    @property
    def inputs(self) -> Path:
        return self.artifact.parent / f"{self.model.stem}.npz"

    @property
    def file(self) -> Path:
        """Where the times go."""
        return self.results / f"{self.target}-{self.threads}" / f"{self.model.stem}.json"


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Every case that the command line asks for."""
    for target in options.targets.split(","):
        for threads in map(int, options.threads.split(",")):
            for model in options.models:
                yield Case(options.results, model, target, threads)


def prepare(options: argparse.Namespace) -> None:
    """Compile what is not compiled yet."""
    for case in cases(options):
        if case.inputs.is_file():
            continue
        case.artifact.parent.mkdir(parents=True, exist_ok=True)
        compile(case.model, case.target, output=case.artifact, selftest=False)
        write_arrays(case.inputs, golden_inputs(import_model(case.model)))
        print(f"compiled {case.model.stem} for {case.target}", flush=True)


def measure(options: argparse.Namespace) -> None:
    """Time what was not timed yet."""
    waiting = [case for case in cases(options) if not case.file.is_file()]
    for case in waiting[: options.most or None]:
        times = _times(case, options.engines, options.seconds)
        case.file.parent.mkdir(parents=True, exist_ok=True)
        case.file.write_text(json.dumps(times, indent=1) + "\n", encoding="utf-8")
        print(compare_report.line(times), flush=True)
    print(f"{max(0, len(waiting) - (options.most or len(waiting)))} cases left")


def _times(case: Case, engines: str, seconds: float) -> dict[str, Any]:
    artifact = load_artifact(case.artifact)
    with tempfile.TemporaryDirectory(prefix="edgec-") as folder:
        rows = measure_engines(
            case.model, artifact, read_arrays(case.inputs), read_peers(engines), case.threads, seconds, TOLERANCE,
            Path(folder),
        )  # fmt: skip
    facts = {"network": case.model.stem, "target": case.target, "isa": artifact.target.isa, "threads": case.threads}
    return {**facts, "engines": rows}


def report(options: argparse.Namespace) -> None:
    """Print the tables, put them into a page and draw the pictures."""
    for folder in sorted(path for path in options.results.iterdir() if path.is_dir() and path.name != "artifacts"):
        found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
        table = compare_report.table(found)
        print(f"{folder.name}\n\n{table}\n")
        if options.page is not None:
            compare_report.put(options.page, folder.name, table)
        if options.pictures is not None:
            compare_report.draw(options.pictures / f"speed-{folder.name}.svg", found)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for run in (prepare, measure):
        command = commands.add_parser(run.__name__, help=run.__doc__)
        command.set_defaults(run=run)
        command.add_argument("results", type=Path)
        command.add_argument("models", nargs="+", type=Path)
        command.add_argument("--targets", default="host")
        command.add_argument("--threads", default="1")
        command.add_argument("--engines", default=ENGINES)
        command.add_argument("--seconds", type=float, default=3.0)
        command.add_argument("--most", type=int, default=0)
    command = commands.add_parser("report", help=report.__doc__)
    command.set_defaults(run=report)
    command.add_argument("results", type=Path)
    command.add_argument("--page", type=Path)
    command.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
