"""The producer against a real broker: what the lease forbids does not leave the process."""

from __future__ import annotations

import asyncio

import pytest

from streams.engine.producer import BatchProducer, Record
from tests.support.kafka import Broker, create_topic
from tests.support.world import consume


@pytest.mark.kafka
async def test_nothing_is_sent_any_more_when_the_lease_is_lost(kafka: Broker, unique: str) -> None:
    await create_topic(kafka.bootstrap, unique)
    allowed = True
    producer = BatchProducer(
        max_batch_bytes=100_000, may_send=lambda: allowed, bootstrap_servers=kafka.bootstrap
    )
    await producer.start()
    assert await (await producer.send(unique, 0, [Record(b"k", b"1")])) == 0
    allowed = False
    late = await producer.send(unique, 0, [Record(b"k", b"2")])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(late), 1)
    async with asyncio.timeout(5):
        await producer.stop()
    other = BatchProducer(max_batch_bytes=100_000, bootstrap_servers=kafka.bootstrap)
    await other.start()
    assert await (await other.send(unique, 0, [Record(b"k", b"3")])) == 1
    await other.stop()
    assert [record.value for record in await consume(kafka.bootstrap, unique, 2)] == [b"1", b"3"]
