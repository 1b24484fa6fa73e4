"""The broker of a run, and the topics that its contestants read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from bench.events import generate
from streams.dev.broker import embedded_broker
from tests.support.kafka import KafkaCluster, create_topic, find_distribution

PARTITIONS: Final = 4

# The tests' broker rolls and cleans within seconds, which is not what is measured here.
_KAFKA: Final = {
    "log.segment.bytes": str(1 << 30),
    "log.index.size.max.bytes": str(10 << 20),
    "log.retention.check.interval.ms": "300000",
    "log.cleaner.backoff.ms": "15000",
}


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker."""

    name: str
    bootstrap: str
    session_seconds: int
    """For ``STREAMS_SESSION_SECONDS``: the embedded broker's joins wait half of it."""


@asynccontextmanager
async def running(kind: str) -> AsyncIterator[Broker]:
    """A broker of its own: ``kafka`` or ``embedded``. Gone at the end of the block."""
    if kind == "embedded":
        async with embedded_broker() as bootstrap:
            yield Broker("embedded broker (Tansu)", bootstrap, 2)
        return
    async with KafkaCluster(config=_KAFKA) as cluster:
        yield Broker(f"Apache Kafka {_version()}", cluster.bootstrap, 10)


def _version() -> str:
    libraries = Path(find_distribution().class_path).parent
    return next(libraries.glob("kafka-clients-*.jar")).stem.removeprefix("kafka-clients-")


async def fill(broker: Broker, topic: str, events: int) -> int:
    """Create a topic and put events on it; gives how many bytes they have."""
    await create_topic(broker.bootstrap, topic, PARTITIONS)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    size = 0
    batches = {partition: producer.create_batch() for partition in range(PARTITIONS)}
    sent: list[asyncio.Future[object]] = []
    try:
        for partition, value in generate(events, PARTITIONS):
            size += len(value)
            if batches[partition].append(key=None, value=value, timestamp=None) is None:
                sent.append(
                    await producer.send_batch(batches[partition], topic, partition=partition)
                )
                batches[partition] = producer.create_batch()
                batches[partition].append(key=None, value=value, timestamp=None)
        for partition, batch in batches.items():
            sent.append(await producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return size


async def forget(broker: Broker, prefix: str) -> None:
    """Delete the topics that a worker made, so that they do not grow over the rounds."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        topics = [name for name in await admin.list_topics() if name.startswith(prefix)]
        if topics:
            await admin.delete_topics(topics)
    finally:
        await admin.close()
