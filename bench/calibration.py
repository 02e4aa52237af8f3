"""What calibration costs: memory and time with few and many samples, beside a plain float run over them.

    python bench/calibration.py MODEL [--quantize int8] [--few 50] [--many 5000]

Samples are random, in an .npz file that is read sample by sample. Each measurement is a process of its own: memory is
the peak of its resident set, time its wall clock, and the float run is the one that the quantizer uses for its trials.
Exit status 1 where many samples take more than 64 MB above few, or more than 5 times the float run.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edgec.driver import canonical
from edgec.ir import Graph
from edgec.probing import probe
from edgec.quantization import open_data, quantize
from edgec.quantization.executor import CHUNK

MEGABYTES, TIMES = 64, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--quantize", default="int8")
    parser.add_argument("--few", type=int, default=50)
    parser.add_argument("--many", type=int, default=5000)
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.job:
        job(chosen.model, *chosen.job)
    else:
        sys.exit(compared(chosen.model, chosen.quantize, chosen.few, chosen.many))


def compared(model: Path, scheme: str, few: int, many: int) -> int:
    """Measure and print; 1 where a bound is broken."""
    with tempfile.TemporaryDirectory() as folder:
        files = [written(canonical(model), count, Path(folder) / f"{count}.npz") for count in (few, many)]
        small, large = (measured(model, scheme, file) for file in files)
        plain = measured(model, "", files[1])
    growth, times = large[1] - small[1], large[0] / plain[0]
    for name, (seconds, peak) in (("calibration", small), ("calibration", large), ("float run", plain)):
        print(f"{name:12} {few if (seconds, peak) == small else many:6} samples {seconds:8.1f} s {peak:8.0f} MB peak")
    print(f"{growth:+.0f} MB for more samples (allowed {MEGABYTES}), {times:.1f} times the float run (allowed {TIMES})")
    return int(growth > MEGABYTES or times > TIMES)


def written(graph: Graph, count: int, path: Path) -> Path:
    """Random samples for the inputs of a graph."""
    rng = np.random.default_rng(0)
    np.savez(path, **{v.name: rng.random((count, *v.shape[1:]), np.float32) for v in graph.inputs})
    return path


def measured(model: Path, scheme: str, data: Path) -> tuple[float, float]:
    """Seconds and the peak in megabytes of a process that quantizes, or without a scheme only runs the network."""
    command = [sys.executable, __file__, str(model), "--job", scheme, str(data)]
    seconds, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-2:]
    return float(seconds), float(peak)


def job(model: Path, scheme: str, data: str) -> None:
    """One measurement, printed."""
    graph = canonical(model)
    start = time.perf_counter()
    if scheme:
        quantize(graph, scheme, data, executor=probe)
    else:
        run = probe(graph)
        for chunk in open_data(data, {v.name: v.type for v in graph.inputs}).chunks(CHUNK):
            run(chunk)
    print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
