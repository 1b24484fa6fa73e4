"""From the source topic to the person-keyed stage topic, with nothing lost on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from streams.avro.reader import AvroReader, Schemas
from streams.dead_letters import redrive
from streams.dead_letters.producer import DeadLetters
from streams.dead_letters.redrive import Place, Redrive
from streams.engine import packed
from streams.errors import BrokerError
from streams.events import Origin
from streams.source.ingest import CHUNKS_AHEAD, EVENT, NOTE, Ingest, partition_of
from streams.source.unpack import Unpacker
from streams.telemetry.metrics import Metrics
from tests.support.fakes import (
    Failures,
    FakeConsumer,
    FakeProducer,
    chunk,
    record,
    samples,
    turns,
)

PARTITIONS = 4


class World:
    def __init__(self, registry: Schemas | None = None) -> None:
        self.producer = FakeProducer()
        self.consumer = FakeConsumer()
        self.metrics = Metrics()
        self.failures = Failures()
        self.ingest = Ingest(
            producer=self.producer,  # type: ignore[arg-type]
            stage_topic="stage",
            partitions=PARTITIONS,
            max_event_bytes=1000,
            integration_names=frozenset({"Fake"}),
            dead_letters=DeadLetters(self.producer, "dead"),  # type: ignore[arg-type]
            metrics=self.metrics,
            tasks=self.failures.tasks(),
            consumer=lambda: self.consumer,
            unpacker=Unpacker(AvroReader([], registry), max_event_bytes=1000),
        )

    def items(self) -> dict[int, list[tuple[list[Any], Any]]]:
        """(header, event) of what the stage topic holds, by partition."""
        return {
            partition: [
                (header, orjson.loads(raw))
                for stored in records
                for header, raw in packed.unpack(stored.value)
            ]
            for partition, records in self.producer.to("stage").items()
        }


def event(kind: str = "track", **fields: Any) -> bytes:
    return orjson.dumps({"type": kind, **fields})


async def test_a_person_s_events_share_a_partition_and_keep_their_order() -> None:
    world = World()
    people = [f"p{n % 5}" for n in range(50)]
    raws = [event(anonymousId=who, n=n) for n, who in enumerate(people)]
    await world.ingest.take(chunk(record(raw, n) for n, raw in enumerate(raws)))
    found: dict[str, list[int]] = {}
    for partition, items in world.items().items():
        for (kind, lane, offset, timestamp), body in items:
            assert (kind, lane) == (EVENT, body["anonymousId"])
            assert partition == partition_of(lane, PARTITIONS)
            assert (offset, timestamp) == (body["n"], 1_700_000_000_000 + body["n"])
            found.setdefault(lane, []).append(body["n"])
    assert found == {who: [n for n, p in enumerate(people) if p == who] for who in set(people)}


async def test_the_bytes_of_an_event_are_not_touched() -> None:
    world = World()
    raw = b' {"type":"track" ,\t"userId":"\\u00fc", "x":1.0}'
    await world.ingest.take(chunk([record(raw)]))
    [(_, [stored])] = world.producer.to("stage").items()
    [(_, payload)] = packed.unpack(stored.value)
    assert payload == raw
    assert dict(stored.headers) == {"source.topic": b"source", "source.partition": b"0"}


async def test_bad_records_become_dead_letters_and_their_neighbours_go_on() -> None:
    world = World()
    bad = [None, b"", b"{", b"[]", event("nope", userId="u"), event(userId="u" * 1000)]
    records = [record(raw, n, key=b"k") for n, raw in enumerate([*bad, event(userId="u")])]
    taken = chunk(records)
    await world.ingest.take(taken)
    await turns()
    letters = [letter for part in world.producer.to("dead").values() for letter in part]
    assert [letter.value for letter in letters] == bad
    reasons = [dict(letter.headers)["dlq.reason"].decode() for letter in letters]
    assert reasons == ["empty", "empty", "not-json", "not-an-object", "unknown-type", "too-large"]
    assert sum(map(len, world.items().values())) == 1
    assert world.consumer.acked == [taken]
    found = samples(world.metrics)
    assert found["streams_events_consumed_total"] == 6
    assert found["streams_events_dead_lettered_total"] == 6


async def test_an_event_that_is_switched_off_is_filtered_and_counted() -> None:
    world = World()
    await world.ingest.take(
        chunk([record(event(userId="u", integrations={"Fake": False})), record(event(userId="u"))])
    )
    await turns()
    found = samples(world.metrics)
    assert found["streams_events_filtered_total{action=track,reason=integrations}"] == 1
    # The other one is counted where its outcome is known.
    assert found["streams_events_consumed_total"] == 1


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("alias", {"userId": "new", "previousId": "old"}), ("delete", {"userId": "new"})],
)
async def test_what_is_about_an_id_goes_home_and_is_made_known_to_every_other_partition(
    kind: str, fields: dict[str, str]
) -> None:
    world = World()
    await world.ingest.take(
        chunk(
            [
                *(record(event(userId=f"before{n}"), n) for n in range(20)),
                record(event(kind, **fields), 20),
                *(record(event(userId=f"after{n}"), 21 + n) for n in range(20)),
            ]
        )
    )
    home = partition_of("new", PARTITIONS)
    kinds = {p: [h[0] for h, e in items if e["type"] == kind] for p, items in world.items().items()}
    assert kinds == {p: [EVENT if p == home else NOTE] for p in range(PARTITIONS)}
    for items in world.items().values():
        # In each partition it stands where it happened, among that partition's own events.
        offsets = [header[2] for header, _ in items]
        assert offsets == sorted(offsets)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_chunk_is_acknowledged_only_when_everything_is_confirmed(
    newest_first: bool,
) -> None:
    world = World()
    world.producer.confirms = False
    taken = chunk([record(event(userId="u")), record(b"{"), record(event(userId="v"))])
    await world.ingest.take(taken)
    await turns()
    while not world.consumer.acked:
        assert world.producer._waiting, "nothing more is waited for, and it is not acknowledged"
        assert samples(world.metrics) == {}
        if newest_first:
            world.producer._waiting.reverse()
        world.producer.confirm(1)
        await turns()
    assert not world.producer._waiting


async def test_a_chunk_that_was_taken_away_is_neither_counted_nor_acknowledged() -> None:
    world = World()
    world.producer.confirms = False
    taken = chunk([record(b"{"), record(event(userId="u", integrations={"All": False}))])
    await world.ingest.take(taken)
    taken.abandoned = True
    await turns()
    world.producer.confirm()
    await turns()
    assert world.consumer.acked == []
    assert samples(world.metrics) == {}


async def test_a_refusal_of_the_broker_is_reported_and_nothing_is_acknowledged() -> None:
    world = World()
    world.producer.confirms = False
    await world.ingest.take(chunk([record(event(userId="u"))]))
    await turns()
    world.producer.refuse(BrokerError("no"))
    await turns()
    assert [str(error) for error in world.failures] == ["no"]
    assert world.consumer.acked == []


async def test_what_is_unconfirmed_is_bounded() -> None:
    world = World()
    world.producer.confirms = False
    for n in range(CHUNKS_AHEAD):
        await world.ingest.take(chunk([record(event(userId="u"), n)]))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await world.ingest.take(chunk([record(event(userId="u"), 99)]))
    assert len(world.producer.sent) == CHUNKS_AHEAD
    world.producer.confirm(1)
    await turns()
    await world.ingest.take(chunk([record(event(userId="u"), 100)]))


async def test_a_chunk_that_was_taken_away_while_it_waited_is_not_handed_on() -> None:
    world = World()
    world.producer.confirms = False
    for n in range(CHUNKS_AHEAD):
        await world.ingest.take(chunk([record(event(userId="u"), n)]))
    late = chunk([record(event(userId="u"), 99)])
    waiting = asyncio.ensure_future(world.ingest.take(late))
    await turns()
    late.abandoned = True
    world.producer.confirm()
    await waiting
    # Its next owner has sent it by now, and what came after it: it would arrive out of order.
    assert len(world.producer.sent) == CHUNKS_AHEAD
    world.producer.confirms = True
    for n in range(CHUNKS_AHEAD + 1):
        await world.ingest.take(chunk([record(event(userId="u"), 200 + n)]))


async def test_many_events_of_one_chunk_are_packed_into_few_records() -> None:
    world = World()
    raws = [event(anonymousId="a", n=n, pad="x" * 900) for n in range(1000)]
    await world.ingest.take(chunk(record(raw, n) for n, raw in enumerate(raws)))
    [records] = world.producer.to("stage").values()
    assert 3 <= len(records) <= 5
    assert max(len(stored.value) for stored in records) < 300_000


LATE = Redrive(2, "1@5", is_resolved=True, user="u")


def again(topic: str = "source", late: Redrive = LATE) -> list[tuple[str, bytes]]:
    return redrive.headers(late, Place(Origin(topic, 0, 7), 1_600_000_000_000))


async def test_a_redriven_event_keeps_the_place_and_time_where_it_was_first_read() -> None:
    world = World()
    headers = [("traceparent", b"00"), *again()]
    await world.ingest.take(chunk([record(event(userId="u"), 99, headers=headers)]))
    [[(header, _)]] = world.items().values()
    assert header == [EVENT, "u", 7, 1_600_000_000_000, [2, "1@5", True, "u"]]


async def test_the_place_on_another_partition_would_be_somebody_else_s() -> None:
    world = World()
    headers = again("elsewhere")
    await world.ingest.take(chunk([record(event(userId="u"), 99, headers=headers)]))
    [[(header, _)]] = world.items().values()
    assert header == [EVENT, "u", 99, 1_700_000_000_099, [2, "1@5", True, "u"]]


async def test_headers_of_others_change_nothing() -> None:
    world = World()
    headers = [("traceparent", b"00"), ("dlq.id", b"1@5")]
    await world.ingest.take(chunk([record(event(userId="u"), 99, headers=headers)]))
    [[(header, _)]] = world.items().values()
    assert header == [EVENT, "u", 99, 1_700_000_000_099]


async def test_a_redriven_event_that_is_still_none_counts_its_tries() -> None:
    world = World()
    await world.ingest.take(chunk([record(b"{", 99, headers=again())]))
    await turns()
    [[letter]] = world.producer.to("dead").values()
    said = {name: value.decode() for name, value in letter.headers}
    assert (said["dlq.offset"], said["dlq.produced-at"]) == ("7", "1600000000000")
    assert (said["dlq.redriven"], said["dlq.redrive-of"]) == ("2", "1@5")
    assert (said["dlq.resolved"], said["dlq.user-id"]) == ("1", "u")


@pytest.mark.parametrize(
    ("kind", "is_resolved", "partitions"),
    [("alias", True, 1), ("alias", False, 4), ("delete", True, 1), ("delete", False, 4)],
)
async def test_what_is_about_an_id_is_not_told_again_where_it_is_known(
    kind: str, is_resolved: bool, partitions: int
) -> None:
    world = World()
    headers = again(late=LATE._replace(is_resolved=is_resolved))
    raw = event(kind, userId="new", previousId="old")
    await world.ingest.take(chunk([record(raw, 99, headers=headers)]))
    assert len(world.items()) == partitions
