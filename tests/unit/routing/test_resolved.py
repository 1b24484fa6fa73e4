"""The topic of resolved events: what goes onto it, and what a destination takes from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from streams.batching.pending import Pending
from streams.dead_letters.producer import DeadLetters
from streams.dead_letters.redrive import Redrive
from streams.delivery import settle
from streams.delivery.settle import Settlement
from streams.errors import EventError
from streams.routing.intake import Intake
from streams.routing.resolved import ResolvedReader, ResolvedWriter
from streams.telemetry.metrics import Metrics
from tests.support.fakes import (
    Failures,
    FakeConsumer,
    FakeDestination,
    FakeProducer,
    chunk,
    name_of,
    pending,
    record,
    samples,
    stage_record,
    turns,
)


class Seen:
    """The table of messageIds, confirmed at once."""

    def __init__(self) -> None:
        self.digests: set[bytes] = set()

    def held(self, partition: int, digests: Sequence[bytes]) -> set[bytes]:
        return self.digests & set(digests)

    async def remember(self, partition: int, digests: Sequence[bytes]) -> None:
        self.digests |= set(digests)


class Side:
    """A consumer group: what it settles, and what of that is counted."""

    def __init__(self, producer: FakeProducer, **options: Any) -> None:
        self.seen, self.metrics, self.consumer = Seen(), Metrics(), FakeConsumer()
        self.tasks = Failures().tasks()
        letters = DeadLetters(producer, "dead")  # type: ignore[arg-type]
        self.settlement = Settlement(
            remember=self.seen.remember,
            bury=letters.bury,
            settled=lambda events: self.intake.settled(events),  # noqa: PLW0108 - made below
            metrics=self.metrics,
            tasks=self.tasks,
            destination="fake",
        )
        self.intake = Intake(
            seen=self.seen,  # type: ignore[arg-type]
            dead_letters=letters,
            metrics=self.metrics,
            tasks=self.tasks,
            consumer=lambda: self.consumer,
            on_load=lambda partition, waiting: None,
            **options,
        )


class World:
    def __init__(self) -> None:
        self.producer = FakeProducer()
        self.front = Side(self.producer, passes_on=True)
        self.writer = ResolvedWriter(
            self.producer,  # type: ignore[arg-type]
            "resolved",
            self.front.settlement,
            self.front.tasks,
        )
        self.back = Side(self.producer)
        self.handed: list[Pending] = []
        self.reader = ResolvedReader(
            intake=self.back.intake,
            settlement=self.back.settlement,
            destination=FakeDestination([]),
            hand_on=self._take,
        )

    async def _take(self, partition: int, events: Sequence[Pending]) -> None:
        self.handed.extend(events)

    async def read(self) -> Any:
        """Read everything that is on the topic, as one chunk."""
        written = self.producer.to("resolved").get(0, [])
        taken = chunk(
            [
                record(one.value, offset, topic="resolved", headers=one.headers)
                for offset, one in enumerate(written)
            ],
            "resolved",
        )
        await self.reader.take(taken)
        return taken


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(settle, "REMEMBER_AFTER_SECONDS", 0)
    return World()


def resolved(name: str, raw: str = "", **options: Any) -> Pending:
    """An event as resolve hands it on; ``raw`` is what the producer sent."""
    made = pending(name, **options)
    made.raw = (raw or f'{{"type":"track","messageId":"{name}","anonymousId":"a"}}').encode()
    return made


async def test_an_event_arrives_as_it_was_resolved_and_as_it_came(world: World) -> None:
    sent = resolved("1")
    sent.event |= {"userId": "u", "context": {"traits": {"email": "e@example.com"}}}
    await world.writer.take(0, [sent])
    await world.read()
    [found] = world.handed
    assert (found.raw, found.origin, found.lane) == (sent.raw, sent.origin, sent.lane)
    assert (found.produced_at, found.digest) == (sent.produced_at, sent.digest)
    assert found.event["userId"] == "u"
    assert found.event["context"]["traits"]["email"] == "e@example.com"


async def test_what_was_avro_is_read_as_json_and_buried_as_it_came(world: World) -> None:
    sent = resolved("1")
    sent.json, sent.raw = sent.raw, b"\x00Avro"
    sent.redrive = Redrive(1, "0@3", is_resolved=True, user="u", destination="fake")
    await world.writer.take(0, [sent, resolved("2")])
    await world.read()
    first, second = world.handed
    assert (first.raw, first.json) == (sent.raw, sent.json)
    assert first.redrive == sent.redrive
    assert (name_of(first), name_of(second)) == ("1", "2")
    assert second.json is None


async def test_order_holds_across_source_partitions(world: World) -> None:
    events = [resolved(str(number)) for number in range(6)]
    for number, one in enumerate(events):
        one.source = ("source", number // 2 % 2)
    await world.writer.take(0, events)
    await world.read()
    assert [name_of(one) for one in world.handed] == list("012345")
    assert [one.origin.partition for one in world.handed] == [0, 0, 1, 1, 0, 0]


async def test_it_is_settled_in_front_when_it_is_confirmed_and_counted_nowhere(
    world: World,
) -> None:
    world.producer.confirms = False
    sent = resolved("1")
    await world.writer.take(0, [sent])
    await turns()
    assert sent.progress.remaining == sent.progress.total
    world.producer.confirm()
    await turns()
    assert sent.progress.total - sent.progress.remaining == sent.progress.passed_on == 1
    assert world.front.seen.digests == {sent.digest}
    assert not samples(world.front.metrics)


async def test_what_is_wrong_is_buried_once_and_not_for_each_destination(world: World) -> None:
    await world.writer.take(0, [resolved("1", error=EventError("internal-error", "oh"))])
    await turns()
    assert "resolved" not in {topic for topic, _, _ in world.producer.sent}
    assert samples(world.front.metrics)["streams_events_dead_lettered_total"] == 1


async def test_what_a_destination_had_is_a_duplicate_for_it(world: World) -> None:
    sent = resolved("1")
    world.back.seen.digests.add(sent.digest)
    await world.writer.take(0, [sent, resolved("2"), resolved("2")])
    await world.read()
    assert [name_of(one) for one in world.handed] == ["2"]
    assert samples(world.back.metrics)["streams_events_duplicate_total"] == 2


async def test_integrations_are_each_destination_s_own(world: World) -> None:
    raw = '{"type":"track","messageId":"1","userId":"u","integrations":{"Fake":false}}'
    await world.writer.take(0, [resolved("1", raw)])
    taken = await world.read()
    assert not world.handed
    await turns()
    found = samples(world.back.metrics)
    assert found["streams_events_filtered_total{action=track,reason=integrations}"] == 1
    assert found["streams_events_consumed_total"] == 1
    assert world.back.consumer.acked == [taken]


@pytest.mark.parametrize(("target", "count"), [("fake", 1), ("", 1), ("another", 0)])
async def test_a_redriven_event_is_for_the_one_that_it_did_not_reach(
    world: World, target: str, count: int
) -> None:
    sent = resolved("1")
    sent.redrive = Redrive(1, "0@3", is_resolved=True, user="u", destination=target)
    await world.writer.take(0, [sent])
    taken = await world.read()
    assert [one.redrive for one in world.handed] == [sent.redrive] * count
    await turns()
    if not count:
        # It is acknowledged, and counts where it is for.
        assert world.back.consumer.acked == [taken]
        assert not samples(world.back.metrics)


@pytest.mark.parametrize("is_resolved", [True, False])
async def test_in_front_what_was_resolved_and_is_redriven_is_no_duplicate(
    world: World, is_resolved: bool
) -> None:
    stage = stage_record({"type": "track", "messageId": "1", "userId": "u"})
    taken = world.front.intake.take(chunk([stage], "stage"))
    [event] = taken.events
    event.redrive = Redrive(1, "0@3", is_resolved=is_resolved)
    taken.seen = {event.digest}
    assert world.front.intake.is_repeated(event, taken) is not is_resolved
    # Whoever delivers it knows better.
    assert world.back.intake.is_repeated(event, taken)


async def test_nothing_is_done_for_a_chunk_that_was_taken_away(world: World) -> None:
    taken = chunk([record(b"?", topic="resolved")], "resolved")
    taken.abandoned = True
    await world.reader.take(taken)
    assert not world.handed
    assert not world.producer.sent
