"""A letter goes back to where it came from, with a mark, or it is told why not."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

import pytest

from streams.dead_letters import redrive
from streams.dead_letters.archive import Redriver, by_reason, missing, plan
from streams.dead_letters.letter import LetterId, Mark, read
from streams.engine.producer import Record
from streams.errors import BrokerError, TooLargeError
from streams.events import Origin
from tests.support.fakes import FakeProducer, record
from tests.unit.dead_letters.test_selection import letter


def test_a_plan_tells_what_cannot_be_redriven_and_what_was() -> None:
    fine, before, cut, gone, lost = (
        letter(1),
        letter(2, redriven_ms=(5,)),
        letter(3, truncated_from=10),
        letter(4, origin=Origin("source", 9, 0)),
        letter(5, origin=Origin("lost", 0, 0)),
    )
    letters = [fine, before, cut, gone, lost]
    made = plan(letters, {"source": 9, "lost": 0}, again=False)
    assert (made.letters, made.before) == ([fine], [before])
    assert [x for x, _ in made.refused] == [cut, gone, lost]
    assert by_reason(made.refused) == {"truncated": 1, "gone": 2}
    assert plan(letters, {"source": 9}, again=True).letters == [fine, before]
    assert missing([LetterId(0, 1), LetterId(0, 9)], letters) == [LetterId(0, 9)]


async def test_a_letter_goes_to_its_partition_in_order_and_is_marked_when_that_is_confirmed() -> (
    None
):
    producer = FakeProducer(confirms=False)
    letters = [
        letter(1, origin=Origin("web", 3, 10), value=b"one", key=b"k"),
        letter(2, origin=Origin("app", 0, 5), value=b"two"),
        letter(3, origin=Origin("web", 3, 11), value=b"three"),
    ]
    import asyncio

    task = asyncio.ensure_future(Redriver(producer, "dead").redrive(letters))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [topic for topic, _, _ in producer.sent] == ["web"], "no mark before it is confirmed"
    while not task.done():
        producer.confirm()
        await asyncio.sleep(0)
    assert await task == []
    [(partition, sent)] = producer.to("web").items()
    assert (partition, [r.value for r in sent]) == (3, [b"one", b"three"])
    assert sent[0].key == b"k"
    said = redrive.read(sent[0].headers)
    assert said is not None
    assert (said[0].tries, said[0].letter, said[1].origin) == (1, "0@1", Origin("web", 3, 10))
    marks = [read(record(r.value, key=r.key, headers=r.headers)) for r in producer.to("dead")[0]]
    assert {m.letter for m in marks if isinstance(m, Mark)} == {x.id for x in letters}


class Narrow(FakeProducer):
    """Takes no record above ten bytes."""

    error: type[BrokerError] = TooLargeError

    async def send(self, topic: str, partition: int, records: Sequence[Record]) -> Awaitable[int]:
        future = await super().send(topic, partition, records)
        if any(len(r.value or b"") > 10 for r in records):
            self.sent.pop()
            del future

            async def fail() -> int:
                raise self.error("no")

            return fail()
        return future


async def test_one_that_the_topic_does_not_take_does_not_hold_back_the_others() -> None:
    producer = Narrow()
    letters = [letter(1), letter(2, value=b"x" * 11, size=11), letter(3)]
    refused = await Redriver(producer, "dead").redrive(letters)  # type: ignore[arg-type]
    assert refused == [(letters[1], "too large: source takes no 11 bytes")]
    assert len(producer.to("source")[0]) == 2
    assert len(producer.to("dead")[0]) == 2, "and it is not marked"


async def test_another_refusal_is_an_error() -> None:
    producer = Narrow()
    producer.error = BrokerError
    with pytest.raises(BrokerError):
        await Redriver(producer, "dead").redrive([letter(1, value=b"x" * 11)])  # type: ignore[arg-type]
