"""Instructions of one inference on a foreign CPU, counted under qemu: the same number on every machine and every run.

Counts are the difference of two runs of the self-test, so that its start is not in them. `per fma` divides them by the
vector multiply-adds that the network needs at least: its multiply-accumulates by the lanes. Instructions are no cycles,
but a kernel that needs more of them is slower on in-order cores. Needs qemu-user (up to version 8, built with plugins,
as that of Debian is), gcc for the plugin, and the cross compiler of the target. Other options go to `edgec compile`.

python bench/instructions.py resnet18.onnx --target arm-neon --winograd off --most 1.4
python bench/instructions.py build/resnet18
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from edgec.targets import Target, get_target
from edgec.toolchain.emulator import find_emulator

PLUGIN = Path(__file__).with_suffix(".c")
STEP = re.compile(r"^    \{(\w+), .*\}, /\*", re.MULTILINE)


@dataclass(frozen=True)
class Counts:
    """Instructions and multiply-accumulates of one inference, by function of model.c."""

    instructions: Counter[str]
    macs: Counter[str]

    def per_fma(self, lanes: int) -> float:
        """Instructions for each vector multiply-add that cannot be avoided."""
        return self.instructions.total() * lanes / max(self.macs.total(), 1)


def build_plugin(folder: Path) -> Path:
    """Compile the plugin; returns its path."""
    made = folder / "instructions.so"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", str(PLUGIN), "-o", str(made)], check=True)
    return made


def executed(artifact: Path, target: Target, plugin: Path, repetitions: int) -> Counter[str]:
    """The instructions that so many repetitions execute, by function."""
    emulator = find_emulator(target)
    if emulator is None:
        raise SystemExit(f"error: there is no {target.emulator or 'emulator'} for target {target.name}")
    command = [*emulator.argv, "-plugin", str(plugin), str(artifact / "selftest"), "bench", str(repetitions), "1"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return Counter({name: int(count) for name, count in (line.split() for line in text.splitlines())})


def macs_by_function(artifact: Path, report: dict[str, object]) -> Counter[str]:
    """The multiply-accumulates of each function: those of the steps that call it."""
    functions = STEP.findall((artifact / "model.c").read_text())
    counts: Counter[str] = Counter()
    for name, region in zip(functions, report["regions"], strict=True):  # type: ignore[call-overload]
        counts[name] += region["macs"]
    return counts


def count(artifact: Path) -> tuple[Counts, Target]:
    """The counts of a built artifact and its target."""
    report = json.loads((artifact / "report.json").read_text())
    target = get_target(report["target"], report["cpu"] or None)
    with tempfile.TemporaryDirectory() as folder:
        plugin = build_plugin(Path(folder))
        once, twice = (executed(artifact, target, plugin, n) for n in (1, 2))
    return Counts(twice - once, macs_by_function(artifact, report)), target


def compiled(model: Path, options: list[str], folder: Path) -> Path:
    """The artifact of a model."""
    artifact = folder / "artifact"
    command = [sys.executable, "-m", "edgec", "compile", str(model), "-o", str(artifact), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return artifact


def table(counts: Counts, lanes: int, rows: int) -> list[str]:
    """The functions that execute most, and all together."""
    lines = [f"{'function':20} {'instructions':>14} {'macs':>14} {'per fma':>8}"]
    for name, instructions in counts.instructions.most_common(rows):
        macs = counts.macs[name]
        ratio = f"{instructions * lanes / macs:8.2f}" if macs else f"{'':8}"
        lines.append(f"{name:20} {instructions:14} {macs:14} {ratio}")
    total = f"{counts.instructions.total():14} {counts.macs.total():14} {counts.per_fma(lanes):8.2f}"
    return [*lines, f"{'all':20} {total}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model, or the folder of an artifact that is built")
    parser.add_argument("--most", type=float, default=0.0, help="fail above so many instructions per fma")
    parser.add_argument("--rows", type=int, default=20, help="functions to list")
    options, others = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model
        counts, target = count(model if model.is_dir() else compiled(model, others, Path(folder)))
    print("\n".join(table(counts, target.lanes, options.rows)))
    return int(0 < options.most < counts.per_fma(target.lanes))


if __name__ == "__main__":
    raise SystemExit(main())
