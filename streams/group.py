"""A consumer group: a Faust app, the topic that it settles event by event, and its tables."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from faust.types import TP

from streams.batching.pending import Pending
from streams.dead_letters.breaker import Breaker, Trip
from streams.dead_letters.producer import DeadLetters
from streams.delivery.seen import SeenTable, age
from streams.delivery.settle import Settlement
from streams.engine.app import ChunkApp
from streams.engine.producer import BatchProducer
from streams.engine.stores import FORMAT_VERSION, Directory, MemoryStore, RocksStore, Store
from streams.engine.tables import ChunkTable
from streams.engine.tasks import Tasks
from streams.errors import SettingsError
from streams.routing.intake import Intake
from streams.settings import Settings, TableStore
from streams.telemetry.metrics import Metrics

IDENTITIES: Final = "identities"
_SEEN: Final = "seen"

HALT_SECONDS: Final = 10.0
"""How long open calls and writes are waited for when the breaker has tripped."""


def changelog_config(settings: Settings, table: str) -> Mapping[str, str]:
    """How the changelog topic of a table is made."""
    if table == IDENTITIES:
        return {"cleanup.policy": "compact"}
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(settings.streams_dedup_seconds * 1000),
    }


def seen_table(destination: str = "") -> str:
    """The table of the messageIds that had their outcome, in the group of the whole pipeline.

    A destination's has its name, so that it is the same one, with the same changelog topic,
    when the destination gets a group of its own (:meth:`Settings.of_group`) or loses it.
    """
    return f"{destination}-{_SEEN}" if destination else _SEEN


def store_root(settings: Settings) -> Path:
    """Where the stores of a group live on disk."""
    return settings.streams_data_dir / settings.streams_app_id / f"v{FORMAT_VERSION}"


class Group:
    """What takes the events of one topic and brings each to its outcome in this group."""

    def __init__(
        self,
        settings: Settings,
        *,
        app: ChunkApp,
        topic: str,
        destination: str,
        producer: BatchProducer,
        metrics: Metrics,
        on_tripped: Callable[[str], None],
        stop: Callable[[], None],
        seen: str = _SEEN,
        passes_on: bool = False,
    ) -> None:
        """``destination``: the name of the one whose events are settled; empty: no one's.

        ``seen``: the name of the table of messageIds, as :func:`seen_table` says it.

        ``on_tripped`` is told why so many events die that the worker is about to stop, and
        ``stop`` is called when it may. ``passes_on``: see :class:`Intake`.
        """
        self.app = app
        self.settings = settings
        self.topic = topic
        self.producer = producer
        self.metrics = metrics
        self.tripped: str | None = None
        """Why the breaker has stopped the worker, if it has."""
        self._on_tripped = on_tripped
        self._stop = stop
        self._halting: list[Callable[[], None]] = []
        self._answered: list[Callable[..., Awaitable[None]]] = []
        self._draining: list[Callable[[], None]] = []
        self._paused: set[int] = set()
        self._crash: asyncio.Future[None] | None = None
        self._directory: Directory | None = None
        self.tasks = Tasks(self.fail)
        self.dead_letters = DeadLetters(producer, settings.dlq_topic)
        table = SeenTable(
            app,
            name=seen,
            partitions=settings.streams_partitions,
            open_store=self._opener(seen, ttl_seconds=settings.streams_dedup_seconds, age=age),
            producer=producer,
            horizon_seconds=settings.streams_dedup_seconds,
        )
        self._tables: list[ChunkTable] = [app.tables.add(table)]
        self.settlement = Settlement(
            remember=table.remember,
            bury=self.dead_letters.bury,
            settled=self._settled,
            metrics=metrics,
            tasks=self.tasks,
            breaker=Breaker(
                share=settings.streams_dlq_breaker_share,
                events=settings.streams_dlq_breaker_events,
                seconds=settings.streams_dlq_breaker_seconds,
            ),
            on_trip=self._trip,
            destination=destination,
        )
        self.intake = Intake(
            seen=table,
            dead_letters=self.dead_letters,
            metrics=metrics,
            tasks=self.tasks,
            consumer=self.consumer,
            on_load=self._on_load,
            passes_on=passes_on,
        )
        app.when_draining(self._drain)
        app.when_abandoned(self._abandon)
        metrics.before_reading(self._measure)

    def consumer(self) -> Any:
        """The Faust consumer, which there is only once the app has started."""
        return self.app.consumer

    def add_table(self, name: str) -> ChunkTable:
        """A table that is co-partitioned with the topic. Raises ``SettingsError``."""
        table = ChunkTable(
            self.app,
            name=name,
            partitions=self.settings.streams_partitions,
            open_store=self._opener(name),
            producer=self.producer,
        )
        self._tables.append(self.app.tables.add(table))
        return table

    def when_draining(self, flush: Callable[[], None]) -> None:
        """Have ``flush`` called when what waits should come to its outcome soon."""
        self._draining.append(flush)

    def when_halting(
        self, halt: Callable[[], None], answered: Callable[..., Awaitable[None]]
    ) -> None:
        """Have ``halt()`` called when the breaker trips, ``answered(within=)`` before the stop."""
        self._halting.append(halt)
        self._answered.append(answered)

    def _settled(self, events: Sequence[Pending]) -> None:
        self.intake.settled(events)

    # -- backpressure

    def _on_load(self, partition: int, unsettled: int) -> None:
        limit = self.settings.streams_max_waiting_events
        if unsettled >= limit and partition not in self._paused:
            self._paused.add(partition)
            self.app.consumer.pause_partitions({TP(self.topic, partition)})
        elif unsettled <= limit // 2 and partition in self._paused:
            self._paused.discard(partition)
            self.app.consumer.resume_partitions({TP(self.topic, partition)})

    # -- stop, rebalance, failure

    def _drain(self) -> None:
        for flush in self._draining:
            flush()
        self.settlement.flush_all()

    def _abandon(self) -> None:
        self._paused.clear()
        self.settlement.clear()
        self.intake.abandon()

    def fail(self, error: BaseException) -> None:
        """End the worker: it cannot go on."""
        if self._crash is None:
            self._crash = asyncio.ensure_future(self.app.crash(error))

    def _trip(self, trip: Trip, last: str) -> None:
        settings = self.settings
        explain = partial(
            trip.explain,
            share=settings.streams_dlq_breaker_share,
            seconds=settings.streams_dlq_breaker_seconds,
        )
        self.tripped = explain(last=last)
        self._on_tripped(explain())
        # At once: the event that may not be buried has no outcome, so its person's next waits.
        for halt in self._halting:
            halt()
        self.tasks.start(self._stop_tripped())

    async def _stop_tripped(self) -> None:
        """Stop when what was answered is remembered: it is not to be sent again."""
        for answered in self._answered:
            await answered(within=HALT_SECONDS)
        await self.settlement.written(within=HALT_SECONDS)
        # Nothing more gets an outcome here, so there is nothing to wait for.
        self.app.drain_seconds = 0
        self._stop()

    async def close(self) -> None:
        """End background work. Call after the app has stopped."""
        await self.tasks.cancel()
        if self._directory is not None:
            self._directory.close()

    # -- state

    def _opener(
        self,
        table: str,
        ttl_seconds: int | None = None,
        age: Callable[[bytes], float] | None = None,
    ) -> Callable[[int], Store]:
        if self.settings.streams_table_store is TableStore.MEMORY:
            return lambda _: MemoryStore(ttl_seconds, age)
        root = self._claimed() / table
        return lambda partition: RocksStore(root / str(partition), ttl_seconds)

    def _claimed(self) -> Path:
        if self._directory is None:
            root = store_root(self.settings)
            try:
                self._directory = Directory(root)
            except OSError as error:
                raise SettingsError(
                    f"STREAMS_DATA_DIR: cannot write in {root}: {error.strerror}"
                ) from error
        return self._directory.path

    def _measure(self) -> None:
        self.metrics.unsettled(self.intake.unsettled())
        for table in self._tables:
            self.metrics.table_rows(table.name, len(table.data))
        self.metrics.forget_lag()
        for tp, records in self._lags():
            self.metrics.lag(tp.topic, tp.partition, records)

    def _lags(self) -> Iterable[tuple[TP, int]]:
        ends: Mapping[Any, int | None] = self.app.monitor.tp_end_offsets
        for tp, start in self.app.consumer.uncommitted().items():
            end = ends.get(tp)
            if tp.topic in self.app.chunked_topics and end is not None:
                yield tp, max(end - start, 0)
