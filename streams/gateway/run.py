"""The gateway's composition root: from settings to a running server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import structlog
from aiohttp import web

from streams import topics
from streams.engine.producer import BatchProducer
from streams.errors import BrokerError, SettingsError
from streams.gateway.auth import WriteKeys
from streams.gateway.outbox import Outbox
from streams.gateway.room import Rates, Room
from streams.gateway.server import Gateway, Topics
from streams.settings import Settings
from streams.telemetry.gateway import GatewayMetrics
from streams.topics import TopicSpec

log = structlog.get_logger(__name__)

MAX_PRODUCED_BYTES: Final = 900_000
"""Largest batch produced: below the 1 MiB that brokers accept unless told otherwise."""

PARTITIONS_SECONDS: Final = 30.0
"""How often the number of partitions is looked up: it may grow."""

FLUSH_SECONDS: Final = 5.0
"""For what is underway at the end; it has been refused by then, and clients send it again."""

KEEP_ALIVE_SECONDS: Final = 75.0
BACKLOG: Final = 1024


async def run(
    settings: Settings,
    *,
    stop: asyncio.Event,
    is_open: bool = False,
    started: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until ``stop`` is set, then answer what was taken in and return.

    ``started`` is called with the address. Raises ``SettingsError`` or ``BrokerError`` when it
    cannot start, ``BrokerError`` when it cannot go on.
    """
    setting = settings.streams_write_keys
    keys = WriteKeys(None if setting is None else setting.get_secret_value(), is_open=is_open)
    topic = settings.gateway_topic
    await _ensure_topics(settings, topic)
    producer = BatchProducer(max_batch_bytes=MAX_PRODUCED_BYTES, **settings.kafka_client_options())
    await producer.start()
    try:
        outbox = Outbox(producer, confirm_seconds=settings.streams_gateway_confirm_seconds)
        counts = {name: await producer.partitions(name) for name in (topic, settings.dlq_topic)}
        counting = asyncio.ensure_future(_count_partitions(producer, counts))

        def not_ready_because() -> list[str]:
            reasons = []
            if stop.is_set():
                reasons.append("stopping: answering what was taken in")
            if outbox.is_stuck():
                reasons.append("kafka: does not confirm")
            return reasons

        gateway = Gateway(
            keys=keys,
            store=outbox.store,
            topics=Topics(
                topic,
                lambda: counts[topic],
                settings.dlq_topic,
                lambda: counts[settings.dlq_topic],
            ),
            room=Room(
                max_events=settings.streams_gateway_max_waiting_events,
                max_bytes=settings.streams_gateway_max_waiting_bytes,
            ),
            rates=Rates(
                settings.streams_gateway_max_events_per_second, asyncio.get_running_loop().time
            ),
            metrics=GatewayMetrics(),
            max_event_bytes=settings.streams_max_event_bytes,
            not_ready_because=not_ready_because,
        )
        try:
            async with _served(settings, gateway) as address:
                _tell(address, topic, keys)
                started(address)
                await _first(stop, outbox.broken)
                log.info("gateway stops")
        finally:
            counting.cancel()
            await outbox.close()
        if outbox.broken.done():
            outbox.broken.result()
    finally:
        await _stop(producer)


async def _first(stop: asyncio.Event, broken: asyncio.Future[None]) -> None:
    stopped = asyncio.ensure_future(stop.wait())
    waiting: list[asyncio.Future[Any]] = [stopped, broken]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()


def _tell(address: str, topic: str, keys: WriteKeys) -> None:
    if keys.is_open:
        log.warning("the gateway is open: it takes events from anyone")
    elif not keys.names:
        log.warning("STREAMS_WRITE_KEYS is not set: every request is refused (401)")
    log.info("gateway started", topic=topic, gateway=address, sources=keys.names)


async def _ensure_topics(settings: Settings, topic: str) -> None:
    one = settings.model_copy(update={"streams_source_topic": topic})
    letters = TopicSpec(
        settings.dlq_topic, settings.streams_partitions, topics.DEAD_LETTERS, is_exact=False
    )
    await topics.ensure(one, [letters])


async def _count_partitions(producer: BatchProducer, counts: dict[str, int]) -> None:
    while True:
        await asyncio.sleep(PARTITIONS_SECONDS)
        for name in counts:
            # A broker that is away has not lost any: what was known last holds.
            with suppress(BrokerError):
                counts[name] = await producer.partitions(name)


@asynccontextmanager
async def _served(settings: Settings, gateway: Gateway) -> AsyncIterator[str]:
    server = web.Server(
        gateway.handle,
        # Unpacked here, with a limit (streams.gateway.parse).
        auto_decompress=False,
        access_log=None,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
    )
    # A stop waits so long for requests that were taken in.
    drain = settings.streams_gateway_confirm_seconds + 1.0
    runner = web.ServerRunner(server, shutdown_timeout=drain)
    await runner.setup()
    host, port = settings.streams_gateway_host, settings.streams_gateway_port
    try:
        try:
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        except OSError as error:
            raise SettingsError(
                f"STREAMS_GATEWAY_PORT: cannot listen on {host}:{port}: {error.strerror}"
            ) from error
        found = runner.addresses[0][1]
        yield f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{found}"  # noqa: S104
    finally:
        await runner.cleanup()


async def _stop(producer: BatchProducer) -> None:
    try:
        async with asyncio.timeout(FLUSH_SECONDS):
            await producer.stop()
    except TimeoutError:
        log.warning("kafka did not confirm what was refused; clients send it again")
