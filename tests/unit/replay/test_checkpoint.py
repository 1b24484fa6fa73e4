"""How far a replay has come, on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.errors import SettingsError, StreamsError
from streams.replay import checkpoint
from streams.replay.checkpoint import Checkpoint


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "point.json"
    point = Checkpoint("run", "topic", "digest", [1, 0, 7])
    point.save(path)
    point.confirmed[0] = 2
    point.save(path)
    assert checkpoint.load(path) == point
    assert [file.name for file in path.parent.iterdir()] == ["point.json"]


def test_no_file_is_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "none") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"oops",
        b'{"version": 2}',
        b'{"version":1,"run":"r","topic":"t","what":1}',
        b'{"version":1,"run":"r","topic":"t","confirmed":[-1]}',
    ],
)
def test_another_file_is_not_taken_for_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "point"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"--checkpoint .*point: is no checkpoint"):
        checkpoint.load(path)


def test_where_it_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StreamsError, match="--checkpoint"):
        Checkpoint("r", "t").save(tmp_path / "file" / "point")


def test_another_replay_has_another_file(tmp_path: Path) -> None:
    one = checkpoint.default_path(tmp_path, ["a", "b"])
    assert one == checkpoint.default_path(tmp_path, ["a", "b"])
    assert one != checkpoint.default_path(tmp_path, ["ab", ""])
