"""The external sort beyond what its property test sees: files, memory, faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.errors import StreamsError
from streams.replay.order import ExternalSort, parts


def small(**options: int) -> ExternalSort:
    return ExternalSort(**{"run_bytes": 2_000, "block_bytes": 200, "fan_in": 3, **options})


def filled(order: ExternalSort, count: int = 1_000) -> ExternalSort:
    for number in range(count):
        order.add([(-(number * 7919 % count), b"k", str(number).encode())])
    return order


def test_many_runs_are_merged_in_levels() -> None:
    with filled(small()) as order:
        values = [parts(item) for block in order.blocks() for item in block]
        open_files = sum(map(len, order._levels))
    assert [moment for moment, _, _ in values] == list(range(-999, 1))
    assert open_files <= 3


def test_what_comes_out_is_what_was_added() -> None:
    key = "ключ".encode() * 100
    with small() as order:
        order.add([(5, key, b"value"), (4, b"", b"")])
        (items,) = order.blocks()
    assert [parts(item) for item in items] == [(4, b"", b""), (5, key, b"value")]


def test_the_same_items_have_the_same_digest_and_others_another() -> None:
    digests = []
    for count in (1_000, 1_000, 999):
        with filled(small(), count) as order:
            digests.append(order.digest())
    assert digests[0] == digests[1] != digests[2]


def test_nothing_stays_behind(tmp_path: Path) -> None:
    with filled(ExternalSort(tmp_path, run_bytes=2_000)) as order:
        next(order.blocks())
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_nothing_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(StreamsError, match="--temp-dir"):
        filled(ExternalSort(gone, run_bytes=2_000))
