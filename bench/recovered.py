"""Contestant: the recovery of a table from its changelog, on an empty disk or in memory.

``python -m bench.recovered NAME BOOTSTRAP SOURCE CHANGELOG GROUP KEYS DIRECTORY``, where NAME is
``stock-`` or ``chunk-`` and ``memory`` or ``rocksdb``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import faust
import uvloop

from bench.broker import PARTITIONS
from bench.result import Result, Stopwatch, report
from streams.app import new_faust_app
from streams.engine.chunks import ChunkTopic
from streams.engine.producer import BatchProducer
from streams.engine.stores import MemoryStore, RocksStore
from streams.engine.tables import ChunkTable
from streams.settings import load

POLL_SECONDS: Final = 0.002


class _Table(ChunkTable):
    """A table on a changelog that is there already."""

    def __init__(self, *args: Any, changelog: str, **options: Any) -> None:
        self._name_of_changelog = changelog
        super().__init__(*args, **options)

    def _changelog_topic_name(self) -> str:
        return self._name_of_changelog

    def keys(self) -> Iterable[bytes]:
        for partition in range(PARTITIONS):
            yield from self.data.partition(partition).keys(b"key-")


def stock(store: str, bootstrap: str, changelog: str, group: str, directory: str) -> Any:
    """Faust as it is installed, and a table of it."""
    app = faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        store=f"{store}://",
        datadir=directory,
        consumer_auto_offset_reset="earliest",
        topic_partitions=PARTITIONS,
        # Neither has a part in what a key costs; both cost time at the start.
        topic_disable_leader=True,
        web_enabled=False,
    )
    table = app.Table(
        "rows",
        key_type=bytes,
        value_type=bytes,
        partitions=PARTITIONS,
        changelog_topic=app.topic(
            changelog,
            key_type=bytes,
            value_type=bytes,
            partitions=PARTITIONS,
            acks=False,
            allow_empty=True,
        ),
    )
    return app, table


def chunked(store: str, bootstrap: str, changelog: str, group: str, directory: str) -> Any:
    """The worker's app, and a table of the engine."""
    app = new_faust_app(
        load(
            {
                "kafka_bootstrap_servers": bootstrap,
                "streams_app_id": group,
                "streams_data_dir": directory,
                "streams_partitions": PARTITIONS,
                "streams_session_seconds": 10,
            }
        )
    )
    table = _Table(
        app,
        changelog=changelog,
        name="rows",
        partitions=PARTITIONS,
        open_store=lambda partition: (
            MemoryStore()
            if store == "memory"
            else RocksStore(Path(directory) / "rows" / str(partition))
        ),
        producer=BatchProducer(max_batch_bytes=1),  # nothing is written, so it is not started
    )
    return app, app.tables.add(table)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one contestant is to do."""

    name: str
    bootstrap: str
    source: str
    changelog: str
    group: str
    keys: int
    directory: str


async def run(turn: Turn) -> Result:
    """Recover ``keys`` keys. The clock runs from Faust's first seek to its last signal."""
    kind, _, store = turn.name.partition("-")
    make = stock if kind == "stock" else chunked
    app, table = make(store, turn.bootstrap, turn.changelog, turn.group, turn.directory)
    # Changelogs are assigned along with the topic that they belong to.
    topic = ChunkTopic(app, topics=[turn.source]) if kind == "chunk" else app.topic(turn.source)

    @app.agent(topic)  # type: ignore[untyped-decorator]
    async def no_op(stream: Any) -> None:
        async for _ in stream:
            pass

    starting = asyncio.ensure_future(app.start())
    try:
        recovery = app.tables.recovery
        while not (recovery.in_recovery and recovery.need_recovery()):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
        watch = Stopwatch()
        await recovery.completed.wait()
        result = watch.stop(turn.keys)
        await starting
        found = sum(1 for _ in iter(table.keys()))
        if found != turn.keys:
            raise SystemExit(f"{turn.name}: {found} of {turn.keys} keys were recovered")
        return result
    finally:
        await app.stop()


if __name__ == "__main__":
    contestant, address, agent_topic, changelog_topic, group_id, count, folder = sys.argv[1:]
    uvloop.install()
    turn = Turn(contestant, address, agent_topic, changelog_topic, group_id, int(count), folder)
    report(asyncio.run(run(turn)))
