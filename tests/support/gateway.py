"""Gateways in a test: one in this process on a producer of the test's, one as a process."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from streams.gateway.auth import WriteKeys
from streams.gateway.outbox import Outbox
from streams.gateway.room import Rates, Room
from streams.gateway.run import _served
from streams.gateway.server import Gateway, Topics
from streams.settings import Settings
from streams.telemetry.gateway import GatewayMetrics
from tests.support.fakes import FakeProducer
from tests.support.process import Command

KEY = "WRITEKEY_TEST"
PARTITIONS = 4


class Served:
    """A gateway in this process."""

    def __init__(self, url: str, producer: FakeProducer, room: Room, outbox: Outbox) -> None:
        self.url = url
        self.producer = producer
        self.room = room
        self.outbox = outbox
        self.http = httpx.AsyncClient(base_url=url, auth=(KEY, ""), trust_env=False, timeout=30)

    async def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        return await self.http.post(path, content=content, **options)

    def events(self) -> list[dict[str, Any]]:
        """What is on the source topic, in the order of production."""
        return [orjson.loads(record.value or b"") for record in self.records("events")]

    def records(self, topic: str) -> list[Any]:
        return [r for name, _, records in self.producer.sent if name == topic for r in records]


@asynccontextmanager
async def served(
    *,
    keys: str | None = f"{KEY}:web",
    is_open: bool = False,
    producer: FakeProducer | None = None,
    max_events: int = 4_000,
    max_bytes: int = 32 << 20,
    per_second: float | None = None,
    confirm_seconds: float = 5.0,
) -> AsyncIterator[Served]:
    """A gateway on a free port whose records a ``FakeProducer`` takes."""
    producer = producer or FakeProducer(partitions=PARTITIONS)
    outbox = Outbox(producer, confirm_seconds=confirm_seconds)
    room = Room(max_events=max_events, max_bytes=max_bytes)
    gateway = Gateway(
        keys=WriteKeys(keys, is_open=is_open),
        store=outbox.store,
        topics=Topics("events", lambda: PARTITIONS, "letters", lambda: PARTITIONS),
        room=room,
        rates=Rates(per_second, asyncio.get_running_loop().time),
        metrics=GatewayMetrics(),
        max_event_bytes=32 * 1024,
        not_ready_because=lambda: ["kafka: does not confirm"] if outbox.is_stuck() else [],
    )
    settings = Settings(streams_gateway_host="127.0.0.1", streams_gateway_port=0)
    async with _served(settings, gateway) as url:
        found = Served(url, producer, room, outbox)
        try:
            yield found
        finally:
            await found.http.aclose()
    await outbox.close()


class GatewayProcess(Command):
    """A ``streams gateway`` process."""

    def __init__(self, bootstrap: str, topic: str, directory: Path, **settings: str) -> None:
        ours = {
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "STREAMS_SOURCE_TOPIC": topic,
            "STREAMS_APP_ID": f"app-{topic}",
            "STREAMS_WRITE_KEYS": f"{KEY}:web",
            "STREAMS_GATEWAY_HOST": "127.0.0.1",
            "STREAMS_GATEWAY_PORT": "0",
            "STREAMS_PARTITIONS": str(PARTITIONS),
        }
        super().__init__("gateway", directory / "gateway.log", {**ours, **settings})
        self.url = ""

    async def start(self, *, within: float = 60) -> GatewayProcess:
        """Start the process and wait until it listens."""
        position = await self._launch()
        deadline = time.monotonic() + within
        while time.monotonic() < deadline and not self.has_ended():
            text = self.logged_since(position)
            if '"gateway": "' in text:
                self.url = text.split('"gateway": "')[1].split('"')[0]
                return self
            await asyncio.sleep(0.05)
        raise AssertionError(f"the gateway did not start:\n{self.log()[-4000:]}")

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the process; gives its exit status."""
        return await self._end(number)


@asynccontextmanager
async def gateway(
    bootstrap: str, topic: str, directory: Path, **settings: str
) -> AsyncIterator[GatewayProcess]:
    """A gateway process for the length of a block."""
    made = GatewayProcess(bootstrap, topic, directory, **settings)
    try:
        yield await made.start()
    finally:
        if made._process is not None:
            await made.end(signal.SIGKILL)
