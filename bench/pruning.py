"""Pruned networks: accuracy of labelled ones with and without the fit, and the time of sparse ones beside dense.

    python bench/pruning.py accuracy [--models DIR] [--only NAME,...] [--schemes 0.5,2:4] [--into PAGE]
    python bench/pruning.py speed MODEL.onnx [--sparsities 0.5,0.8] [--target x86-64-v3] [--into PAGE]

Accuracy is that of all evaluation samples; models and data as bench/quantization.py takes them. Speed is the least time
of many runs on one thread, taken in turns, with random weights of 1x1 convolutions and matrix products set to zero.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import edgec
from edgec.driver import canonical
from edgec.ir import Graph
from edgec.probing import native, probe
from edgec.pruning import Config, prune
from edgec.quantization.edit import with_constants
from edgec.quantization.evaluation import Evaluation
from edgec.quantization.layers import find_layers
from quantization import Network, prepared  # bench/quantization.py

NETWORKS = ("resnet20_cifar10", "mlperftiny_resnet8_fp32", "alibaba_kws", "lprnet_plates")
SCHEMES = ("0.3", "0.5", "0.7", "2:4", "channels:0.125", "channels:0.25")
SPARSITIES = (0.5, 0.7, 0.8, 0.9)
RUNS = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("accuracy", "speed"))
    parser.add_argument("model", nargs="?", type=Path, help="for speed")
    parser.add_argument("--models", type=Path, default=Path(os.environ.get("EDGEC_MODELS", "models")))
    parser.add_argument("--only", default=",".join(NETWORKS))
    parser.add_argument("--schemes", default=",".join(SCHEMES))
    parser.add_argument("--sparsities", default=",".join(map(str, SPARSITIES)))
    parser.add_argument("--target", default="host")
    parser.add_argument("--into", type=Path, help="the page whose measured part is rewritten")
    chosen = parser.parse_args()
    if chosen.what == "accuracy":
        rows = list(accuracies(chosen.models, chosen.only.split(","), chosen.schemes.split(",")))
    else:
        rows = list(speeds(chosen.model, chosen.target, [float(s) for s in chosen.sparsities.split(",")]))
    table = "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]]) + "\n"
    if chosen.into:
        chosen.into.write_text(filled(chosen.into.read_text(encoding="utf-8"), chosen.what, table), encoding="utf-8")
    else:
        print(table)


# --- accuracy ---------------------------------------------------------------------------------------------------------


def accuracies(models: Path, names: list[str], schemes: list[str]) -> Iterator[list[str]]:
    """A head, then a line for each network and scheme."""
    yield ["network", "scheme", "weights that went", "as it was", "pruned", "pruned and fitted"]
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            network = prepared(models, name, Path(folder))
            graph = canonical(network.path)
            judge = Evaluation.of(graph, network.evaluation, network.metric, native)
            for scheme in schemes:
                row = [name, scheme, *accuracy(network, graph, judge, scheme)]
                print(*row, file=sys.stderr, flush=True)
                yield row


def accuracy(network: Network, graph: Graph, judge: Evaluation, scheme: str) -> list[str]:
    made = [
        prune(graph, Config(scheme=scheme, refit=refit), network.calibration, executor=probe) for refit in (False, True)
    ]
    gone = 1 - made[1].report["weights_after"] / made[1].report["weights_before"]
    scores = [judge.float_metric, *(judge.score(each.graph).metric for each in made)]
    return [f"{100 * gone:.0f} %", *(f"{100 * (found or 0):.2f}" for found in scores)]


# --- speed ------------------------------------------------------------------------------------------------------------


def speeds(model: Path, target: str, sparsities: list[float]) -> Iterator[list[str]]:
    """A head, then a line for each sparsity; the first is dense."""
    graph = canonical(model)
    artifacts = [edgec.compile(thinned(graph, share), target) for share in (0.0, *sparsities)]
    times = least_times(artifacts)
    yield ["zeros in 1x1 weights", "milliseconds", "as fast as dense", "weights, MB", "sparse kernels"]
    for share, artifact, found in zip((0.0, *sparsities), artifacts, times, strict=True):
        kernels = [region["kernel"] for region in artifact.report["regions"]]
        megabytes = artifact.report["weights_bytes"] / 1e6
        row = [f"{100 * share:.0f} %", f"{1e3 * found:.2f}", f"{times[0] / found:.2f}x", f"{megabytes:.1f}"]
        yield [*row, f"{kernels.count('sparse')} of {kernels.count('sparse') + kernels.count('conv')}"]


def thinned(graph: Graph, share: float) -> Graph:
    """The graph with random weights of 1x1 convolutions and matrix products set to zero."""
    random, changes = np.random.default_rng(0), {}
    for layer in find_layers(graph):
        if layer.kind == "matmul" or (layer.kind == "conv" and layer.w.shape[2:] == (1, 1)):
            kept = random.random(layer.weights.shape) >= share
            changes[layer.op, "b" if layer.is_matmul else "w"] = np.where(kept, layer.weights, np.float32(0))
    return with_constants(graph, changes)


def least_times(artifacts: list[edgec.Artifact]) -> list[float]:
    """Seconds of the fastest run of each."""
    inputs = [np.zeros(kind.shape, kind.dtype.numpy) for kind in artifacts[0].inputs.values()]
    best = [float("inf")] * len(artifacts)
    for _ in range(RUNS):
        for i, artifact in enumerate(artifacts):
            start = time.perf_counter()
            artifact(*inputs)
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def filled(page: str, name: str, content: str) -> str:
    """A page with one measured part replaced."""
    pattern = re.compile(rf"(<!-- measured: {name} -->\n).*?(<!-- end measured -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}\n{content}\n{found[2]}", page)


if __name__ == "__main__":
    main()
