"""Reading files: found, decompressed, reported where they are broken."""

from __future__ import annotations

import gzip
import importlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from streams.errors import SettingsError
from streams.replay import sources
from streams.replay.filters import Filter
from streams.replay.lines import Reader
from streams.replay.order import Event
from streams.replay.report import Report
from streams.replay.scan import BrokenError, Scan, StoppedError


def event(number: int, **fields: Any) -> bytes:
    made = {
        "type": "page",
        "messageId": f"m-{number}",
        "userId": f"u-{number}",
        "timestamp": f"2026-11-{number % 28 + 1:02}T00:00:00Z",
        **fields,
    }
    return orjson.dumps(made) + b"\n"


class Read:
    """One reading and what came of it."""

    def __init__(self, *names: str | Path, **options: Any) -> None:
        self.report = Report()
        self.ids: list[str] = []
        self.moments: list[int] = []
        listing = sources.find(list(map(str, names)))
        self.report.files_skipped = listing.skipped
        chosen = options.pop("chosen", Filter())
        reader = Reader(max_event_bytes=32768)
        Scan(reader, chosen, self.report, self._take, **options).read(listing.files)

    def _take(self, events: Sequence[Event]) -> None:
        for at, key, raw in events:
            self.ids.append(orjson.loads(raw)["messageId"])
            self.moments.append(at)
            assert key

    @property
    def places(self) -> list[str]:
        return [problem.place for problem in self.report.problems]


def test_a_tree_is_read_in_order_and_what_is_no_log_left_out(tmp_path: Path) -> None:
    # Segment's S3 archive, and RudderStack's object storage next to it.
    segment = tmp_path / "segment-logs" / "source-1" / "1793577600000"
    rudder = tmp_path / "rudder-logs" / "source-2" / "2026-11-02"
    for folder in (segment, rudder, tmp_path / ".git"):
        folder.mkdir(parents=True)
    (segment / "1793606400000.b27b.f4c8.uuid.gz").write_bytes(gzip.compress(event(1) + event(2)))
    (segment.parent / "dummy-object.txt").write_text("dummy")
    (rudder / "1793606400.source-2.uuid.json.gz").write_bytes(gzip.compress(event(3)))
    (rudder / "_SUCCESS").touch()
    (rudder / "empty.json").touch()
    (tmp_path / ".git" / "config").write_text("[core]")
    read = Read(tmp_path)
    assert read.ids == ["m-3", "m-1", "m-2"]
    assert (read.report.files, read.report.files_skipped) == (3, 3)
    assert (read.report.read, read.report.left, len(read.report.people)) == (3, 3, 3)


def test_compression_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(event(1))
    (tmp_path / "b.json").write_bytes(gzip.compress(event(2)) + gzip.compress(event(3)))
    (tmp_path / "c.gz").write_bytes(gzip.compress(gzip.compress(event(4))))
    assert Read(tmp_path).ids == ["m-1", "m-2", "m-3", "m-4"]


def test_a_broken_line_has_a_place_and_its_neighbours_are_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    batch = {"batch": [orjson.loads(event(3)), {"type": "page"}]}
    log.write_bytes(event(1) + b"\n{oops\n" + event(2) + orjson.dumps(batch))
    read = Read(log)
    assert read.ids == ["m-1", "m-2", "m-3"]
    assert read.places == [f"{log}:3", f"{log}:5[1]"]
    assert read.report.broken == {"not-json": 1, "no-ids": 1}
    assert (read.report.read, read.report.left) == (5, 3)


def test_a_broken_file_keeps_what_was_before_and_the_next_file_is_read(tmp_path: Path) -> None:
    many = b"".join(map(event, range(20_000)))
    (tmp_path / "a").write_bytes(gzip.compress(many)[:-5_000])
    (tmp_path / "b").write_bytes(b"\x89PNG\x00\x1a\n")
    (tmp_path / "c").write_bytes(b"Obj\x01 and nothing that is Avro")
    (tmp_path / "d").write_bytes(event(1))
    read = Read(tmp_path)
    assert len(read.ids) > 15_000
    assert read.ids[-1] == "m-1"
    assert read.report.files_broken == 3
    assert [place.removeprefix(str(tmp_path)) for place in read.places[1:]] == ["/b", "/c"]
    assert read.places[0].startswith(f"{tmp_path}/a:")
    assert read.report.left == len(read.ids)


def test_strict_stops_at_the_first(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(event(1) + b"oops\n" + event(2))
    with pytest.raises(BrokenError, match=r"log:2: .*--strict"):
        Read(log, strict=True)
    log.write_bytes(gzip.compress(event(1) * 1_000)[:-20])
    with pytest.raises(BrokenError, match="log"):
        Read(log, strict=True)


def test_filters_count(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(event(1) + event(2, type="screen") + event(3))
    read = Read(log, chosen=Filter(types=frozenset({"page"}), people=frozenset({"u-3"})))
    assert read.ids == ["m-3"]
    assert read.report.filtered == {"person": 1, "type": 1}
    assert len(read.report.people) == 1


def test_an_event_without_a_time_keeps_its_place_in_the_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(event(5) + event(6, timestamp=None) + event(7))
    read = Read(log)
    assert read.moments[0] == read.moments[1] < read.moments[2]


def test_it_stops_when_asked_to(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(map(event, range(3_000))))
    looks = iter([False, True])
    with pytest.raises(StoppedError):
        Read(log, should_stop=lambda: next(looks))


def test_progress_is_told_in_stored_bytes(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    for name in "ab":
        (tmp_path / name).write_bytes(gzip.compress(b"".join(map(event, range(1_500)))))
    Read(tmp_path, on_progress=lambda size, events: told.append((size, events)))
    assert told == sorted(told)
    assert told[-1] == (sources.find([str(tmp_path)]).size, 3_000)


def test_standard_input_may_come_in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 1, 1))

    stdin = Slow(gzip.compress(event(1) + event(2)))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))
    read = Read("-")
    assert read.ids == ["m-1", "m-2"]
    assert sources.find(["-"]).size is None


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="gone: no such file"):
        sources.find([str(tmp_path / "gone")])
    with pytest.raises(SettingsError, match="once only"):
        sources.find(["-", "-"])


# -- addresses


@pytest.mark.parametrize(("address", "extra"), [("s3://b/x", "s3"), ("gs://b/x", "gcs")])
def test_an_address_without_its_library_names_the_extra(
    address: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib, "import_module", _no_module)
    with pytest.raises(SettingsError, match=rf"pip install 'encharge-streams\[{extra}\]'"):
        sources.find([address])


def _no_module(name: str) -> Any:
    raise ModuleNotFoundError(name)


class Store:
    """A file system as fsspec has them."""

    def __init__(self, **files: bytes) -> None:
        self.files = {name.replace("__", "/"): content for name, content in files.items()}

    def isfile(self, path: str) -> bool:
        return path in self.files

    def info(self, path: str) -> dict[str, Any]:
        return {"size": len(self.files[path])}

    def find(self, path: str, detail: bool) -> dict[str, Any]:
        assert detail
        return {name: self.info(name) for name in self.files if name.startswith(path)}

    def open(self, path: str, mode: str) -> io.BytesIO:
        assert mode == "rb"
        return io.BytesIO(self.files[path])


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store(
        bucket__logs__b=gzip.compress(event(2)),
        bucket__logs__a=event(1),
        **{"bucket__logs__dummy-object.txt": b"dummy"},
    )
    core = SimpleNamespace(url_to_fs=lambda url: (store, url.split("://")[1]))
    monkeypatch.setattr(importlib, "import_module", lambda _: core)
    return store


@pytest.mark.parametrize("address", ["s3://bucket/logs", "gs://bucket/logs/"])
def test_an_address_is_read_like_a_folder(store: Store, address: str) -> None:
    read = Read(address)
    assert read.ids == ["m-1", "m-2"]
    assert read.report.files_skipped == 1
    assert sources.find(["s3://bucket/logs/a"]).files[0].name == "s3://bucket/logs/a"


def test_an_address_with_nothing_is_said(store: Store) -> None:
    with pytest.raises(SettingsError, match="there is nothing"):
        sources.find(["s3://bucket/other"])


def test_fsspec_itself() -> None:
    fsspec = pytest.importorskip("fsspec", reason="comes with the extras s3 and gcs")
    memory = fsspec.filesystem("memory")
    memory.pipe({"/logs/day/a": gzip.compress(event(1)), "/logs/b": event(2)})
    assert Read("memory://logs").ids == ["m-2", "m-1"]
    assert Read("memory://logs/b").ids == ["m-2"]
