"""Whatever is on the topic: a dead letter that explains itself, and unaffected neighbours."""

from __future__ import annotations

import gzip
import random
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.functional.conftest import World, event, text
from tests.support.world import assert_accounts_balance, consumed, workers

pytestmark = pytest.mark.functional

BAD: dict[str, tuple[bytes | None, str]] = {
    "tombstone": (None, "empty"),
    "empty": (b"", "empty"),
    "not json": (b'{"type": "track", ', "not-json"),
    "scalar": (b"42", "not-an-object"),
    "null": (b"null", "not-an-object"),
    "array": (b'[{"type": "page"}]', "not-an-object"),
    "invalid utf-8": (b'{"type": "page", "userId": "\xff\xfe"}', "invalid-utf8"),
    "no type": (text({"userId": "u"}), "no-type"),
    "null type": (text({"type": None, "userId": "u"}), "no-type"),
    "unknown type": (text({"type": "purchase", "userId": "u"}), "unknown-type"),
    "type of wrong type": (text({"type": ["track"], "userId": "u"}), "unknown-type"),
    "no ids": (text({"type": "page"}), "no-ids"),
    "null ids": (text({"type": "page", "userId": None, "anonymousId": None}), "no-ids"),
    "empty ids": (text({"type": "page", "userId": ""}), "no-ids"),
    "too large": (text({"type": "page", "userId": "u", "x": "y" * 33_000}), "too-large"),
    "nesting bomb": (b'{"type":"page","userId":"u","properties":' + b"[" * 9000, "too-deep"),
    "deep nesting": (
        b'{"type":"page","userId":"u","properties":{"a":' + b"[" * 300 + b"]" * 300 + b"}}",
        "too-deep",
    ),
    "nonsense timestamp": (
        text({"type": "page", "userId": "u", "timestamp": "yesterday"}),
        "invalid-timestamp",
    ),
    "numeric timestamp": (
        text({"type": "page", "userId": "u", "timestamp": 1795317496}),
        "invalid-timestamp",
    ),
    **{
        f"{name} of wrong type": (
            text({"type": "page", "anonymousId": "a", name: wrong}),
            "wrong-type",
        )
        for name, wrong in {
            "userId": {"id": 1},
            "messageId": ["m"],
            "groupId": True,
            "previousId": {},
            "context": "web",
            "traits": [1],
            "properties": "x",
            "integrations": [],
            "event": {},
            "name": [],
        }.items()
    },
    "track without event": (
        text({"type": "track", "userId": "u", "messageId": "no-event"}),
        "invalid-payload",
    ),
}


async def test_bad_input_becomes_dead_letters_and_leaves_its_neighbours_alone(
    world: World,
) -> None:
    records: list[Any] = []
    for number, (value, _) in enumerate(BAD.values()):
        records += [value, event("track", number, anonymousId="neighbour")]
    worker = world.worker()
    async with workers(worker):
        places = await world.feed(*records)
        await world.settled(len(records), worker)
        metrics = await consumed(worker)
    assert_accounts_balance(metrics)
    assert metrics["streams_events_dead_lettered_total"] == len(BAD)
    arrived = [body["messageId"] for body in await world.bodies()]
    assert arrived == [f"m-{number}" for number in range(len(BAD))]

    letters = await world.dead_letters(len(BAD))
    assert len(letters) == len(BAD)
    found = {(int(h["dlq.partition"]), int(h["dlq.offset"])): (v, h) for v, h in letters}
    for (value, reason), place in zip(BAD.values(), places[::2], strict=True):
        buried, headers = found[place]
        assert (buried or b"") == (value or b""), "the original bytes"
        assert headers["dlq.reason"] == reason
        assert headers["dlq.topic"] == world.topic
        assert headers["dlq.stage"] == ("deliver" if reason == "invalid-payload" else "ingest")
        assert len(headers["dlq.text"]) > 20, "an explanation"


@pytest.mark.kafka
@pytest.mark.parametrize("takes_it", [True, False], ids=["made-by-us", "made-by-hand"])
async def test_a_record_larger_than_a_topic_usually_takes(
    kafka_world: World, takes_it: bool
) -> None:
    world = kafka_world
    large = random.Random(1).randbytes(2_000_000)
    source = f"{world.topic}-large"
    await world.broker.create_topic(
        source, 1, **{"max.message.bytes": 5_000_000, "segment.bytes": 50_000_000}
    )
    if not takes_it:
        await world.broker.create_topic(f"app-{world.topic}-dead-letters", 1)
    worker = world.worker(STREAMS_SOURCE_TOPIC=source)
    async with workers(worker):
        async with AIOKafkaProducer(
            bootstrap_servers=world.broker.bootstrap, max_request_size=5_000_000
        ) as producer:
            await producer.send_and_wait(source, large)
            await producer.send_and_wait(source, text(event("page", 1, userId="u")))
        await world.settled(2, worker)
    [(value, headers)] = await world.dead_letters(1)
    assert value is not None
    if takes_it:
        assert gzip.decompress(value) == large
        assert headers["dlq.content-encoding"] == "gzip"
    else:
        assert large.startswith(value)
        assert headers["dlq.truncated-from"] == "2000000"
    assert headers["dlq.reason"] == "too-large"
    assert len(await world.bodies()) == 1


async def test_ids_that_are_numbers_are_read_as_their_text(small_world: World) -> None:
    world = small_world
    worker = world.worker()
    async with workers(worker):
        await world.feed(
            text(event("identify", 1, anonymousId="a") | {"userId": 7}),
            text(event("page", 2, anonymousId="a") | {"userId": None}),
            text(event("page", 3, userId="7") | {"anonymousId": None}),
        )
        await world.settled(3, worker)
    assert {body["userId"] for body in await world.bodies()} == {"7"}


async def test_the_size_limit_is_a_setting(small_world: World) -> None:
    world = small_world
    big = event("track", 1, userId="u", properties={"x": "y" * 40_000})
    worker = world.worker(STREAMS_MAX_EVENT_BYTES="50000")
    async with workers(worker):
        await world.feed(big)
        await world.settled(1, worker)
    assert len(await world.bodies()) == 1
