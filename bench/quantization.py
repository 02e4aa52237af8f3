"""Accuracy after quantization: labelled networks in float and in every scheme, compiled here, and the peers.

    python bench/quantization.py [--models DIR] [--only NAME,...] [--schemes int8,w4a8] [--json FILE] [--into PAGE]

The folder of models (EDGEC_MODELS if none is given) holds real/NAME.onnx and beside it tools/labelled.py, which
prepares calibration and evaluation data. Each scheme runs with the default options; a peer that fails is a row as well.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from quantization_peers import PEERS  # bench/quantization_peers.py

import edgec
from edgec.quantization import find_metric, open_data
from edgec.quantization.metrics import outputs_of, score

NETWORKS = ("resnet20_cifar10", "mlperftiny_resnet8_fp32", "alibaba_kws", "mnist8_cntk", "lprnet_plates")
METRICS = {"lprnet_plates": "ctc_exact"}
BOUNDS = {"int8": 0.003, "w4a8": 0.015, "w4": 0.005}
MEASURED = re.compile(r"(<!-- measured: accuracy -->\n).*?(<!-- end measured -->)", re.DOTALL)
Row = dict[str, Any]


@dataclass
class Network:
    """A labelled network with its data; `metric` is a name or a function of the tool that prepares the data."""

    name: str
    path: Path
    folder: Path
    metric: Callable[[Any, np.ndarray], float]

    @property
    def calibration(self) -> Path:
        """Samples without labels."""
        return self.folder / "calib.npz"

    @property
    def evaluation(self) -> Path:
        """Samples with labels."""
        return self.folder / "eval.npz"

    def score(self, inputs: Any, run: Callable[[Any], list[np.ndarray]]) -> float:
        """The metric of something that computes stacked samples."""
        data = open_data(self.evaluation, inputs)
        return score(self.metric, outputs_of(edgec.Graph(), data, lambda _: run), data.labels())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path(os.environ.get("EDGEC_MODELS", "models")))
    parser.add_argument("--only", default=",".join(NETWORKS))
    parser.add_argument("--schemes", default=",".join(BOUNDS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--into", type=Path, help="the page whose measured part is rewritten")
    chosen = parser.parse_args()
    rows = []
    for name in chosen.only.split(","):
        for row in measured(chosen.models, name, [s for s in chosen.schemes.split(",") if s]):
            rows.append(row)
            print(text(row), file=sys.stderr, flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
    if chosen.into:
        chosen.into.write_text(filled(chosen.into.read_text(encoding="utf-8"), markdown(rows)), encoding="utf-8")
    else:
        print(markdown(rows))


def measured(models: Path, name: str, schemes: list[str]) -> Iterator[Row]:
    """A row for the float network, then one for each scheme and each peer."""
    with tempfile.TemporaryDirectory() as folder:
        network = prepared(models, name, Path(folder))
        plain = edgec.compile(network.path, selftest=False)
        before = network.score(plain.inputs, plain.run_stacked)
        inputs = plain.inputs
        yield {"network": name, "by": "edgec", "scheme": "float", "metric": before, "drop": 0.0, "failed": ""}
        jobs = [("edgec", scheme, lambda s=scheme: ours(network, s)) for scheme in schemes]
        peers = [peer for peer in PEERS if importlib.util.find_spec(peer)]
        jobs += [(peer, "int8", lambda p=peer: network.score(inputs, PEERS[p](network))) for peer in peers]
        for by, scheme, job in jobs:
            yield {"network": name, "by": by, "scheme": scheme, **outcome(job, before, folder)}


def prepared(models: Path, name: str, folder: Path) -> Network:
    """A network with its data written into a folder."""
    path = models.resolve().parent / "tools" / "labelled.py"
    spec = importlib.util.spec_from_file_location("labelled", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"there is no {path}")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    sys.argv = [str(path), name, str(folder)]
    tool.main()
    metric = METRICS.get(name)
    return Network(
        name, models / "real" / f"{name}.onnx", folder, getattr(tool, metric) if metric else find_metric("top1")
    )


def ours(network: Network, scheme: str) -> float:
    """The metric of the artifact that the default command makes."""
    artifact = edgec.compile(network.path, quantize=scheme, calibration=network.calibration, selftest=False)
    return network.score(artifact.inputs, artifact.run_stacked)


def outcome(job: Callable[[], float], before: float, folder: str) -> Row:
    """The metric that a job gives and how long it takes, or why it fails."""
    start = time.perf_counter()
    try:
        found = job()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".replace(f"{folder}/", "").split())[:160]
        return {"metric": None, "drop": None, "failed": reason}
    return {"metric": found, "drop": before - found, "failed": "", "seconds": round(time.perf_counter() - start, 1)}


# --- text -------------------------------------------------------------------------------------------------------------


def text(row: Row) -> str:
    """A row for people."""
    said = row["failed"] or f"{100 * row['metric']:.2f} % ({-100 * row['drop']:+.2f})"
    return f"{row['network']} {row['by']} {row['scheme']}: {said}"


def markdown(rows: list[Row]) -> str:
    """A table with a line for each network and a column for each way to quantize it."""
    columns = list(dict.fromkeys((row["by"], row["scheme"]) for row in rows))
    cells = {(row["network"], row["by"], row["scheme"]): _cell(row) for row in rows}
    head = ["network", *(f"{by} {scheme}" for by, scheme in columns)]
    lines = [head, ["---"] * len(head)]
    lines += [
        [name, *(cells.get((name, *c), "") for c in columns)] for name in dict.fromkeys(r["network"] for r in rows)
    ]
    failures = [f"- {row['network']}, {row['by']}: {row['failed']}" for row in rows if row["failed"]]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *failures]).rstrip() + "\n"


def filled(page: str, content: str) -> str:
    """A page with its measured part replaced."""
    return MEASURED.sub(lambda found: f"{found[1]}\n{content}\n{found[2]}", page)


def _cell(row: Row) -> str:
    if row["failed"]:
        return "fails"
    shown = f"{100 * row['metric']:.2f}"
    if row["scheme"] == "float":
        return shown
    drop = -100 * row["drop"]
    late = row["by"] == "edgec" and row["drop"] > BOUNDS.get(row["scheme"], 1.0) + 1e-9
    return f"{shown} ({drop:+.2f})" + (" !" if late else "")


if __name__ == "__main__":
    main()
