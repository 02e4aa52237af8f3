"""Times networks side by side with other engines and prints a table.

    python bench/networks.py MODEL.onnx [...] [--threads 1] [--against onnxruntime] [--seconds 3] [--json FILE]

Each network goes through `edgec bench`, which interleaves the engines, each in a process of its own, and believes a
time only when the outputs agree. The ratio is the best other engine's minimum over edgec's: above 1 edgec is faster.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def measure(model: Path, options: argparse.Namespace) -> Row:
    """The engines' times on one network."""
    command = [sys.executable, "-m", "edgec", "bench", str(model), "--target", options.target, "--json"]
    command += ["--threads", str(options.threads), "--against", options.against, "--seconds", str(options.seconds)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {"model": model.stem, "error": (done.stderr or done.stdout).strip()[:300]}
    return {"model": model.stem, "engines": engines(json.loads(done.stdout))}


def engines(answer: dict[str, Any]) -> dict[str, Any]:
    """The timed engines of an answer of `edgec bench --json`."""
    found = answer.get("engines", answer)
    return {name: times for name, times in found.items() if isinstance(times, dict) and "min_ms" in times}


def ratio(row: Row, statistic: str) -> float:
    """The best other engine's time over edgec's."""
    others = [times[statistic] for name, times in row["engines"].items() if name != "edgec"]
    return min(others) / row["engines"]["edgec"][statistic] if others else math.nan


def table(rows: list[Row]) -> str:
    """A Markdown table of minimum milliseconds with the ratios of minima and of medians."""
    names = list(dict.fromkeys(name for row in rows for name in row.get("engines", {})))
    lines = [
        "| network | " + " | ".join(names) + " | ratio (min) | ratio (median) |",
        "|---|" + "---|" * (len(names) + 2),
    ]
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['model']} | {row['error'].splitlines()[0]} |")
            continue
        cells = [f"{row['engines'][n]['min_ms']:.3f}" if n in row["engines"] else "-" for n in names]
        lines.append(
            f"| {row['model']} | {' | '.join(cells)} | {ratio(row, 'min_ms'):.2f} | {ratio(row, 'median_ms'):.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure all networks one after another; nothing else should run on the machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--target", default="host")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--against", default="onnxruntime,openvino,mnn,ncnn")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [measure(model, options) for model in options.models]
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
