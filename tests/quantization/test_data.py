"""Calibration data from files and functions: what is read, and what is said of data that does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgec.errors import EdgecError, ModelError, UsageError
from edgec.ir import TensorType, f32
from edgec.quantization import open_data

INPUTS = {"x:0": TensorType(f32, (1, 3, 4))}
GOOD = np.arange(60, dtype=np.float32).reshape(5, 3, 4)


def read(source) -> np.ndarray:
    return np.concatenate([chunk[0] for chunk in open_data(source, INPUTS).chunks(2)])


def test_npz_with_and_without_compression(tmp_path: Path) -> None:
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "data.npz", **{"x:0": GOOD, "labels": np.arange(5)})
        assert np.array_equal(read(tmp_path / "data.npz")[:, 0], GOOD)
        assert np.array_equal(open_data(tmp_path / "data.npz", INPUTS).labels(), np.arange(5))


def test_folder_with_a_file_for_each_input(tmp_path: Path) -> None:
    np.save(tmp_path / "x_0.npy", GOOD)
    assert np.array_equal(read(tmp_path)[:, 0], GOOD)


def test_folder_with_a_file_for_each_sample(tmp_path: Path) -> None:
    for number, sample in enumerate(GOOD):
        np.save(tmp_path / f"{number}.npy", sample)
    assert np.array_equal(read(tmp_path)[:, 0], GOOD)


def test_function_with_samples_and_batches() -> None:
    assert len(read(lambda: [GOOD[0], {"x:0": GOOD[:1]}, (GOOD,)])) == 7


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **{"x:0": GOOD})
    data = open_data(tmp_path / "data.npz", INPUTS)
    assert [s[0].sum() for s in data] == [s[0].sum() for s in data]


def spoiled(value: float) -> np.ndarray:
    array = GOOD.copy()
    array[3, 1, 1] = value
    return array


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"y": GOOD}, ["missing x:0", "unknown y"]),
        ({"x:0": GOOD[:, :2]}, ["shape [2, 4]", "'x:0'", "sample 0"]),
        ({"x:0": GOOD.astype(np.float64)}, ["float64", "'x:0'"]),
        ({"x:0": spoiled(np.nan)}, ["NaN", "'x:0'", "sample 3"]),
        ({"x:0": spoiled(np.inf)}, ["infinity", "sample 3"]),
        ({"x:0": GOOD[:0]}, ["no samples"]),
        ({"x:0": GOOD, "labels": np.arange(4)}, ["different numbers of samples"]),
        ({"x:0": np.float32(1)}, ["single number"]),
    ],
)
def test_bad_arrays_are_named(tmp_path: Path, arrays: dict[str, np.ndarray], said: list[str]) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(ModelError) as error:
        read(tmp_path / "data.npz")
    assert all(part in str(error.value) for part in said), str(error.value)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **{"x:0": np.array([{}], object)})
    with pytest.raises(ModelError, match="Python objects"):
        read(tmp_path / "data.npz")


def test_missing_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **{"x:0": GOOD})
    with pytest.raises(ModelError, match="labels"):
        open_data(tmp_path / "data.npz", INPUTS).labels()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x_0.npy").write_bytes(content)
    for source in (tmp_path / "data.npz", tmp_path / "folder"):
        with pytest.raises(EdgecError):
            read(source)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        open_data(tmp_path / "none.npz", INPUTS)
