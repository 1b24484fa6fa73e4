"""Batches of records whose confirmation is awaited."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)

from streams.engine.producer import BatchProducer, Record
from streams.errors import BrokerError
from tests.support.fakes import turns


class Batch:
    """Holds as many bytes as it is told, but always one record, as aiokafka's does."""

    def __init__(self, max_bytes: int) -> None:
        self.records: list[dict[str, Any]] = []
        self.closed = False
        self._room = max_bytes

    def append(self, **fields: Any) -> object:
        size = len(fields["value"] or b"")
        if self.records and size > self._room:
            return None
        self._room -= size
        self.records.append(fields)
        return object()

    def record_count(self) -> int:
        return len(self.records)

    def close(self) -> None:
        self.closed = True


class Client:
    """An AIOKafkaProducer: offsets count up per partition; every answer is held back."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.sent: list[tuple[str, int, Batch]] = []
        self.waiting: list[tuple[asyncio.Future[Any], int]] = []
        self.timeouts = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.ends: dict[tuple[str, int], int] = {}
        self.stopped = False

    def create_batch(self) -> Batch:
        return Batch(self.max_bytes)

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> Any:
        assert batch.closed, "aiokafka takes closed batches only"
        await self.gate.wait()
        await asyncio.sleep(0)  # as with a real one, others may come in between
        if self.timeouts:
            self.timeouts -= 1
            raise KafkaTimeoutError
        first = self.ends.get((topic, partition), 0)
        self.ends[topic, partition] = first + batch.record_count()
        self.sent.append((topic, partition, batch))
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting.append((future, first))
        return future

    def confirm(self) -> None:
        for future, first in self.waiting:
            future.set_result(SimpleNamespace(offset=first))
        self.waiting.clear()

    async def partitions_for(self, topic: str) -> set[int]:
        return {0, 1, 2}

    async def stop(self) -> None:
        self.stopped = True

    def values(self) -> list[list[bytes]]:
        return [[r["value"] for r in batch.records] for _, _, batch in self.sent]


def producer(max_bytes: int = 1000) -> tuple[BatchProducer, Client]:
    made, client = BatchProducer(max_batch_bytes=max_bytes), Client(max_bytes)
    made._client = client  # what start() would connect
    return made, client


async def test_a_send_is_done_when_the_last_record_is_confirmed() -> None:
    made, client = producer()
    first = await made.send("t", 0, [Record(None, b"1"), Record(b"k", None, [("h", b"v")])])
    second = await made.send("t", 0, [Record(None, b"3")])
    await turns()
    assert not first.done()  # type: ignore[attr-defined]
    client.confirm()
    assert (await first, await second) == (1, 2)
    [appended, with_header] = client.sent[0][2].records
    assert appended["headers"] == []
    assert (with_header["key"], with_header["value"]) == (b"k", None)
    assert with_header["headers"] == [("h", b"v")]


async def test_records_above_the_batch_size_go_in_several_batches_in_order() -> None:
    made, client = producer(max_bytes=10)
    sent = await made.send("t", 0, [Record(None, bytes([n]) * 4) for n in range(5)])
    assert client.values() == [[b"\0" * 4, b"\1" * 4], [b"\2" * 4, b"\3" * 4], [b"\4" * 4]]
    client.confirm()
    assert await sent == 4


async def test_a_record_that_is_larger_than_a_batch_is_handed_over_all_the_same() -> None:
    made, client = producer(max_bytes=10)
    sent = await made.send("t", 0, [Record(None, b"x" * 50), Record(None, b"y")])
    client.confirm()
    assert await sent == 1
    assert [value for batch in client.values() for value in batch] == [b"x" * 50, b"y"]


async def test_sends_to_one_partition_keep_the_order_of_the_calls() -> None:
    made, client = producer(max_bytes=4)
    client.gate.clear()
    calls = [
        asyncio.ensure_future(
            made.send("t", 0, [Record(None, b"%d%d%d%d" % (n, n, n, k)) for k in range(3)])
        )
        for n in range(3)
    ]
    await turns()
    client.gate.set()
    futures = await asyncio.gather(*calls)
    assert [batch[0][:1] for batch in client.values()] == [b"0"] * 3 + [b"1"] * 3 + [b"2"] * 3
    client.confirm()
    assert await asyncio.gather(*futures) == [2, 5, 8]


async def test_one_partition_does_not_wait_for_another() -> None:
    made, client = producer()
    client.gate.clear()
    held = asyncio.ensure_future(made.send("t", 0, [Record(None, b"0")]))
    await turns()
    assert not made._turns["t", 1].locked()
    client.gate.set()
    await held
    client.confirm()


async def test_a_batch_that_found_no_room_in_time_is_handed_over_again_in_its_turn() -> None:
    made, client = producer()
    client.timeouts = 3
    first = asyncio.ensure_future(made.send("t", 0, [Record(None, b"1")]))
    second = asyncio.ensure_future(made.send("t", 0, [Record(None, b"2")]))
    futures = await asyncio.gather(first, second)
    assert client.values() == [[b"1"], [b"2"]]
    client.confirm()
    await asyncio.gather(*futures)


async def test_a_refusal_names_the_partition() -> None:
    made, client = producer()
    sent = await made.send("t", 2, [Record(None, b"1")])
    client.waiting[0][0].set_exception(MessageSizeTooLargeError())
    with pytest.raises(BrokerError, match=r"t\[2\].*MessageSizeTooLarge"):
        await sent


async def test_the_number_of_partitions_is_the_broker_s() -> None:
    made, _ = producer()
    assert await made.partitions("t") == 3


async def test_partitions_that_the_broker_does_not_tell_are_its_error() -> None:
    made, client = producer()
    client.partitions_for = unknown  # type: ignore[method-assign]
    with pytest.raises(BrokerError, match=r"partitions of t: UnknownTopicOrPartition"):
        await made.partitions("t")


async def unknown(topic: str) -> set[int]:
    raise UnknownTopicOrPartitionError


async def test_before_the_start_and_after_the_stop_there_is_nothing_to_send_with() -> None:
    with pytest.raises(BrokerError, match="not started"):
        await BatchProducer(max_batch_bytes=1000).send("t", 0, [])
    made, client = producer()
    await made.stop()
    await made.stop()
    assert client.stopped
    with pytest.raises(BrokerError, match="not started"):
        await made.partitions("t")


async def test_a_broker_that_does_not_answer_is_one_line_for_the_operator() -> None:
    made = BatchProducer(
        max_batch_bytes=1000, bootstrap_servers="127.0.0.1:1", request_timeout_ms=500
    )
    with pytest.raises(BrokerError, match="cannot reach Kafka"):
        await made.start()
