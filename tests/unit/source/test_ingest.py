"""From the source topic to the person-keyed stage topic, with nothing lost on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from streams.avro import codec
from streams.avro.reader import AvroReader, Schemas, Written
from streams.avro.schemas import RESOLVED_EVENT, text_of
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
    def __init__(self, registry: Schemas | None = None, destinations: int = 1) -> None:
        self.producer = FakeProducer()
        self.consumer = FakeConsumer()
        self.metrics = Metrics()
        self.failures = Failures()
        self.ingest = Ingest(
            producer=self.producer,  # type: ignore[arg-type]
            stage_topic="stage",
            partitions=PARTITIONS,
            max_event_bytes=1000,
            integrations=[frozenset({"Fake"}), frozenset({"Other"})][:destinations],
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


LATE = Redrive(2, "1@5", is_resolved=True, user="u", destination="encharge")


def again(topic: str = "source", late: Redrive = LATE) -> list[tuple[str, bytes]]:
    return redrive.headers(late, Place(Origin(topic, 0, 7), 1_600_000_000_000))


async def test_a_redriven_event_keeps_the_place_and_time_where_it_was_first_read() -> None:
    world = World()
    headers = [("traceparent", b"00"), *again()]
    await world.ingest.take(chunk([record(event(userId="u"), 99, headers=headers)]))
    [[(header, _)]] = world.items().values()
    assert header == [EVENT, "u", 7, 1_600_000_000_000, [2, "1@5", True, "u", "encharge"]]


async def test_the_place_on_another_partition_would_be_somebody_else_s() -> None:
    world = World()
    headers = again("elsewhere")
    await world.ingest.take(chunk([record(event(userId="u"), 99, headers=headers)]))
    [[(header, _)]] = world.items().values()
    assert header == [EVENT, "u", 99, 1_700_000_000_099, [2, "1@5", True, "u", "encharge"]]


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


# -- values that are no event as they stand


class SlowRegistry:
    """A registry whose answers are waited for."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.asked: list[int] = []

    async def schema(self, id: int) -> Written | None:
        self.asked.append(id)
        await self.answers.wait()
        return Written("AVRO", text_of(RESOLVED_EVENT)) if id == 7 else None


def avro(number: int, id: int = 7) -> bytes:
    """An event in Confluent's wire format."""
    fields = {"type": "track", "timestamp": "2026-11-02T08:00:00.000Z", "userId": "u"}
    return codec.resolved(id)({**fields, "messageId": f"m-{number}"})


def names(world: World) -> list[str]:
    """The messageIds on the stage topic, in order."""
    return [
        orjson.loads(raw[: -header[5]] if len(header) > 5 else raw)["messageId"]
        for records in world.producer.to("stage").values()
        for stored in records
        for header, raw in packed.unpack(stored.value)
    ]


async def test_a_partition_waits_for_its_schemas_and_others_go_on() -> None:
    registry = SlowRegistry()
    world = World(registry)
    waiting = [chunk([record(avro(n), n)]) for n in range(3)]
    waiting.append(chunk([record(event(userId="u", messageId="m-3"), 3)]))
    other = chunk([record(event(userId="u", messageId="other"), partition=1)], partition=1)
    for one in (*waiting, other):
        await world.ingest.take(one)
    await turns()
    assert world.consumer.paused == {waiting[0].tp}
    assert world.consumer.acked == [other]
    registry.answers.set()
    await turns(60)
    assert world.consumer.paused == set()
    assert world.consumer.acked == [other, *waiting]
    assert names(world) == ["other", "m-0", "m-1", "m-2", "m-3"]
    assert registry.asked == [7]
    assert samples(world.metrics).get("streams_events_dead_lettered_total", 0) == 0
    # What is known by now is taken at once.
    await world.ingest.take(chunk([record(avro(4), 4)]))
    assert world.consumer.paused == set()
    assert registry.asked == [7]


async def test_a_partition_that_waits_may_be_taken_away_and_come_back() -> None:
    registry = SlowRegistry()
    world = World(registry)
    waiting = [chunk([record(avro(n, id), n)]) for n, id in enumerate((7, 8))]
    for one in waiting:
        await world.ingest.take(one)
    await turns()
    for one in waiting:
        one.abandoned = True
    world.ingest.abandon()
    registry.answers.set()
    registry.answers = asyncio.Event()
    # Back again, and the first schema that it needs is another one.
    again = chunk([record(avro(0, 9), 0), record(avro(1, 7), 1)])
    await world.ingest.take(again)
    await turns(60)
    assert world.consumer.paused == {again.tp}, "the earlier wait is over, this one is not"
    assert registry.asked == [7, 9], "nothing is asked for what was taken away"
    registry.answers.set()
    await turns(60)
    assert world.consumer.acked == [again]
    assert names(world) == ["m-1"]
    assert world.consumer.paused == set()
    assert world.failures == []


async def test_an_unknown_schema_is_a_dead_letter_with_the_original_bytes() -> None:
    registry = SlowRegistry()
    registry.answers.set()
    world = World(registry)
    raw = avro(0, id=8)
    await world.ingest.take(chunk([record(raw), record(avro(1), 1)]))
    await turns(60)
    [[letter]] = world.producer.to("dead").values()
    assert letter.value == raw
    assert dict(letter.headers)["dlq.reason"] == b"unknown-schema"
    assert b"8" in dict(letter.headers)["dlq.text"]
    assert names(world) == ["m-1"]


async def test_what_the_value_was_travels_behind_the_event() -> None:
    registry = SlowRegistry()
    registry.answers.set()
    world = World(registry)
    jitsu = orjson.dumps({"httpPayload": {"type": "page", "userId": "u"}, "messageId": "j"})
    values = [avro(0), jitsu, event(userId="u", messageId="bare")]
    await world.ingest.take(chunk(record(value, n) for n, value in enumerate(values)))
    await turns(60)
    [[stored]] = world.producer.to("stage").values()
    (first, second, bare) = packed.unpack(stored.value)
    for (header, payload), value in ((first, values[0]), (second, values[1])):
        assert header[4:] == [None, len(value)]
        assert payload.endswith(value)
        assert orjson.loads(payload.removesuffix(value))["userId"] == "u"
    assert bare == ([EVENT, "u", 2, 1_700_000_000_002], values[2])


async def test_a_large_original_is_left_out() -> None:
    world = World()
    padding = "x" * 1_000_000
    value = orjson.dumps({"httpPayload": {"type": "page", "userId": "u"}, "httpHeaders": padding})
    await world.ingest.take(chunk([record(value)]))
    [[stored]] = world.producer.to("stage").values()
    [(header, payload)] = packed.unpack(stored.value)
    assert header[4:] == [None]
    assert orjson.loads(payload)["userId"] == "u"


async def test_the_events_of_a_batch_are_counted_each() -> None:
    world = World()
    batch = [
        {"type": "page", "userId": "a", "messageId": "1"},
        {"type": "page", "userId": "b", "integrations": {"Fake": False}},
        {"type": "page"},
        {"type": "alias", "userId": "a", "previousId": "p"},
    ]
    value = orjson.dumps({"batch": batch})
    await world.ingest.take(chunk([record(value, 5, key=b"k"), record(event(userId="a"), 6)]))
    await turns()
    kinds = [(h[0], e["type"]) for items in world.items().values() for h, e in items]
    assert kinds.count((EVENT, "page")) == kinds.count((EVENT, "track")) == 1
    assert kinds.count((EVENT, "alias")) == 1
    assert kinds.count((NOTE, "alias")) == PARTITIONS - 1
    found = samples(world.metrics)
    assert found["streams_events_filtered_total"] == 1
    assert found["streams_events_dead_lettered_total"] == 1
    assert found["streams_events_consumed_total"] == 2
    [[letter]] = world.producer.to("dead").values()
    # The one that is none, not the whole: that is what a redrive sends again.
    assert orjson.loads(letter.value) == {"type": "page", "messageId": "kafka-source-0-5-2"}
    assert dict(letter.headers)["dlq.offset"] == b"5"


async def test_a_redriven_envelope_is_late_and_keeps_what_it_was() -> None:
    world = World()
    value = orjson.dumps({"httpPayload": {"type": "page", "userId": "u"}})
    redriven = Redrive(1, "0@3", True, "u")
    headers = redrive.headers(redriven, Place(Origin("source", 0, 4), 1_600_000_000_000))
    await world.ingest.take(chunk([record(value, 9, headers=headers)]))
    [[stored]] = world.producer.to("stage").values()
    [(header, payload)] = packed.unpack(stored.value)
    assert header == [EVENT, "u", 4, 1_600_000_000_000, list(redriven), len(value)]
    assert payload.endswith(value)
