"""Times a compiled model from the start of its process to its first result, and its memory; and the compiler without gcc.

    python bench/startup.py MODEL.onnx ... [--target host] [--runs 20]

`start` is the least time of a process that reads one sample, runs it and writes the result, less one warm inference.
`beside` is the most memory that this process had, less weights and arena. `compile` is from the model's file to the
sources, without a C compiler.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgec import Artifact
from edgec.driver import compile

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Start:
    """Milliseconds from nothing to the first result and of a warm run; bytes of memory at the peak, weights and arena."""

    whole_ms: float
    warm_ms: float
    peak: int
    weights: int
    arena: int

    @property
    def start_ms(self) -> float:
        """What the start takes beside the inference."""
        return self.whole_ms - self.warm_ms

    @property
    def beside(self) -> int:
        """Bytes beside weights and arena: the program, inputs, outputs, the C library."""
        return self.peak - self.weights - self.arena


def measured(artifact: Artifact, runs: int) -> Start:
    """Run the self-test of an artifact again and again."""
    said = [_run(artifact.folder, "bench", "20", "1") for _ in range(3)]
    warm = min(one["min_ns"] for one, _ in said) / 1e6
    # golden.bin begins with the inputs of a sample
    first = [_run(artifact.folder, "run", "golden.bin", "/dev/null", "1") for _ in range(runs)]
    peak = max(one["peak_kb"] for one, _ in first) << 10
    whole = min(seconds for _, seconds in first) * 1e3
    return Start(whole, warm, peak, artifact.report["weights_bytes"], artifact.report["arena"]["bytes"])


def _run(folder: Path, *arguments: str) -> tuple[dict[str, int], float]:
    start = time.perf_counter()
    done = subprocess.run(["./selftest", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    return json.loads(done.stdout), seconds


def compile_seconds(model: Path, target: str) -> float:
    """How long it takes to write the sources."""
    with tempfile.TemporaryDirectory() as folder:
        return compile(model, target, output=Path(folder) / "artifact", build=False).times["without_compiler"]


def row(model: Path, target: str, runs: int) -> Sequence[str]:
    """The cells of a network."""
    with tempfile.TemporaryDirectory() as folder:
        found = measured(compile(model, target, output=Path(folder) / "artifact", selftest=False), runs)
    sizes = (found.weights, found.arena, found.peak, found.beside)
    return (
        model.stem, f"{found.start_ms:.2f}", f"{found.warm_ms:.2f}", *(f"{size / MEGABYTE:.1f}" for size in sizes),
        f"{compile_seconds(model, target):.1f}",
    )  # fmt: skip


def main() -> None:
    """Read the command line; print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--target", default="host")
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    print("| network | start ms | inference ms | weights MB | arena MB | peak MB | beside MB | compile s |")
    print("| --- |" + " ---: |" * 7)
    for model in options.models:
        print(f"| {' | '.join(row(model, options.target, options.runs))} |", flush=True)


if __name__ == "__main__":
    main()
