"""The composition root: from settings to a running worker."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import faust
import structlog
from faust.exceptions import ConsistencyError
from faust.types.auth import SASLMechanism
from yarl import URL

from streams import config, topics
from streams.avro.reader import AvroReader
from streams.avro.registry import Registry, connected
from streams.avro.schemas import known as known_schemas
from streams.destinations import registry
from streams.destinations.base import Destination
from streams.engine.app import ChunkApp
from streams.engine.garbage import collected_by_the_clock
from streams.engine.lease import Lease
from streams.engine.producer import BatchProducer
from streams.errors import BreakerError, BrokerError, SettingsError
from streams.group import store_root
from streams.pipeline import Pipeline, owned_topics, published_as
from streams.settings import SASL_PROTOCOLS, SecurityProtocol, Settings
from streams.telemetry.metrics import AllMetrics
from streams.telemetry.summary import Summary
from streams.web.server import Health, Reason, serve

log = structlog.get_logger(__name__)

MAX_BATCH_BYTES = 900_000
"""Largest batch produced: below the 1 MiB that brokers accept unless told otherwise."""

CHUNKS_WAITING = 32
"""Chunks that may wait before an agent; more are left in the client."""

HEARTBEATS = 4
"""In the length of a session."""

LEASE_SHARE = 1 - 1 / HEARTBEATS
"""Of a session: the broker counts it from the last heartbeat, which may be that long ago."""

BROKER_SECONDS = 5.0
"""How often Kafka is asked for a sign of life, and how long it has for it."""

STOP_GRACE_SECONDS = 10.0
"""For leaving the group and closing connections, after the drain."""

END_SECONDS = 20.0
"""More than an orderly end takes, where nothing hangs."""


async def run(
    settings: Settings,
    *,
    stop: asyncio.Event,
    started: Callable[[str], None] = lambda _: None,
) -> None:
    """Run a worker until ``stop`` is set, then drain, commit and return.

    ``started`` is called with the address of the web server. Raises ``SettingsError``,
    ``BrokerError`` or ``RegistryError`` when the worker cannot start, ``BrokerError`` when it
    cannot go on, and ``BreakerError`` when too many events become dead letters.
    """
    async with connected(settings) as schema_registry:
        await _run(settings, schema_registry, stop=stop, started=started)


async def _run(
    settings: Settings,
    schema_registry: Registry | None,
    *,
    stop: asyncio.Event,
    started: Callable[[str], None],
) -> None:
    configured = config.load(settings.streams_config, registry.CHECKS)
    destinations = registry.build(settings, configured)
    _make_data_directory(settings)
    names = [each.destination.name for each in destinations]
    sources = await topics.ensure(settings, owned_topics(settings, names))
    avro = AvroReader(known_schemas(settings.streams_avro_schemas), schema_registry)
    encoders = await published_as(settings, names, schema_registry)
    metrics = AllMetrics()
    health = Health()
    lease = Lease(
        LEASE_SHARE * settings.streams_session_seconds,
        on_lost=lambda gap: _end_at_once(settings, gap),
    )
    producer = BatchProducer(
        max_batch_bytes=MAX_BATCH_BYTES,
        may_send=lease.holds,
        **settings.kafka_client_options(),
    )
    await producer.start()
    pipeline = None
    metrics.before_reading(lambda: _tell_readiness(health, metrics))
    # What has no destination yet is told on its own.
    summaries = [Summary(name, metrics.of(name).totals) for name in ("", *names)]
    watching = [
        asyncio.ensure_future(_watch_broker(producer, health)),
        *(asyncio.ensure_future(summary.tell_now_and_then()) for summary in summaries),
    ]
    try:
        pipeline = Pipeline(
            settings,
            sources=sources,
            destinations=destinations,
            producer=producer,
            avro=avro,
            encoders=encoders,
            metrics=metrics,
            health=health,
            # The embedded broker misreports where a topic ends, and a store on disk looks
            # ahead of it.
            new_app=partial(new_faust_app, trust_end_offsets=producer.is_idempotent),
            may_send=lease.holds,
            stop=stop.set,
        )
        apps = [group.app for group in pipeline.groups]
        lease.keep()
        rehearsed = partial(_rehearsed, settings, configured)
        async with serve(settings, metrics, health, destinations, rehearsed) as address:
            started(address)
            await _run_apps(settings, apps, stop, health, sources=sources, web=address)
        if pipeline.tripped is not None:
            raise BreakerError(pipeline.tripped)
        for group in pipeline.groups:
            if group.app.crashed:
                raise BrokerError(_why_crashed(group.settings, group.app.crash_reason))
    finally:
        for task in watching:
            task.cancel()
        with _ended_within(END_SECONDS):
            if pipeline is not None:
                await pipeline.close()
            await producer.stop()
        lease.end()
        for summary in summaries:
            summary.tell()


def _rehearsed(settings: Settings, configured: config.Config) -> list[Destination]:
    """The destinations for a dry run: they share nothing with those that are called."""
    dry = settings.model_copy(update={"streams_dry_run": True})
    return [each.destination for each in registry.build(dry, configured)]


async def _watch_broker(producer: BatchProducer, health: Health) -> None:
    while True:
        answers = await producer.reaches_a_broker(within=BROKER_SECONDS)
        health.broker_away(None if answers else "no broker answers")
        await asyncio.sleep(BROKER_SECONDS)


def _tell_readiness(health: Health, metrics: AllMetrics) -> None:
    holding = health.not_ready()
    for reason in Reason:
        metrics.not_ready(reason, reason in holding)


async def _run_apps(
    settings: Settings, apps: Sequence[ChunkApp], stop: asyncio.Event, health: Health, **told: Any
) -> None:
    """Run until ``stop`` is set or one of the apps crashes; then stop them all."""
    try:
        await asyncio.gather(*(app.start() for app in apps))
        log.info("worker started", **told)
        async with collected_by_the_clock():
            await _first([app.wait_for_stopped(stop) for app in apps])
    finally:
        health.stopping()
        crashed = next((app for app in apps if app.crashed), None)
        if crashed is not None:
            log.error("worker stops", why=_why_crashed(settings, crashed.crash_reason))
        else:
            log.info("worker stops")
        drain = 0 if crashed is not None else settings.streams_drain_seconds
        with _ended_within(drain + STOP_GRACE_SECONDS + END_SECONDS):
            # One that crashed keeps the others from nothing: they drain.
            await asyncio.gather(*(app.stop() for app in apps))


async def _first(waits: Sequence[Coroutine[Any, Any, Any]]) -> None:
    """Return when one of ``waits`` is done."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    for task in done:
        task.result()


@contextmanager
def _ended_within(seconds: float) -> Iterator[None]:
    """See to it that the process ends: what broke may also hold up its orderly end.

    What is not committed is read again at the next start, as after a kill.
    """

    def end() -> None:
        log.error(f"the worker did not end within {seconds:g} s, and is ended here")
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end_at_once(settings: Settings, gap: float) -> None:
    log.error(
        f"this worker stood still for {gap:.1f} s, and STREAMS_SESSION_SECONDS is "
        f"{settings.streams_session_seconds:g}: its partitions may be others' by now. It ends "
        "here, with nothing written over theirs; start it again"
    )
    # An orderly end would call, produce and commit what is not its own any more.
    os._exit(1)


def _why_crashed(settings: Settings, reason: BaseException | None) -> str:
    if isinstance(reason, ConsistencyError):
        return (
            f"STREAMS_DATA_DIR: the stores under {store_root(settings)} are ahead of their "
            "changelog topics, so those were deleted or are not the ones they were made from. "
            "Remove that folder (the stores are made again from Kafka), or use another "
            f"STREAMS_APP_ID. ({' '.join(str(reason).split())})"
        )
    return f"the worker cannot go on: {type(reason).__name__}: {reason}"


def _make_data_directory(settings: Settings) -> None:
    try:
        settings.streams_data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"STREAMS_DATA_DIR: cannot make {settings.streams_data_dir}: {error.strerror}"
        ) from error


def new_faust_app(settings: Settings, *, trust_end_offsets: bool = True) -> ChunkApp:
    """The Faust app: consumer group, topics and tables as the engine needs them.

    With ``trust_end_offsets`` a worker whose stores are ahead of their changelogs stops.
    """
    return ChunkApp(
        settings.streams_app_id,
        drain_seconds=settings.streams_drain_seconds,
        broker=[URL(f"kafka://{address}") for address in _addresses(settings)],
        broker_credentials=_credentials(settings),
        broker_session_timeout=settings.streams_session_seconds,
        broker_heartbeat_interval=settings.streams_session_seconds / HEARTBEATS,
        broker_commit_interval=1.0,
        broker_max_poll_records=10_000,
        # How long a rebalance waits for this worker: longer than its drain.
        broker_rebalance_timeout=settings.streams_drain_seconds + STOP_GRACE_SECONDS,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=CHUNKS_WAITING,
        stream_wait_empty=True,
        recovery_consistency_check=trust_end_offsets,
        store="memory://",
        datadir=settings.streams_data_dir / "faust",
        topic_partitions=settings.streams_partitions,
        # Topics are made before the app starts, with what they need (streams.topics).
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )


def _addresses(settings: Settings) -> list[str]:
    return [part.strip() for part in settings.kafka_bootstrap_servers.split(",") if part.strip()]


def _credentials(settings: Settings) -> Any:
    protocol = settings.kafka_security_protocol
    context = None
    if protocol in (SecurityProtocol.SSL, SecurityProtocol.SASL_SSL):
        context = settings.kafka_ssl_context()
    if protocol in SASL_PROTOCOLS:
        assert settings.kafka_sasl_password is not None  # noqa: S101 - checked on construction
        return faust.SASLCredentials(
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password.get_secret_value(),
            mechanism=SASLMechanism(settings.kafka_sasl_mechanism),
            ssl_context=context,
        )
    return faust.SSLCredentials(context=context) if context is not None else None
