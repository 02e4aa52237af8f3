"""The two ends of a process that times one engine: lines of JSON over its standard input and output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ..errors import EdgecError
from ..escaping import escape
from .arrays import read_arrays, write_arrays

Array = np.ndarray
WARM_UP = 3
MAX_RUNS = 200_000
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class Engine:
    """The parent's end. `error` says why the engine takes no part; what it prints goes to the file `said`."""

    name: str
    process: subprocess.Popen[str]
    result_file: Path
    said: Path
    version: str = ""
    error: str = ""
    mismatch: bool = False
    times: list[int] = field(default_factory=list)

    @classmethod
    def start(
        cls, name: str, source: Path, folder: Path, threads: int, limits: Mapping[str, str], isa: str = ""
    ) -> Engine:
        """Start the process; it opens `source`, an artifact or a model, and runs it on the inputs in `folder`.

        `limits` are environment variables that hold engines to an instruction set; `isa` names one that the engine
        must keep to although the CPU has more.
        """
        outputs, said = folder / f"{name}.npz", folder / f"{name}.log"
        job = {"engine": name, "source": str(source), "inputs": str(folder / "inputs.npz"), "outputs": str(outputs)}
        command = [sys.executable, "-c", _start_code(), json.dumps(job | {"threads": threads, "isa": isa})]
        variables = {**os.environ, **{name: str(threads) for name in THREAD_VARIABLES}, **limits}
        with said.open("w") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=variables
            )
        return cls(name, process, outputs, said)

    def wait(self) -> None:
        """Wait until the engine has run the model once."""
        ready = self._receive()
        self.error, self.version = ready.get("error", ""), ready.get("version", "")

    def outputs(self) -> dict[str, Array]:
        """Return what the engine computed."""
        return read_arrays(self.result_file)

    def take_times(self, seconds: float) -> None:
        """Let the engine run for a while."""
        if self.error:
            return
        answer = self._ask(seconds)
        self.error = answer.get("error", "")
        self.times += answer.get("ns", [])

    def disqualify(self, error: str) -> None:
        """Take the engine out because its outputs are wrong."""
        self.error, self.mismatch = error, True

    def row(self) -> dict[str, Any]:
        """Return the figures, in milliseconds."""
        if self.error or not self.times:
            return {"error": self.error or "it was not run", **({"mismatch": True} if self.mismatch else {})}
        median, p95 = (float(np.percentile(self.times, part)) / 1e6 for part in (50, 95))
        figures = {"median_ms": median, "min_ms": min(self.times) / 1e6, "p95_ms": p95, "runs": len(self.times)}
        return {**figures, "version": self.version}

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def _ask(self, seconds: float) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
        except OSError:
            return {"error": "its process died"}
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        said = self.said.read_text(errors="replace").strip().splitlines()
        return {"error": f"its process died: {escape(said[-1], 300)}" if said else "its process died"}


def _start_code() -> str:
    """Return what the process runs: this file, in the package that it belongs to and nowhere else."""
    package = __package__ or ""
    root = Path(sys.modules[package.partition(".")[0]].__path__[0]).parent
    return f"import sys; sys.path.insert(0, {str(root)!r}); from {__name__} import serve; serve(sys.argv[1])"


def serve(job_text: str) -> None:
    """Be the process: open the engine, write its outputs, then time it whenever told for how many seconds."""
    from .engines.holding import check_held

    job = json.loads(job_text)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # some engines print, also from C
    try:
        inputs = read_arrays(Path(job["inputs"]))
        run, outputs, version = _open(job, inputs)
        for _ in range(WARM_UP):
            run()
        write_arrays(Path(job["outputs"]), outputs())
        if job["isa"]:
            check_held(run, job["isa"])
    except EdgecError as error:
        _answer(answers, {"error": error.what})
        return
    _answer(answers, {"version": version})
    for line in sys.stdin:
        _answer(answers, {"ns": _take_times(run, float(line))})


def _take_times(run: Callable[[], Any], seconds: float) -> list[int]:
    clock = time.perf_counter_ns
    times: list[int] = []
    run()
    end = clock() + int(seconds * 1e9)
    while len(times) < MAX_RUNS:
        start = clock()
        run()
        stop = clock()
        times.append(stop - start)
        if stop > end:
            break
    return times


def _open(job: dict[str, Any], inputs: dict[str, Array]) -> tuple[Callable[[], Any], Callable[[], Any], str]:
    if job["engine"] == "edgec":
        return _open_artifact(Path(job["source"]), inputs, job["threads"])
    from .engines import engine, version
    from .engines.job import Job

    run, outputs = engine(job["engine"], Job(Path(job["source"]), inputs, job["threads"], job["isa"]))
    return run, outputs, version(job["engine"])


def _open_artifact(
    folder: Path, inputs: dict[str, Array], threads: int
) -> tuple[Callable[[], Any], Callable[[], Any], str]:
    from .. import __version__
    from ..driver import load_artifact

    outputs, run = load_artifact(folder, threads).repeated(inputs)
    return run, lambda: outputs, __version__


def _answer(stream: TextIO, facts: dict[str, Any]) -> None:
    stream.write(json.dumps(facts) + "\n")
    stream.flush()
