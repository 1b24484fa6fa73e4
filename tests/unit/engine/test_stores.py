"""Where the rows of one partition live: the same contract in memory and on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.engine import stores
from streams.engine.stores import MemoryStore, RocksStore, Store

Open = Callable[..., Store]


@pytest.fixture(params=["memory", "rocksdb"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    opened: list[Store] = []

    def opener(ttl_seconds: int | None = None) -> Store:
        store: Store = (
            MemoryStore(ttl_seconds)
            if request.param == "memory"
            else RocksStore(tmp_path / "tables" / str(len(opened)), ttl_seconds)
        )
        opened.append(store)
        return store

    yield opener
    for store in opened:
        store.close()


def test_what_is_written_is_read_back(open_store: Open) -> None:
    store = open_store()
    store.write({b"a": b"1", b"b": b"", b"\x00": b"\xff"}, 0)
    assert [store.get(key) for key in (b"a", b"b", b"\x00", b"none")] == [b"1", b"", b"\xff", None]


def test_the_last_write_of_a_key_counts_and_none_deletes(open_store: Open) -> None:
    store = open_store()
    store.write({b"a": b"1", b"b": b"1"}, 0)
    store.write({b"a": b"2", b"b": None, b"never": None}, 1)
    assert (store.get(b"a"), store.get(b"b"), store.get(b"never")) == (b"2", None, None)


def test_a_store_with_a_horizon_reads_like_one_without(open_store: Open) -> None:
    store = open_store(ttl_seconds=3600)
    store.write({b"a": b"1", b"b": b"1"}, 0)
    store.write({b"b": None}, 1)
    assert (store.get(b"a"), store.get(b"b")) == (b"1", None)


def test_keys_are_found_by_their_beginning(open_store: Open) -> None:
    store = open_store()
    store.write(dict.fromkeys((b"a\xff", b"b", b"b\x00", b"b\xff1", b"c"), b""), 0)
    store.write({b"b": None}, 1)
    assert sorted(store.keys(b"b")) == [b"b\x00", b"b\xff1"]
    assert list(store.keys(b"d")) == []


def test_a_new_store_has_no_offset(open_store: Open) -> None:
    assert open_store().offset() is None


def test_rows_are_counted_about(open_store: Open) -> None:
    store = open_store()
    store.write({str(n).encode(): b"x" for n in range(100)}, 0)
    assert 90 <= len(store) <= 110


def test_a_store_in_memory_is_recovered_whole_after_every_start() -> None:
    store = MemoryStore()
    store.write({b"a": b"1"}, 41)
    assert store.offset() is None


def test_a_store_on_disk_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "0"
    store = RocksStore(path)
    store.write({b"a": b"1"}, 41)
    store.close()
    store = RocksStore(path)
    assert (store.get(b"a"), store.offset()) == (b"1", 41)
    store.close()


def test_rows_and_their_offset_are_one_write(tmp_path: Path) -> None:
    # Not closed, as after kill -9: the offset must not be there without its rows.
    store = RocksStore(tmp_path / "0")
    store.write({b"a": b"1"}, 7)
    assert (store.get(b"a"), store.offset()) == (b"1", 7)
    store.close()


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(stores.time, "monotonic", lambda: self.now)


def test_memory_forgets_what_is_older_than_the_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    store = MemoryStore(ttl_seconds=10)
    store.write({b"old": b""}, 0)
    clock.now += 5
    store.write({b"young": b""}, 1)
    clock.now += 6
    store.write({b"new": b""}, 2)
    assert [store.get(key) for key in (b"old", b"young", b"new")] == [None, b"", b""]


def test_memory_counts_the_age_from_the_last_write(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    store = MemoryStore(ttl_seconds=10)
    store.write({b"again": b""}, 0)
    clock.now += 6
    store.write({b"again": b""}, 1)
    clock.now += 6
    store.write({b"new": b""}, 2)
    assert store.get(b"again") == b""


def test_memory_forgets_the_oldest_also_when_others_were_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    store = MemoryStore(ttl_seconds=10)
    store.write({b"again": b""}, 0)
    store.write({b"once": b""}, 1)
    clock.now += 9
    store.write({b"again": b""}, 2)
    clock.now += 2
    store.write({b"new": b""}, 3)
    assert (store.get(b"again"), store.get(b"once")) == (b"", None)


def test_memory_does_not_grow_beyond_what_the_horizon_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    store = MemoryStore(ttl_seconds=10)
    for n in range(200):
        store.write({f"{n}-{k}".encode(): b"" for k in range(10)}, n)
        clock.now += 1
    assert len(store) <= 10 * 12
    assert len(store._written) == len(store)


def test_memory_counts_the_age_from_what_a_row_says(monkeypatch: pytest.MonkeyPatch) -> None:
    # Recovered rows are as old as they were before.
    clock = Clock(monkeypatch)
    store = MemoryStore(ttl_seconds=10, age=lambda value: clock.now - int(value))
    store.write({b"old": b"992", b"young": b"998", b"gone": b"999"}, 0)
    clock.now += 3
    store.write({b"new": b"1003", b"gone": None}, 1)
    assert [store.get(key) for key in (b"old", b"young", b"new")] == [None, b"998", b"1003"]
    assert store.get(b"gone") is None


def test_disk_forgets_what_is_older_than_the_horizon(tmp_path: Path) -> None:
    # RocksDB drops expired rows when it compacts, so later than asked for, not sooner.
    store = RocksStore(tmp_path / "0", ttl_seconds=1)
    store.write({b"old": b"1"}, 0)
    store._db.flush()
    deadline = time.monotonic() + 10
    while store.get(b"old") is not None and time.monotonic() < deadline:
        time.sleep(0.2)
        store._db.compact_range(None, None)
    assert store.get(b"old") is None
    store.close()
