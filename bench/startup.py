"""Times a compiled model from the start of its process to its first result, its memory, and its compilation.

    python bench/startup.py MODEL.onnx ... [--target host] [--runs 20]

`start` is the least time until a process has read one sample, run it and written the result, less a warm inference.
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
    """Milliseconds to the first result and of a warm run; bytes of memory at the peak, of weights and of the arena."""

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
    warm = min(_run(artifact.folder, "bench", "20", "1")["min_ns"] for _ in range(3)) / 1e6
    # golden.bin begins with the inputs of a sample
    peak = _run(artifact.folder, "run", "golden.bin", "/dev/null", "1")["peak_kb"] << 10
    whole = min(_first_byte(artifact.folder) for _ in range(runs)) * 1e3
    return Start(whole, warm, peak, artifact.report["weights_bytes"], artifact.report["arena"]["bytes"])


def _run(folder: Path, *arguments: str) -> dict[str, int]:
    done = subprocess.run(["./selftest", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    said: dict[str, int] = json.loads(done.stdout)
    return said


def _first_byte(folder: Path) -> float:
    """Seconds until the first byte of a result arrives."""
    command = ["./selftest", "run", "golden.bin", "/dev/stdout", "1"]
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - start
        process.stdout.read()
    return seconds


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
