"""How commands write files: all at once, into devices directly, and errors that say why not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgec.cli.output import check_writable, write_whole
from edgec.errors import UsageError


def test_a_file_is_replaced_all_at_once(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        write_whole(tmp_path / "out", content)
        assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("out", content)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_device_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, b"content")
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("name", "reason"), [("file/out", "Not a directory"), ("folder", "Is a directory"), ("no/out", "No such file")]
)
def test_what_cannot_be_written_is_told(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=f"cannot write '.*{name}': {reason}"):
        write_whole(tmp_path / name, b"content")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder"]


def test_a_folder_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    check_writable(None, tmp_path / "out")
    with pytest.raises(UsageError, match=r"no/out': there is no such folder"):
        check_writable(tmp_path / "out", tmp_path / "no" / "out")
