"""What becomes of dead letters that their topic does not take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from streams.dead_letters.producer import DeadLetters
from streams.dead_letters.record import TRUNCATED_BYTES, DeadLetter
from streams.engine.producer import Record
from streams.errors import TooLargeError
from streams.events import Origin
from tests.support.fakes import FakeProducer


class Narrow(FakeProducer):
    """A topic that refuses a batch for one record that is too large."""

    async def send(self, topic: str, partition: int, records: Sequence[Record]) -> Awaitable[int]:
        if all(len(record.value or b"") <= 2 * TRUNCATED_BYTES for record in records):
            return await super().send(topic, partition, records)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_exception(TooLargeError("too large"))
        return future


def letter(number: int, size: int) -> DeadLetter:
    return DeadLetter(
        raw=b"x" * size,
        origin=Origin("source", 0, number),
        stage="ingest",
        reason="not-json",
        text="is no JSON",
        key="a",
    )


async def test_only_the_one_that_is_too_large_loses_its_end() -> None:
    producer = Narrow()
    letters = [letter(1, 2 * TRUNCATED_BYTES), letter(2, 3 * TRUNCATED_BYTES), letter(3, 10)]
    await DeadLetters(producer, "dead").bury(*letters)  # type: ignore[arg-type]
    [stored] = producer.to("dead").values()
    assert [len(record.value or b"") for record in stored] == [
        2 * TRUNCATED_BYTES,
        TRUNCATED_BYTES,
        10,
    ]
    said = [dict(record.headers).get("dlq.truncated-from") for record in stored]
    assert said == [None, str(3 * TRUNCATED_BYTES).encode(), None]
