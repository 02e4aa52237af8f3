"""What the generated code promises: clean under sanitizers, reentrant, no allocation, the same bits on any threads."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgec import driver
from edgec.ir import Graph, TensorType, Tolerance, f32
from edgec.ir.ops import Add, Relu, Softmax, Transpose, constant

from ...random_graphs import joined, random_graph
from ...samples import Reference, graph_of, reference, samples_of, with_weights
from ...sharing import everything_shared
from .harness import POISON, compiled, compiler_for, outputs, run_guarded
from .test_chains import CHAINS, chains, widths

LINK = ("-lm", "-lpthread")
CHECKS = ("--param=asan-instrumentation-with-call-threshold=0",)
"""Functions check addresses: inline, gcc takes a quarter longer."""
LIBC = {"memcpy", "memset"}
LIBM = {
    f"{name}{suffix}"
    for name in [
        "exp",
        "log",
        "sin",
        "cos",
        "tanh",
        "erf",
        "sqrt",
        "floor",
        "ceil",
        "rint",
        "trunc",
        "fabs",
        "fmod",
        "pow",
        "fma",
        "fmin",
        "fmax",
    ]
    for suffix in ("", "f")
}
LINKER = {"_GLOBAL_OFFSET_TABLE_", "model_weights"}


def files(graph: Graph, folder: Path, target: str = "host") -> Path:
    """The sources of an artifact, not built."""
    return driver.compile(graph, target, output=folder / "artifact", build=False).folder


def windows() -> Graph:
    """The samples that read and write at borders."""
    names = ("conv", "pool", "pad", "slice", "matmul", "reduce", "gather")
    return graph_of((name, with_weights(op, i)) for name in names for i, op in enumerate(samples_of(name)))


GRAPHS: dict[str, Callable[[], Graph]] = {
    "chains": lambda: chains().graph,
    "windows": windows,
    "widths": lambda: widths([1, 6]).graph,
    "random": lambda: joined([random_graph(seed) for seed in range(200, 206)]),
}
SANITIZED = (("random", "c"), ("chains", "host"), ("windows", "x86-64-v3"), ("widths", "x86-64"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "target"), [pytest.param(*one, marks=pytest.mark.long if one[1] == "host" else ()) for one in SANITIZED]
)
def test_sanitizers_find_nothing(name: str, target: str, tmp_path: Path) -> None:
    """The self-test gives the model an arena of exactly MODEL_ARENA_BYTES on the heap."""
    compiler = compiler_for(target)
    folder = files(GRAPHS[name](), tmp_path, target)
    sources = [folder / n for n in ("model.c", "weights.S", "model_pool.c", "selftest.c")]
    program = compiler.compile(sources, tmp_path / "selftest", "executable", flags=CHECKS, link=LINK, sanitize=True)
    done = subprocess.run([program], capture_output=True, text=True, env={"UBSAN_OPTIONS": "print_stacktrace=1"})
    assert done.stderr == ""
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", ["gcc", "clang"])
@pytest.mark.parametrize("target", ["c", "x86-64", "x86-64-v3", "x86-64-v4", "arm-neon", "armv7-neon"])
def test_no_warnings(kind: str, target: str, tmp_path: Path) -> None:
    compiler = compiler_for(target, kind)
    folder = files(chains().graph, tmp_path, target)
    flags = (
        ("-Wall", "-Wextra", "-Werror", "-Wpedantic", "-fsyntax-only")
        if target == "c"
        else ("-Wall", "-Wextra", "-Werror", "-fsyntax-only")
    )
    command = [*compiler.compile_command(), *flags, "-c", "model.c"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if kind == "clang" and not compiler.native and "file not found" in done.stderr:
        pytest.skip("clang has no C library for this target")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("target", ["c", "x86-64-v3"])
def test_nothing_but_code_and_constants(target: str, tmp_path: Path) -> None:
    compiler = compiler_for(target)
    folder = files(chains().graph, tmp_path, target)
    built = compiler.compile([folder / "model.c"], tmp_path / "model.o", "object")
    rows = subprocess.run(["nm", built], capture_output=True, text=True, check=True).stdout.splitlines()
    symbols = {row.split()[-1]: row.split()[-2] for row in rows}
    wanted = {name for name, kind in symbols.items() if kind == "U"}
    assert wanted <= LIBC | LIBM | LINKER
    assert {n for n, kind in symbols.items() if kind == "T"} == {
        "model_run",
        "model_run_parallel",
        "model_run_step",
        "model_steps",
    }
    sections = subprocess.run(["size", "-A", built], capture_output=True, text=True, check=True).stdout.splitlines()
    sizes = {row.split()[0]: int(row.split()[1]) for row in sections if row.startswith(".")}
    assert not any(sizes.get(name) for name in (".data", ".bss", ".tdata", ".tbss"))


# --- running ----------------------------------------------------------------------------------------------------------


def wide() -> Reference:
    """Enough work for several tasks in every kernel."""
    graph = Graph("wide")
    x = graph.input(TensorType(f32, (1, 24, 20, 22)), "x")
    results = [graph.add(chain(x).producer) for chain in CHAINS]  # type: ignore[arg-type]
    flat = graph.input(TensorType(f32, (50_000,)), "flat")
    results.append(graph.add(Relu(Add(flat, constant(0.5, f32)).result)))
    rows = graph.input(TensorType(f32, (40, 50)), "rows")
    results.append(graph.add(Softmax(Transpose(rows, (1, 0)).result)))
    graph.set_outputs(results, [f"y{i}" for i in range(len(results))])
    return reference(graph, tolerance=Tolerance(1e-4, 1e-5))


@pytest.mark.slow
def test_runs_at_once_and_on_threads_give_the_same_bits() -> None:
    wanted = wide()
    with everything_shared(), compiled(wanted.graph, "host") as artifact:
        assert sum(region["shares"] > 1 for region in artifact.report["regions"]) >= 10
        alone = run_guarded(artifact, wanted.inputs)
        assert wanted.faults(alone) == []
        for threads in (2, 3):
            together = run_guarded(artifact, wanted.inputs, threads)
            assert all(a.tobytes() == b.tobytes() for a, b in zip(alone, together, strict=True)), threads
        found: dict[int, list[np.ndarray]] = {}

        def run(number: int) -> None:
            for _ in range(10):
                found[number] = outputs(artifact, wanted.inputs)

        workers = [threading.Thread(target=run, args=(i,)) for i in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        for other in found.values():
            assert all(a.tobytes() == b.tobytes() for a, b in zip(alone, other, strict=True))


def test_bad_calls_are_refused() -> None:
    graph = graph_of([("relu", samples_of("relu")[0])])
    with compiled(graph, "host") as artifact:
        library = artifact.native._library
        arena = artifact.native.new_arena()
        good = artifact.native.bind([np.zeros(30, np.float32)], [np.zeros(30, np.float32)], arena)
        assert good() == 0
        assert library.model_run(None, None, arena.ctypes.data) == 1
        crooked = np.full(arena.size + 1, POISON, np.uint8)[1:]
        assert (
            artifact.native.bind([np.zeros(30, np.float32)], [np.zeros(30, np.float32)], crooked[: arena.size])() == 1
        )
