"""Confirmed or refused as a whole, and what is sent again is not written again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from streams.engine.producer import Record
from streams.errors import BrokerError, TooLargeError
from streams.gateway import outbox as module
from streams.gateway.answers import Refusal
from streams.gateway.outbox import Message, Outbox
from tests.support.fakes import FakeProducer, eventually, turns

PATIENCE = 0.05


@pytest.fixture
def producer() -> FakeProducer:
    return FakeProducer(confirms=False)


@pytest.fixture
async def outbox(producer: FakeProducer) -> AsyncIterator[Outbox]:
    made = Outbox(producer, confirm_seconds=PATIENCE)
    yield made
    await made.close()


def message(name: str, partition: int = 0, size: int = 1) -> Message:
    return Message("t", partition, Record(b"k", name.encode() * size), ("web", name))


def written(producer: FakeProducer, partition: int = 0) -> list[bytes | None]:
    return [record.value for record in producer.to("t").get(partition, [])]


async def refused(outbox: Outbox, *messages: Message) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await outbox.store(messages)
    return caught.value


async def test_it_returns_when_all_partitions_have_confirmed(
    outbox: Outbox, producer: FakeProducer
) -> None:
    storing = asyncio.ensure_future(outbox.store([message("a", 0), message("b", 1)]))
    await eventually(lambda: len(producer.sent) == 2)
    producer.confirm(1)
    await turns()
    assert not storing.done()
    producer.confirm()
    await storing


async def test_one_batch_is_underway_and_the_rest_gathers_in_order(
    outbox: Outbox, producer: FakeProducer
) -> None:
    storing = [asyncio.ensure_future(outbox.store([message(str(n))])) for n in range(5)]
    await eventually(lambda: producer.sent)
    await turns()
    assert written(producer) == [b"0", b"1", b"2", b"3", b"4"][: len(written(producer))]
    later = [asyncio.ensure_future(outbox.store([message(str(n))])) for n in range(5, 9)]
    await turns()
    assert len(producer.sent) == 1
    producer.confirm()
    await eventually(lambda: len(producer.sent) == 2)
    producer.confirms = True
    producer.confirm()
    await asyncio.gather(*storing, *later)
    assert written(producer) == [str(n).encode() for n in range(9)]


async def test_a_batch_is_bounded(producer: FakeProducer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 500)
    producer.confirms = True
    outbox = Outbox(producer, confirm_seconds=PATIENCE)
    await outbox.store([message(str(n), size=200) for n in range(5)])
    assert [len(records) for _, _, records in producer.sent] == [1, 1, 1, 1, 1]
    await outbox.close()


async def test_what_is_not_confirmed_in_time_is_refused_with_when_to_try_again(
    outbox: Outbox, producer: FakeProducer
) -> None:
    refusal = await refused(outbox, message("a"))
    assert (refusal.status, refusal.code, refusal.retry_after) == (503, "unavailable", 2)


async def test_what_was_still_in_line_is_never_written(
    outbox: Outbox, producer: FakeProducer
) -> None:
    first = asyncio.ensure_future(refused(outbox, message("a")))
    await eventually(lambda: producer.sent)
    second = asyncio.ensure_future(refused(outbox, message("b")))
    await asyncio.gather(first, second)
    producer.confirms = True
    producer.confirm()
    await turns()
    await outbox.store([message("c")])
    assert written(producer) == [b"a", b"c"]


async def test_what_kafka_still_had_is_waited_for_and_not_written_twice(
    outbox: Outbox, producer: FakeProducer
) -> None:
    await refused(outbox, message("a"))
    # Sent again while Kafka has it, and while nothing moves: refused at once.
    assert outbox.is_stuck()
    assert (await refused(outbox, message("a"))).status == 503
    producer.confirms = True
    producer.confirm()
    await turns()
    assert not outbox.is_stuck()
    for _ in range(3):
        await outbox.store([message("a"), message("b", 1)])
    assert written(producer) == [b"a"]


async def test_a_retry_waits_for_what_is_underway(producer: FakeProducer) -> None:
    outbox = Outbox(producer, confirm_seconds=0.2)
    first = asyncio.ensure_future(outbox.store([message("a")]))
    await eventually(lambda: producer.sent)
    # Whatever ends a request early: here the client went away.
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    again = asyncio.ensure_future(outbox.store([message("a"), message("b", 1)]))
    await eventually(lambda: len(producer.sent) == 2)
    producer.confirm()
    await again
    assert (written(producer), written(producer, 1)) == ([b"a"], [b"b"])
    await outbox.close()


async def test_the_confirmed_part_of_a_refused_request_is_not_written_twice(
    outbox: Outbox, producer: FakeProducer
) -> None:
    both = [message("a", 0), message("b", 1)]
    refusing = asyncio.ensure_future(refused(outbox, *both))
    await eventually(lambda: len(producer.sent) == 2)
    producer.confirm(1)
    assert (await refusing).status == 503
    producer.confirms = True
    producer.confirm()
    await turns()
    await outbox.store(both)
    assert (written(producer), written(producer, 1)) == ([b"a"], [b"b"])


async def test_nothing_is_put_in_line_where_nothing_moves(
    outbox: Outbox, producer: FakeProducer
) -> None:
    await refused(outbox, message("a"))
    assert (await refused(outbox, message("b", 1), message("c", 0))).status == 503
    await turns()
    assert written(producer, 1) == []


async def test_what_kafka_refuses_for_good_may_be_sent_again(
    outbox: Outbox, producer: FakeProducer
) -> None:
    refusing = asyncio.ensure_future(refused(outbox, message("a")))
    await eventually(lambda: producer.sent)
    producer.refuse(BrokerError("not allowed"))
    refusal = await refusing
    assert refusal.status == 503
    assert "not allowed" in refusal.message
    producer.confirms = True
    await outbox.store([message("a")])
    assert written(producer) == [b"a", b"a"]
    assert not outbox.broken.done()


async def test_one_that_is_too_large_does_not_keep_back_its_neighbours(
    outbox: Outbox, producer: FakeProducer
) -> None:
    storing = asyncio.ensure_future(outbox.store([message("a")]))
    large = asyncio.ensure_future(refused(outbox, message("b")))
    await eventually(lambda: producer.sent)
    if len(written(producer)) == 1:
        producer.confirm()
        await eventually(lambda: len(producer.sent) == 2)
    producer.refuse(TooLargeError("too large"))
    for _ in range(2):
        await turns()
        if written(producer)[-1] == b"b":
            producer.refuse(TooLargeError("too large"))
        else:
            producer.confirm()
    assert (await large).status == 413
    await storing


async def test_when_nothing_helps_it_says_so(
    outbox: Outbox, producer: FakeProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GIVE_UP_SECONDS", 0)
    for count in (1, 2):
        refusing = asyncio.ensure_future(refused(outbox, message("a")))
        await eventually(lambda count=count: len(producer.sent) == count)
        await asyncio.sleep(0.002)
        producer.refuse(BrokerError("fenced"))
        await refusing
    with pytest.raises(BrokerError, match="fenced"):
        await outbox.broken


async def test_what_is_remembered_is_bounded(
    outbox: Outbox, producer: FakeProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    await refused(outbox, *(message(str(n)) for n in range(10)))
    assert len(outbox._remembered) == 3
    producer.confirm()
    await turns()
    assert all(not entry.message.record.value for entry in outbox._remembered.values())
