"""The composition root: from settings to a running worker."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

import faust
import structlog
from faust.exceptions import ConsistencyError
from faust.types.auth import SASLMechanism
from yarl import URL

from streams import config, topics
from streams.destinations import registry
from streams.engine.app import ChunkApp
from streams.engine.garbage import collected_by_the_clock
from streams.engine.lease import Lease
from streams.engine.producer import BatchProducer
from streams.errors import BreakerError, BrokerError, SettingsError
from streams.pipeline import Pipeline, changelogs, published, store_root
from streams.settings import SASL_PROTOCOLS, SecurityProtocol, Settings
from streams.telemetry.metrics import Metrics
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

CRASH_SECONDS = 20.0
"""For the orderly end of a worker that crashed."""

BROKER_SECONDS = 5.0
"""How often Kafka is asked for a sign of life, and how long it has for it."""

STOP_GRACE_SECONDS = 10.0
"""For leaving the group and closing connections, after the drain."""


async def run(
    settings: Settings,
    *,
    stop: asyncio.Event,
    started: Callable[[str], None] = lambda _: None,
) -> None:
    """Run a worker until ``stop`` is set, then drain, commit and return.

    ``started`` is called with the address of the web server. Raises ``SettingsError`` or
    ``BrokerError`` when the worker cannot start, ``BrokerError`` when it cannot go on, and
    ``BreakerError`` when too many events become dead letters.
    """
    destination = registry.build(settings, config.load(settings.streams_config, registry.check))
    _make_data_directory(settings)
    sources = await topics.ensure(
        settings, topics.owned_topics(settings, changelogs(settings), published(settings))
    )
    metrics = Metrics()
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
    # The embedded broker misreports where a topic ends, and a store on disk looks ahead of it.
    app = new_faust_app(settings, trust_end_offsets=producer.is_idempotent)
    pipeline = Pipeline(
        app,
        settings,
        sources=sources,
        destination=destination,
        producer=producer,
        metrics=metrics,
        on_misconfigured=health.destination_refuses,
        on_tripped=health.breaker_tripped,
        stop=stop.set,
    )
    health.watch(app)
    health.watch_destination(pipeline.destination_away_because)
    metrics.before_reading(lambda: _tell_readiness(health, metrics))
    summary = Summary(destination.name, metrics.totals)
    lease.keep()
    watching = asyncio.ensure_future(_watch_broker(producer, health))
    summing = asyncio.ensure_future(summary.tell_now_and_then())
    try:
        async with serve(settings, metrics, health) as address:
            started(address)
            try:
                await app.start()
                log.info("worker started", sources=sources, web=address)
                async with collected_by_the_clock():
                    await app.wait_for_stopped(stop)
            finally:
                health.stopping()
                if app.crashed:
                    log.error("worker stops", why=_why_crashed(settings, app.crash_reason))
                    _end_within(CRASH_SECONDS)
                else:
                    log.info("worker stops")
                await app.stop()
        if pipeline.tripped is not None:
            raise BreakerError(pipeline.tripped)
        if app.crashed:
            raise BrokerError(_why_crashed(settings, app.crash_reason))
    finally:
        watching.cancel()
        summing.cancel()
        await pipeline.close()
        await producer.stop()
        lease.end()
        summary.tell()


async def _watch_broker(producer: BatchProducer, health: Health) -> None:
    while True:
        answers = await producer.reaches_a_broker(within=BROKER_SECONDS)
        health.broker_away(None if answers else "no broker answers")
        await asyncio.sleep(BROKER_SECONDS)


def _tell_readiness(health: Health, metrics: Metrics) -> None:
    holding = health.not_ready()
    for reason in Reason:
        metrics.not_ready(reason, reason in holding)


def _end_within(seconds: float) -> None:
    """See to it that a worker that crashed ends: what broke may also hold up its orderly end.

    What is not committed is read again at the next start, as after a kill.
    """
    end = threading.Timer(seconds, os._exit, [1])
    end.daemon = True
    end.start()


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
