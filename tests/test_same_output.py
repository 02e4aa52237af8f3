"""The same model gives the same bytes, whatever the hash seed, the locale or the working directory."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgec import driver
from edgec.ir import Graph

from .random_graphs import joined, random_graph

CODE = """
import hashlib, json, pathlib, sys
sys.path.insert(0, sys.argv[3])
from edgec import driver
folder = driver.compile(sys.argv[1], sys.argv[2], output="artifact", build=False).folder
files = sorted(p for p in folder.rglob("*") if p.is_file())
print(json.dumps({p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}))
"""


def written(model: Path, target: str, folder: Path, seed: str, locale: str) -> dict[str, str]:
    """Hashes of all files of an artifact that another process writes, without the C compiler."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale}
    package = str(Path(driver.__file__).absolute().parents[1])
    command = [sys.executable, "-c", CODE, str(model), target, package]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.ir"
    path.write_text(str(joined([random_graph(seed) for seed in range(30, 60)])), encoding="utf-8")
    return path


@pytest.mark.parametrize("target", ["host", "arm-neon"])
def test_hash_seed_locale_and_folder_do_not_matter(model: Path, target: str, tmp_path: Path) -> None:
    first = written(model, target, tmp_path / "one", "1", "C")
    second = written(model, target, tmp_path / "another folder", "2", "C.UTF-8")
    assert len(first) > 10
    assert first == second


def test_a_second_run_in_one_process_writes_the_same(tmp_path: Path) -> None:
    graph = joined([random_graph(seed) for seed in range(60, 80)])
    hashes = []
    for name in ("a", "b"):
        folder = driver.compile(graph, "c", output=tmp_path / name, build=False).folder
        hashes.append(
            {p.relative_to(folder): hashlib.sha256(p.read_bytes()).digest() for p in folder.rglob("*") if p.is_file()}
        )
    assert hashes[0] == hashes[1]


def test_no_path_is_written(model: Path, tmp_path: Path) -> None:
    folder = driver.compile(model, "c", output=tmp_path / "artifact", build=False).folder
    for path in folder.rglob("*"):
        if path.is_file():
            assert str(tmp_path).encode() not in path.read_bytes(), path.name


def test_compiling_leaves_the_graph_as_it_is(tmp_path: Path) -> None:
    graph: Graph = random_graph(3, 15)
    before = str(graph)
    driver.compile(graph, "c", output=tmp_path / "artifact", build=False)
    assert str(graph) == before
