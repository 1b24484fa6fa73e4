"""Whatever form an event has on the topic: Avro, or another tool's envelope."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import fastavro
import orjson
import pytest

from streams.avro import codec, wire
from streams.avro.reader import AvroReader, Written
from streams.avro.registry import connected
from streams.avro.schemas import RESOLVED_EVENT, SEGMENT_EVENT, fingerprint, known, parse, text_of
from streams.settings import Settings
from tests.functional.conftest import World, event, text
from tests.functional.test_dlq import dlq
from tests.functional.test_validate import validate
from tests.support.registry import SmallRegistry, schema, small_registry
from tests.support.world import (
    KEY,
    assert_accounts_balance,
    consume,
    consumed,
    stand_in,
    until,
    workers,
)

pytestmark = pytest.mark.functional

AT = "2026-11-02T08:00:00.000Z"
LATER = "2026-11-02T08:00:09.000Z"

# What a record holds, and what of it arrives: (messageId, userId, segmentAnonymousId, timestamp),
# and the email where it is known. None stands for the id that is made from the record's place.
GOLDEN: dict[str, tuple[Any, list[tuple[Any, ...]]]] = {
    "bare": (
        event("track", "bare", userId="u"),
        [("m-bare", "u", None, AT)],
    ),
    "segment's kafka destination: every field, null ids": (
        event("track", "null", userId=None, anonymousId="a", previousId=None, groupId=None)
        | {"integrations": {"All": True}, "projectId": "web", "version": 2},
        [("m-null", None, "a", AT)],
    ),
    "numeric ids": (
        {"type": "track", "event": "E", "messageId": 17, "userId": 7.0, "timestamp": AT},
        [("17", "7", None, AT)],
    ),
    "rudder python: traits in the context": (
        event("identify", "rpy", userId="u2")
        | {"channel": "server", "context": {"traits": {"email": "2@example.com"}}},
        [("m-rpy", "u2", None, AT, "2@example.com")],
    ),
    "rudder node: originalTimestamp without timestamp": (
        {
            "type": "track",
            "event": "E",
            "messageId": "rnode",
            "userId": "u",
            "originalTimestamp": AT,
            "sentAt": LATER,
        },
        [("rnode", "u", None, AT)],
    ),
    "jitsu": (
        {
            "ingestType": "s2s",
            "messageCreated": LATER,
            "writeKey": "k",
            "messageId": "j-1",
            "type": "track",
            "httpHeaders": {"user-agent": "x"},
            "httpPayload": {"type": "track", "event": "E", "anonymousId": "j"},
        },
        [("j-1", None, "j", LATER)],
    ),
    "rudderstack's archive": (
        {
            "userId": "u",
            "createdAt": LATER,
            "messageId": "r-1",
            "payload": {
                "type": "track",
                "event": "E",
                "userId": "u",
                "originalTimestamp": AT,
                "sentAt": AT,
            },
        },
        [("r-1", "u", None, LATER)],
    ),
    "a batch in rudderstack's archive": (
        {
            "userId": "u",
            "createdAt": LATER,
            "messageId": "r-2",
            "payload": {"batch": [event("track", f"rb{n}", userId="u") for n in (1, 2)]},
        },
        [("m-rb1", "u", None, AT), ("m-rb2", "u", None, AT)],
    ),
    "a whole /v1/batch body": (
        {
            "writeKey": "k",
            "sentAt": LATER,
            "context": {"locale": "de"},
            "batch": [
                event("identify", "b1", anonymousId="b", userId="bu")
                | {"traits": {"email": "b@example.com"}},
                event("track", "b2", anonymousId="b"),
                {"type": "track", "event": "E", "anonymousId": "b", "timestamp": AT},
                {"type": "track", "event": "E", "anonymousId": "b", "timestamp": AT},
            ],
        },
        [
            ("m-b1", "bu", "b", AT, "b@example.com"),
            ("m-b2", "bu", "b", AT, "b@example.com"),
            ("kafka-{}-{}-{}-2", "bu", "b", AT, "b@example.com"),
            ("kafka-{}-{}-{}-3", "bu", "b", AT, "b@example.com"),
        ],
    ),
}


async def test_every_envelope_arrives_as_the_events_that_are_in_it(world: World) -> None:
    worker = world.worker()
    async with workers(worker):
        places = await world.feed(*(text(value) for value, _ in GOLDEN.values()))
        expected = [
            (call[0].format(world.topic, *place), *call[1:])
            for (_, calls), place in zip(GOLDEN.values(), places, strict=True)
            for call in calls
        ]
        await world.settled(len(expected), worker)
        assert_accounts_balance(await consumed(worker))
    arrived = {}
    for body in await world.bodies():
        user = body["user"]
        said = (body.get("userId"), body.get("segmentAnonymousId"), body["timestamp"])
        email = user.get("email")
        arrived[body["messageId"]] = (body["messageId"], *said, *([email] if email else []))
    assert sorted(arrived.values(), key=str) == sorted(expected, key=str)


async def test_a_batch_is_as_many_events_as_are_in_it_and_dies_one_by_one(
    small_world: World,
) -> None:
    world = small_world
    good = event("track", 1, userId="u")
    whole = {"batch": [good, {"type": "page"}, good, event("page", 2, userId="u")]}
    worker = world.worker()
    async with workers(worker):
        await world.feed(text(whole), text({"batch": []}))
        await world.settled(5, worker)
        metrics = await consumed(worker)
    assert_accounts_balance(metrics)
    assert metrics["streams_events_consumed_total"] == 5
    assert metrics["streams_events_duplicate_total"] == 1
    letters = await world.dead_letters(2)
    found = {headers["dlq.reason"]: value for value, headers in letters}
    assert orjson.loads(found["no-ids"] or b"")["type"] == "page"
    assert found["empty"] == text({"batch": []})


# -- Avro


def avro(body: str, record: Any, prefix: bytes) -> bytes:
    stream = BytesIO(prefix)
    stream.seek(0, 2)
    fastavro.schemaless_writer(stream, parse(body), record)
    return stream.getvalue()


JSON_COLUMN = schema(
    ("type", "string"),
    ("message_id", "string"),
    ("user_id", ["null", "string"]),
    ("event", ["null", "string"]),
    ("properties", "string"),
    ("sent_at", ["null", {"type": "long", "logicalType": "timestamp-micros"}]),
    ("timestamp", {"type": "long", "logicalType": "timestamp-millis"}),
)
STRUCTURED = schema(
    ("type", {"type": "enum", "name": "Type", "symbols": ["track", "page"]}),
    ("messageId", "string"),
    ("anonymousId", {"type": "string", "logicalType": "uuid"}),
    ("event", "string"),
    ("timestamp", "string"),
    ("properties", {"type": "map", "values": ["null", "double", "string"]}),
    (
        "context",
        {
            "type": "record",
            "name": "Context",
            "fields": [
                {"name": "ip", "type": ["null", "string"]},
                {"name": "locale", "type": ["null", "string"]},
            ],
        },
    ),
)
DEVICE = "00000000-0000-0000-0000-000000000007"


async def samples(register: Callable[[str], Any], topic: str) -> list[bytes]:
    """The same kind of event, written with schemas of several kinds."""
    own = parse(text_of(SEGMENT_EVENT))
    fields = {"event": "Paid", "userId": "u", "timestamp": AT, "properties": {"n": 1}}
    return [
        codec.encoder(own, wire.with_id(await register(text_of(SEGMENT_EVENT))))(
            {"type": "track", "messageId": "own", **fields}
        ),
        codec.encoder(own, wire.with_fingerprint(fingerprint(own)))(
            {"type": "track", "messageId": "single", **fields}
        ),
        avro(
            JSON_COLUMN,
            {
                "type": "track",
                "message_id": "column",
                "user_id": "u",
                "event": "Paid",
                "properties": '{"n":1}',
                "sent_at": None,
                "timestamp": 1793606400000,
            },
            wire.with_id(await register(JSON_COLUMN)),
        ),
        avro(
            STRUCTURED,
            {
                "type": "track",
                "messageId": "structured",
                "anonymousId": DEVICE,
                "event": "Paid",
                "timestamp": AT,
                "properties": {"n": 1.0, "coupon": None},
                "context": {"ip": "1.2.3.4", "locale": None},
            },
            wire.with_id(await register(STRUCTURED)),
        ),
        text({"type": "track", "messageId": "json", **fields}),
    ]


async def assert_samples_arrived(world: World) -> None:
    bodies = {body["messageId"]: body for body in await world.bodies()}
    assert set(bodies) == {"own", "single", "column", "structured", "json"}
    assert {body["timestamp"] for body in bodies.values()} == {AT}
    assert {body["event"] for body in bodies.values()} == {"Paid"}
    structured = bodies.pop("structured")
    assert structured["segmentAnonymousId"] == DEVICE
    assert structured["properties"] == {"n": 1, "coupon": None}
    assert structured["context"]["ip"] == "1.2.3.4"
    for body in bodies.values():
        assert body["userId"] == "u"
        assert body["properties"] == {"n": 1}


async def test_avro_and_json_share_a_topic(world: World) -> None:
    async with small_registry() as registry:

        async def register(body: str) -> int:
            return registry.add(world.topic, body)

        values = await samples(register, world.topic)
        worker = world.worker(SCHEMA_REGISTRY_URL=registry.url)
        async with workers(worker):
            await world.feed(*values)
            await world.settled(len(values), worker)
            assert_accounts_balance(await consumed(worker))
    await assert_samples_arrived(world)
    assert sorted(registry.requests) == [f"GET /schemas/ids/{id}" for id in (1, 2, 3)], "each once"


async def test_with_a_real_registry(kafka_world: World, registry: str) -> None:
    world = kafka_world
    async with connected(Settings(schema_registry_url=registry)) as client:  # type: ignore[arg-type]
        assert client is not None

        async def register(body: str) -> int:
            return await client.register(f"{world.topic}-{json.loads(body)['fields'][1]}", body)

        values = await samples(register, world.topic)
        worker = world.worker(
            SCHEMA_REGISTRY_URL=registry,
            STREAMS_PUBLISH_ACTIONS="true",
            STREAMS_PUBLISH_FORMAT="avro",
        )
        async with workers(worker):
            await world.feed(wire.with_id(999_999), *values)
            await world.settled(len(values) + 1, worker)
            assert_accounts_balance(await consumed(worker))
        await assert_samples_arrived(world)
        [(value, headers)] = await world.dead_letters(1)
        assert (value, headers["dlq.reason"]) == (wire.with_id(999_999), "unknown-schema")
        reader = AvroReader([], client)
        published = await consume(world.broker.bootstrap, f"app-{world.topic}-track", len(values))
        await reader.fetch(reader.missing(record.value for record in published))
        found = {orjson.loads(reader.read(record.value))["messageId"] for record in published}
        assert found == {"own", "single", "column", "structured", "json"}


async def test_avro_that_cannot_be_read_is_a_dead_letter_that_says_why(
    small_world: World,
) -> None:
    world = small_world
    async with small_registry() as registry:
        page = schema(("type", "string"), ("userId", "string"))
        id = registry.add("t", page)
        proto = registry.add("p", 'syntax = "proto3";', schemaType="PROTOBUF")
        good = avro(page, {"type": "page", "userId": "u"}, wire.with_id(id))
        bad = {
            "unknown-schema": wire.with_id(77) + b"x",
            "unusable-schema": wire.with_id(proto) + b"x",
            "not-avro": good[:-1],
            "unknown-type": avro(page, {"type": "nope", "userId": "u"}, wire.with_id(id)),
            "no-ids": avro(page, {"type": "page", "userId": ""}, wire.with_id(id)),
        }
        worker = world.worker(SCHEMA_REGISTRY_URL=registry.url)
        async with workers(worker):
            await world.feed(*bad.values(), good)
            await world.settled(len(bad) + 1, worker)
            assert_accounts_balance(await consumed(worker))
        letters = await world.dead_letters(len(bad))
    assert {headers["dlq.reason"]: value for value, headers in letters} == bad
    assert len(await world.bodies()) == 1


async def test_without_a_registry_the_dead_letter_names_the_setting_and_may_be_redriven(
    small_world: World,
) -> None:
    world = small_world
    page = schema(("type", "string"), ("userId", "string"))
    async with small_registry() as registry:
        raw = avro(page, {"type": "page", "userId": "u"}, wire.with_id(registry.add("t", page)))
        worker = world.worker()
        async with workers(worker):
            await world.feed(raw)
            await world.settled(1, worker)
        [(value, headers)] = await world.dead_letters(1)
        assert (value, headers["dlq.reason"]) == (raw, "no-registry")
        assert "SCHEMA_REGISTRY_URL" in headers["dlq.text"]
        mended = world.worker("mended", SCHEMA_REGISTRY_URL=registry.url)
        async with workers(mended):
            status, _, err = await dlq(world, "redrive", "--reason", "no-registry", "--yes")
            assert status == 0, err
            await world.settled(1, mended)
    assert len(await world.bodies()) == 1


@pytest.mark.parametrize("form", ["avro", "jitsu"])
async def test_what_the_destination_rejects_keeps_the_bytes_of_the_producer(
    world: World, form: str
) -> None:
    page = event("page", 1, userId="u")
    raw = codec.resolved(None)(page) if form == "avro" else text({"httpPayload": page})
    await world.encharge.faults({"fault": {"status": 422}})
    worker = world.worker(STREAMS_DLQ_BREAKER_SHARE="0")
    async with workers(worker):
        await world.feed(raw)
        await world.settled(1, worker)
        [(value, headers)] = await world.dead_letters(1)
        assert (value, headers["dlq.stage"]) == (raw, "deliver")
        await world.encharge.faults()
        status, _, err = await dlq(world, "redrive", "--reason", "rejected", "--yes")
        assert status == 0, err
        await world.settled(2, worker)
        assert_accounts_balance(await consumed(worker))
    assert [body["messageId"] for body in await world.bodies()] == ["m-1"]


async def test_a_registry_that_is_away_holds_its_partition_back_and_no_other(
    world: World,
) -> None:
    async with small_registry() as registry:
        page = schema(("type", "string"), ("messageId", "string"), ("userId", "string"))
        prefix = wire.with_id(registry.add("t", page))
        registry.status = 503
        held = [
            avro(page, {"type": "page", "messageId": f"h-{n}", "userId": "u"}, prefix)
            for n in range(3)
        ]
        others = [event("track", n, anonymousId=f"device-{n}") for n in range(40)]
        worker = world.worker(SCHEMA_REGISTRY_URL=registry.url)
        async with workers(worker):
            places = await world.feed(*held, text(event("page", "behind", userId="u")), *others)
            behind = [e for e, place in zip(others, places[4:], strict=True) if place[0] == 0]
            await world.settled(len(others) - len(behind), worker)
            assert len(behind) < len(others)

            async def has_asked() -> bool:
                return len(registry.requests) >= 2

            await until(has_asked, "it was asked again")
            arrived = {body["messageId"] for body in await world.bodies()}
            assert not arrived & {"h-0", "h-1", "h-2", "m-behind"}
            registry.status = 200
            await world.settled(len(held) + 1 + len(others), worker)
            metrics = await consumed(worker)
            assert_accounts_balance(metrics)
            assert metrics["streams_events_dead_lettered_total"] == 0
            assert "SCHEMA_REGISTRY_URL" in worker.log()
    people = [body["messageId"] for body in await world.bodies() if body.get("userId") == "u"]
    assert people == ["h-0", "h-1", "h-2", "m-behind"]


async def test_a_worker_that_waits_for_its_registry_ends_when_it_is_told_to(
    kafka_world: World,
) -> None:
    world = kafka_world
    async with small_registry() as registry:
        page = schema(("type", "string"), ("messageId", "string"), ("userId", "string"))
        raw = avro(
            page,
            {"type": "page", "messageId": "h", "userId": "u"},
            wire.with_id(registry.add("t", page)),
        )
        registry.status = 503
        settings = {"SCHEMA_REGISTRY_URL": registry.url, "STREAMS_DRAIN_SECONDS": "1"}
        first, second = world.worker("first", **settings), world.worker("second", **settings)
        async with workers(first):
            await world.feed(raw)

            async def has_asked() -> bool:
                return len(registry.requests) >= 1

            await until(has_asked, "it was asked")
            assert await first.stop() == 0
        registry.status = 200
        async with workers(second):
            await world.settled(1, second)
    assert [body["messageId"] for body in await world.bodies()] == ["h"]


# -- what is published


@asynccontextmanager
async def registry_or_none(is_there: bool) -> AsyncIterator[SmallRegistry | None]:
    if not is_there:
        yield None
        return
    async with small_registry() as registry:
        yield registry


@pytest.mark.parametrize("is_there", [True, False], ids=["registry", "single-object"])
async def test_published_events_may_be_avro(small_world: World, is_there: bool) -> None:
    world = small_world
    events = [
        event("identify", 1, anonymousId="a", userId="u"),
        event("track", 2, anonymousId="a", properties={"n": [1, None]}, extra={"x": 1}),
    ]
    async with registry_or_none(is_there) as registry:
        url = {} if registry is None else {"SCHEMA_REGISTRY_URL": registry.url}
        worker = world.worker(STREAMS_PUBLISH_ACTIONS="true", STREAMS_PUBLISH_FORMAT="avro", **url)
        async with workers(worker):
            await world.feed(*events)
            await world.settled(len(events), worker)
    [published] = await consume(world.broker.bootstrap, f"app-{world.topic}-track", 1)
    reader = AvroReader(known(None))
    if registry is not None:
        id, _ = wire.split(published.value)
        assert isinstance(id, int)
        assert registry.subjects[f"app-{world.topic}-track-value"] == [id]
        assert registry.schemas[id]["schema"] == text_of(RESOLVED_EVENT)
        assert len(registry.subjects) == 8, "one for each action"
        reader._decoders[id] = codec.decoder(parse(Written("AVRO", text_of(RESOLVED_EVENT)).text))
    assert orjson.loads(reader.read(published.value)) == events[1] | {"userId": "u"}
    assert published.key == b"a"


async def test_a_schema_that_may_not_be_published_ends_the_worker_at_its_start(
    small_world: World,
) -> None:
    world = small_world
    async with small_registry() as registry:
        registry.incompatible = True
        worker = world.worker(
            STREAMS_PUBLISH_ACTIONS="true",
            STREAMS_PUBLISH_FORMAT="avro",
            SCHEMA_REGISTRY_URL=registry.url,
        )
        await worker._launch()
        try:
            assert await worker.ended() == 2
        finally:
            await worker.end()
    assert "STREAMS_PUBLISH_FORMAT" in worker.log()


async def test_validate_asks_the_registry_too() -> None:
    async with stand_in() as encharge, small_registry() as registry:
        online = {"ENCHARGE_API_KEY": KEY, "ENCHARGE_API_URL": encharge.url}
        good, away, without, broken = await asyncio.gather(
            validate("--online", **online, SCHEMA_REGISTRY_URL=registry.url),
            validate("--online", **online, SCHEMA_REGISTRY_URL="http://127.0.0.1:1"),
            validate("--online", **online),
            validate(**online, STREAMS_AVRO_SCHEMAS="/nowhere"),
        )
    assert (good[0], f"{registry.url} answers" in good[1]) == (0, True)
    assert (away[0], "SCHEMA_REGISTRY_URL" in away[2]) == (1, True)
    assert (without[0], "registry" in without[1]) == (0, False)
    assert (broken[0], "STREAMS_AVRO_SCHEMAS" in broken[2]) == (2, True)
