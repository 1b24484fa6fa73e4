"""A worker whose only work is to recover a table: ``python -m tests.support.recovering JSON``.

It prints one line of JSON when the table is complete: what it holds, and how it got there.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from streams.app import new_faust_app
from streams.engine.chunks import ChunkTopic
from streams.engine.producer import BatchProducer
from streams.engine.stores import MemoryStore, RocksStore, Store
from streams.engine.tables import ChunkTable
from streams.settings import Settings

# ruff: noqa: T201 - its report goes to whoever started it

SECONDS = 60
TABLE = "rows"


@dataclass(frozen=True)
class Job:
    """What to recover, and whether to be killed at it."""

    bootstrap: str
    source: str
    app_id: str
    partitions: int
    session_seconds: float
    directory: str
    store: str = "rocksdb"
    kill_after: int | None = None
    """kill -9 when so many rows are written."""
    stop_after: int | None = None
    """Stop in good order when so many rows are written."""
    trust_end_offsets: bool = True

    def arguments(self) -> list[str]:
        return ["-m", "tests.support.recovering", orjson.dumps(asdict(self)).decode()]

    def changelog(self) -> str:
        return f"{self.app_id}-{TABLE}-changelog"


def fingerprint(rows: Iterable[tuple[bytes, bytes]]) -> str:
    """Of all keys and values."""
    made = hashlib.sha256()
    for key, value in sorted(rows):
        made.update(b"%d %b=%b;" % (len(key), key, value))
    return made.hexdigest()


class _Counting:
    """A store that counts what is written to it."""

    written = 0

    stop: asyncio.Event

    def __init__(self, store: Store, job: Job) -> None:
        self._store = store
        self._job = job
        self.found_offset = store.offset()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def __len__(self) -> int:
        return len(self._store)

    def write(self, rows: Mapping[bytes, bytes | None], offset: int) -> None:
        self._store.write(rows, offset)
        _Counting.written += len(rows)
        if _reached(self._job.kill_after):
            os.kill(os.getpid(), signal.SIGKILL)
        if _reached(self._job.stop_after):
            _Counting.stop.set()


def _reached(count: int | None) -> bool:
    return count is not None and _Counting.written >= count


async def main(job: Job) -> None:
    app = new_faust_app(
        Settings(
            kafka_bootstrap_servers=job.bootstrap,
            streams_app_id=job.app_id,
            streams_data_dir=Path(job.directory),
            streams_partitions=job.partitions,
            streams_session_seconds=job.session_seconds,
            streams_drain_seconds=1,
        ),
        trust_end_offsets=job.trust_end_offsets,
    )
    stores: dict[int, _Counting] = {}

    def open_store(partition: int) -> Any:
        store: Store = (
            MemoryStore()
            if job.store == "memory"
            else RocksStore(Path(job.directory) / TABLE / str(partition))
        )
        stores[partition] = _Counting(store, job)
        return stores[partition]

    table = app.tables.add(
        ChunkTable(
            app,
            name=TABLE,
            partitions=job.partitions,
            open_store=open_store,
            producer=BatchProducer(max_batch_bytes=1),  # nothing is written to the changelog
        )
    )

    @app.agent(ChunkTopic(app, topics=[job.source]))
    async def nothing(stream: Any) -> None:
        async for _ in stream.noack().events():
            pass

    _Counting.stop = asyncio.Event()
    starting = asyncio.ensure_future(app.start())
    stopping = asyncio.ensure_future(_Counting.stop.wait())
    try:
        async with asyncio.timeout(SECONDS):
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                return
            stopping.cancel()
            await starting
            await app.tables.recovery.completed.wait()
        rows = {
            partition: {key: table.get(partition, key) for key in store.keys(b"k")}
            for partition, store in sorted(stores.items())
        }
        print(
            orjson.dumps(
                {
                    "rows": [len(held) for held in rows.values()],
                    "fingerprints": [fingerprint(held.items()) for held in rows.values()],
                    "found": [store.found_offset for _, store in sorted(stores.items())],
                    "written": _Counting.written,
                }
            ).decode(),
            flush=True,
        )
    finally:
        await app.stop()


if __name__ == "__main__":
    given = Job(**orjson.loads(sys.argv[1]))
    Path(given.directory).mkdir(parents=True, exist_ok=True)
    asyncio.run(main(given))
