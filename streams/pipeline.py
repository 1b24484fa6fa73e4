"""The pipeline on one page: the stages in order, and what connects them.

::

    source topic(s)
        | ingest    decode, validate, filter by `integrations`, re-key by person
        v
    <app id>-events        one partition holds all events of a person, in order
        | resolve   skip duplicates, learn and apply identities, pick subscriptions
        v
    identify  track  page  group  alias  tag  untag  delete     per-action streams
        | one agent each: map events to requests
        |           (and publish them to <app id>-<action>, if asked to)
        v
    window    by size or age, coalesced                         one for each partition
        | deliver   a lane for each person
        v
    destination            -> delivered | coalesced
    dead letters           <- from ingest, resolve and deliver

Beside it, co-partitioned with ``<app id>-events``, two tables: ``identities`` (devices,
users, aliases) and ``seen`` (delivered messageIds).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from faust.types import TP

from streams import agents
from streams.batching.coalesce import coalesce
from streams.batching.pending import Pending
from streams.batching.window import Windows
from streams.dead_letters.breaker import Breaker, Trip
from streams.dead_letters.producer import DeadLetters
from streams.delivery.deliver import Deliverer, DryRun, LaneDeliverer
from streams.delivery.limiter import RateLimiter
from streams.delivery.reach import Reach, WatchedSender
from streams.delivery.seen import SeenTable, age
from streams.delivery.sender import HttpSender
from streams.delivery.settle import Settlement
from streams.destinations.base import Destination
from streams.engine.app import ChunkApp
from streams.engine.chunks import ChunkTopic
from streams.engine.producer import BatchProducer
from streams.engine.stores import FORMAT_VERSION, Directory, MemoryStore, RocksStore, Store
from streams.engine.tables import ChunkTable
from streams.engine.tasks import Tasks
from streams.routing.publish import Publisher, published_topic
from streams.routing.resolve import DELETE, Resolve
from streams.settings import Settings, TableStore
from streams.source.ingest import Ingest
from streams.telemetry.metrics import Metrics

ACTIONS: Final = ("identify", "track", "page", "group", "alias", "tag", "untag", DELETE)
"""The per-action streams."""

IDENTITIES: Final = "identities"
SEEN: Final = "seen"

HALT_SECONDS: Final = 10.0
"""How long open calls and writes are waited for when the breaker has tripped."""


def changelogs(settings: Settings) -> Mapping[str, Mapping[str, str]]:
    """Topic configuration of each table's changelog, by table name."""
    return {
        IDENTITIES: {"cleanup.policy": "compact"},
        SEEN: {
            "cleanup.policy": "delete",
            "retention.ms": str(settings.streams_dedup_seconds * 1000),
        },
    }


def published(settings: Settings) -> list[str]:
    """The topics that the per-action streams are published to; none unless asked for."""
    if not settings.streams_publish_actions:
        return []
    return [published_topic(settings.streams_app_id, action) for action in ACTIONS]


class Pipeline:
    """The stages of one worker and one destination, wired together."""

    def __init__(
        self,
        app: ChunkApp,
        settings: Settings,
        *,
        sources: Sequence[str],
        destination: Destination,
        producer: BatchProducer,
        metrics: Metrics,
        on_misconfigured: Callable[[str | None], None],
        on_tripped: Callable[[str], None],
        stop: Callable[[], None],
    ) -> None:
        """``on_tripped`` is told why so many events die that the worker is about to stop.

        ``stop`` is called when it may.
        """
        self._app = app
        self._on_tripped = on_tripped
        self._stop = stop
        self.tripped: str | None = None
        """Why the breaker has stopped the worker, if it has."""
        self._settings = settings
        self._metrics = metrics
        self._paused: set[int] = set()
        self._crash: asyncio.Future[None] | None = None
        self._directory: Directory | None = None
        self._tasks = Tasks(self.fail)
        dead_letters = DeadLetters(producer, settings.dlq_topic)
        self._identities = ChunkTable(
            app,
            name=IDENTITIES,
            partitions=settings.streams_partitions,
            open_store=self._opener(IDENTITIES),
            producer=producer,
        )
        seen = SeenTable(
            app,
            name=SEEN,
            partitions=settings.streams_partitions,
            open_store=self._opener(SEEN, ttl_seconds=settings.streams_dedup_seconds, age=age),
            producer=producer,
            horizon_seconds=settings.streams_dedup_seconds,
        )
        self._tables = [app.tables.add(self._identities), app.tables.add(seen)]
        self._settlement = Settlement(
            remember=seen.remember,
            bury=dead_letters.bury,
            settled=self._settled,
            metrics=metrics,
            tasks=self._tasks,
            breaker=Breaker(
                share=settings.streams_dlq_breaker_share,
                events=settings.streams_dlq_breaker_events,
                seconds=settings.streams_dlq_breaker_seconds,
            ),
            on_trip=self._trip,
        )
        self._destination = destination
        self._reach = Reach()
        self._deliverer = self._new_deliverer(on_misconfigured)
        self._windows = Windows(
            max_events=settings.streams_batch_max_events,
            max_seconds=settings.streams_batch_max_seconds,
            flush=self._flush,
        )
        channels = agents.channels_for(app, ACTIONS)
        self._resolve = Resolve(
            destination=destination,
            identities=self._identities,
            seen=seen,
            streams=channels,
            submit=self._windows.add,
            settlement=self._settlement,
            dead_letters=dead_letters,
            metrics=metrics,
            tasks=self._tasks,
            consumer=lambda: app.consumer,
            on_load=self._on_load,
        )
        self._ingest = Ingest(
            producer=producer,
            stage_topic=settings.stage_topic,
            partitions=settings.streams_partitions,
            max_event_bytes=settings.streams_max_event_bytes,
            integration_names=destination.integration_names,
            dead_letters=dead_letters,
            metrics=metrics,
            tasks=self._tasks,
            consumer=lambda: app.consumer,
        )
        agents.declare_ingest(app, ChunkTopic(app, topics=list(sources)), self._ingest)
        agents.declare_resolve(app, ChunkTopic(app, topics=[settings.stage_topic]), self._resolve)
        publisher = Publisher(producer, settings) if settings.streams_publish_actions else None
        agents.declare_actions(app, channels, self._resolve, publisher)
        app.when_draining(self._drain)
        app.when_abandoned(self._abandon)
        metrics.before_reading(self._measure)

    # -- window -> deliver

    def _flush(self, partition: int, window: list[Pending]) -> None:  # noqa: ARG002
        self._metrics.window(len(window))
        events: Iterable[Pending] = window
        try:
            if self._settings.streams_coalesce:
                events = coalesce(window, self._destination.merge)
            self._deliverer.take(events)
        except Exception as error:
            # A timer called, and would only log it; the window's events would wait for ever.
            self.fail(error)

    def _new_deliverer(self, on_misconfigured: Callable[[str | None], None]) -> Deliverer:
        settings = self._settings
        if settings.streams_dry_run:
            return DryRun(self._settlement)
        return LaneDeliverer(
            destination=self._destination,
            sender=WatchedSender(
                HttpSender(
                    max_connections=settings.streams_max_concurrency,
                    timeout_seconds=settings.streams_request_timeout_seconds,
                ),
                self._reach,
            ),
            settlement=self._settlement,
            limiter=RateLimiter(settings.streams_max_requests_per_second, self._metrics),
            metrics=self._metrics,
            tasks=self._tasks,
            concurrency=settings.streams_max_concurrency,
            retry_max_seconds=settings.streams_retry_max_seconds,
            on_misconfigured=on_misconfigured,
        )

    def _settled(self, events: Sequence[Pending]) -> None:
        self._resolve.settled(events)

    # -- backpressure

    def _on_load(self, partition: int, unsettled: int) -> None:
        limit = self._settings.streams_max_waiting_events
        if unsettled >= limit and partition not in self._paused:
            self._paused.add(partition)
            self._app.consumer.pause_partitions({TP(self._settings.stage_topic, partition)})
        elif unsettled <= limit // 2 and partition in self._paused:
            self._paused.discard(partition)
            self._app.consumer.resume_partitions({TP(self._settings.stage_topic, partition)})

    # -- stop, rebalance, failure

    def _drain(self) -> None:
        self._windows.flush_all()
        self._settlement.flush_all()

    def _abandon(self) -> None:
        self._paused.clear()
        self._windows.clear()
        self._deliverer.abandon()
        self._settlement.clear()
        self._resolve.abandon()

    def fail(self, error: BaseException) -> None:
        """End the worker: it cannot go on."""
        if self._crash is None:
            self._crash = asyncio.ensure_future(self._app.crash(error))

    def _trip(self, trip: Trip, last: str) -> None:
        settings = self._settings
        why = trip.explain(
            last,
            share=settings.streams_dlq_breaker_share,
            seconds=settings.streams_dlq_breaker_seconds,
        )
        self.tripped = why
        self._on_tripped(why)
        # At once: the event that may not be buried has no outcome, so its person's next waits.
        self._deliverer.halt()
        self._windows.clear()
        self._tasks.start(self._stop_tripped())

    async def _stop_tripped(self) -> None:
        """Stop when what was answered is remembered: it is not to be sent again."""
        await self._deliverer.answered(within=HALT_SECONDS)
        await self._settlement.written(within=HALT_SECONDS)
        # Nothing more gets an outcome here, so there is nothing to wait for.
        self._app.drain_seconds = 0
        self._stop()

    async def close(self) -> None:
        """End background work. Call after the app has stopped."""
        await self._deliverer.close()
        await self._tasks.cancel()
        if self._directory is not None:
            self._directory.close()

    # -- state

    def destination_away_because(self) -> str | None:
        """Why the destination is taken to be away; None when it is not, or nothing waits."""
        return self._reach.away_because() if self._resolve.unsettled() else None

    def _opener(
        self,
        table: str,
        ttl_seconds: int | None = None,
        age: Callable[[bytes], float] | None = None,
    ) -> Callable[[int], Store]:
        settings = self._settings
        if settings.streams_table_store is TableStore.MEMORY:
            return lambda _: MemoryStore(ttl_seconds, age)
        if self._directory is None:
            self._directory = Directory(store_root(settings))
        root = self._directory.path / table
        return lambda partition: RocksStore(root / str(partition), ttl_seconds)

    def _measure(self) -> None:
        self._metrics.unsettled(self._resolve.unsettled())
        for table in self._tables:
            self._metrics.table_rows(table.name, len(table.data))
        self._metrics.forget_lag()
        for tp, records in self._lags():
            self._metrics.lag(tp.topic, tp.partition, records)

    def _lags(self) -> Iterable[tuple[TP, int]]:
        ends: Mapping[Any, int | None] = self._app.monitor.tp_end_offsets
        for tp, start in self._app.consumer.uncommitted().items():
            end = ends.get(tp)
            if tp.topic in self._app.chunked_topics and end is not None:
                yield tp, max(end - start, 0)


def store_root(settings: Settings) -> Path:
    """Where the stores of this app live on disk."""
    return settings.streams_data_dir / settings.streams_app_id / f"v{FORMAT_VERSION}"
