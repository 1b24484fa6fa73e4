"""A world for one worker: broker, topic, stand-in, and what to ask of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from streams.events import Event
from tests.support.kafka import Broker
from tests.support.traces import Trace, person
from tests.support.world import StandIn, Worker, consume, consumed, produce, stand_in, until

PARTITIONS = 4


@dataclass(slots=True)
class World:
    """A source topic on a broker, an Encharge stand-in, and a folder for this test."""

    broker: Broker
    encharge: StandIn
    directory: Path
    topic: str

    def worker(self, name: str = "worker", **settings: str) -> Worker:
        """A worker on this topic; not started."""
        return Worker(
            self.broker.bootstrap,
            self.encharge.url,
            self.directory,
            name,
            **{
                "STREAMS_SOURCE_TOPIC": self.topic,
                "STREAMS_APP_ID": f"app-{self.topic}",
                "STREAMS_SESSION_SECONDS": str(self.broker.session_timeout),
                "STREAMS_COALESCE": "false",
                **settings,
            },
        )

    async def feed(self, *events: Event | bytes | None) -> list[tuple[int, int]]:
        """Produce events, or raw values, in order; gives (partition, offset) of each.

        A person's events go to one partition, raw values to the first.
        """
        records = []
        for event in events:
            if isinstance(event, dict):
                records.extend(Trace([event]).records(PARTITIONS))
            else:
                records.append((0, event))
        return await produce(self.broker.bootstrap, self.topic, records)

    async def settled(self, count: int, *workers: Worker, within: float = 60) -> None:
        """Wait until ``count`` events, summed over ``workers``, have their outcome."""

        async def done() -> bool:
            return (await consumed(*workers))["streams_events_consumed_total"] >= count

        await until(done, f"{count} events settled", within)

    async def bodies(self) -> list[dict[str, Any]]:
        """The bodies that Encharge accepted, in order."""
        return [
            request["body"]
            for request in await self.encharge.requests()
            if request["status"] in (200, 204)
        ]

    async def dead_letters(self, count: int) -> list[tuple[bytes | None, dict[str, str]]]:
        """(value, headers) of the first dead letters."""
        records = await consume(
            self.broker.bootstrap, f"app-{self.topic}-dead-letters", count, within=20
        )
        return [(r.value, {k: v.decode() for k, v in r.headers}) for r in records]


@asynccontextmanager
async def _world(broker: Broker, topic: str, directory: Path) -> AsyncIterator[World]:
    await broker.create_topic(topic, PARTITIONS)
    async with stand_in() as encharge:
        yield World(broker, encharge, directory, topic)


@pytest.fixture
async def world(broker: Broker, unique: str, tmp_path: Path) -> AsyncIterator[World]:
    """A world on the embedded broker, and one on Apache Kafka."""
    async with _world(broker, unique, tmp_path) as made:
        yield made


@pytest.fixture
async def small_world(embedded: Broker, unique: str, tmp_path: Path) -> AsyncIterator[World]:
    """A world on the embedded broker only, for what does not depend on the broker."""
    async with _world(embedded, unique, tmp_path) as made:
        yield made


@pytest.fixture
async def kafka_world(kafka: Broker, unique: str, tmp_path: Path) -> AsyncIterator[World]:
    """A world on Apache Kafka only, for restarts: the embedded broker misreports end offsets."""
    async with _world(kafka, unique, tmp_path) as made:
        yield made


def event(kind: str, number: int | str, **fields: Any) -> Event:
    """An event with its own messageId."""
    made: Event = {
        "type": kind,
        "messageId": f"m-{number}",
        "timestamp": "2026-11-02T08:00:00.000Z",
        **({"event": "Clicked"} if kind == "track" else {}),
        **fields,
    }
    assert person(made)
    return made


def text(value: Any) -> bytes:
    """An event as a producer would write it."""
    return orjson.dumps(value)
