"""The main job: everything once, in order per person, with the right identity, come what may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from tests.functional.conftest import PARTITIONS, World, event
from tests.support.kafka import Broker
from tests.support.traces import Trace, check, signups
from tests.support.world import (
    assert_accounts_balance,
    at_rest,
    consume,
    consumed,
    produce,
    until,
    workers,
)

pytestmark = pytest.mark.functional


async def test_every_event_once_in_order_with_the_right_identity(world: World) -> None:
    trace = signups(people=300, events=2000, seed=1)
    worker = world.worker()
    async with workers(worker):
        await produce(world.broker.bootstrap, world.topic, trace.records(PARTITIONS))
        await world.settled(len(trace.events), worker)
        metrics = await consumed(worker)
        assert_accounts_balance(metrics)
        assert metrics["streams_events_delivered_total"] == len(trace.events)
        assert await worker.stop() == 0
    check(trace, await world.encharge.requests())


@pytest.mark.kafka
async def test_a_killed_worker_loses_nothing(
    kafka_world: World, record_property: Callable[[str, object], None]
) -> None:
    world = kafka_world
    trace = signups(people=200, events=2000, seed=2)
    worker = world.worker(STREAMS_MAX_CONCURRENCY="16")
    await world.encharge.faults({"fault": {"slow": 0.01}})
    async with workers(worker):
        await produce(world.broker.bootstrap, world.topic, trace.records(PARTITIONS))
        for share in (0.2, 0.5):

            async def arrived(wanted: float = share * len(trace.events)) -> bool:
                return (await world.encharge.stats())["applied"] >= wanted

            await until(arrived, f"{share:.0%} delivered")
            await worker.kill()
            await worker.start()

        async def all_arrived() -> bool:
            stats = await world.encharge.stats()
            return stats["messageIds"]["distinct"] >= len(trace.events)

        await until(all_arrived, "everything delivered")
        await at_rest(worker)
        assert_accounts_balance(await consumed(worker))
    requests = await world.encharge.requests()
    # At each kill: what was on the wire, and what was answered but not yet remembered.
    repeated = (await world.encharge.stats())["messageIds"]["appliedMoreThanOnce"]
    record_property("repeats after two kills", repeated)
    check(trace, requests, repeats=2 * (16 + 200))


@pytest.mark.kafka
async def test_a_second_start_goes_on_where_the_first_stopped(kafka_world: World) -> None:
    world = kafka_world
    trace = signups(people=100, events=1000, seed=3)
    records = trace.records(PARTITIONS)
    worker = world.worker()
    async with workers(worker):
        await produce(world.broker.bootstrap, world.topic, records[:600])
        await asyncio.sleep(1)
        assert await worker.stop() == 0
        before = len(await world.encharge.requests())
        await worker.start()
        await produce(world.broker.bootstrap, world.topic, records[600:])

        async def all_arrived() -> bool:
            stats = await world.encharge.stats()
            return stats["messageIds"]["distinct"] >= len(trace.events)

        await until(all_arrived, "everything delivered")
        assert await worker.stop() == 0
    assert 0 < before <= 600
    check(trace, await world.encharge.requests())


@pytest.mark.kafka
async def test_a_stop_drains_the_window_within_the_set_time(kafka_world: World) -> None:
    world = kafka_world
    worker = world.worker(STREAMS_BATCH_MAX_SECONDS="30", STREAMS_DRAIN_SECONDS="10")
    async with workers(worker):
        await world.feed(*(event("track", n, anonymousId=f"a{n}") for n in range(20)))

        async def taken() -> bool:
            return (await worker.metrics())["streams_events_in_flight"] == 20

        await until(taken, "events in the window")
        assert await world.bodies() == []
        started = asyncio.get_running_loop().time()
        assert await worker.stop() == 0
        assert asyncio.get_running_loop().time() - started < 10
        assert len(await world.bodies()) == 20
        await worker.start()
        await asyncio.sleep(1)
        assert (await worker.metrics())["streams_events_consumed_total"] == 0


@pytest.mark.kafka
async def test_a_stop_does_not_wait_for_ever_for_a_dead_destination(kafka_world: World) -> None:
    world = kafka_world
    await world.encharge.faults({"fault": {"status": 503}})
    worker = world.worker(STREAMS_DRAIN_SECONDS="1")
    async with workers(worker):
        await world.feed(event("track", 1, anonymousId="a"))

        async def tried() -> bool:
            return (await worker.metrics())["streams_retries_total"] > 0

        await until(tried, "a retry")
        assert await worker.stop() == 0
        await world.encharge.faults()
        await worker.start()
        await world.settled(1, worker)
    assert [body["messageId"] for body in await world.bodies()] == ["m-1"]


@pytest.mark.kafka
async def test_a_repeated_event_is_sent_once_also_after_a_restart(kafka_world: World) -> None:
    world = kafka_world
    first = event("track", 1, anonymousId="a", userId="u")
    worker = world.worker()
    async with workers(worker):
        await world.feed(first, first, event("track", 2, anonymousId="a"))
        await world.settled(3, worker)
        assert await worker.stop() == 0
        await worker.start()
        await world.feed(first, event("track", 3, anonymousId="a"))
        await world.settled(2, worker)
        assert (await worker.metrics())["streams_events_duplicate_total"] == 1
    assert [body["messageId"] for body in await world.bodies()] == ["m-1", "m-2", "m-3"]


async def test_an_alias_holds_for_every_partition(world: World) -> None:
    old = [event("track", f"old-{n}", anonymousId=f"device-{n}", userId="old") for n in range(8)]
    alias = event("alias", "alias", userId="new", previousId="old")
    later = [
        event("track", "later-user", userId="old"),
        *(event("track", f"later-{n}", anonymousId=f"device-{n}") for n in range(8)),
    ]
    worker = world.worker()
    async with workers(worker):
        # One source partition: there the order between people is known.
        for part in (old, [alias], later):
            await produce(
                world.broker.bootstrap,
                world.topic,
                [(0, record) for _, record in Trace(part).records(PARTITIONS)],
            )
        await world.settled(len(old) + 1 + len(later), worker)
    who = {body["messageId"]: body["userId"] for body in await world.bodies()}
    assert {who[e["messageId"]] for e in old} == {"old"}
    assert {who[e["messageId"]] for e in later} == {"new"}


@pytest.mark.kafka
async def test_identities_survive_a_restart_on_an_empty_disk(kafka_world: World) -> None:
    world = kafka_world
    worker = world.worker()
    other = world.worker("other")
    async with workers(worker):
        await world.feed(
            event("identify", 1, anonymousId="a", userId="u", traits={"email": "u@example.com"})
        )
        await world.settled(1, worker)
        assert await worker.stop() == 0
    async with workers(other):
        await world.feed(event("page", 2, anonymousId="a"))
        await world.settled(1, other)
    page = (await world.bodies())[-1]
    assert (page["userId"], page["user"]["email"]) == ("u", "u@example.com")


@pytest.mark.kafka
async def test_a_deleted_person_stays_forgotten_after_a_restart_on_an_empty_disk(
    kafka_world: World,
) -> None:
    world = kafka_world
    devices = [f"device-{n}" for n in range(8)]
    worker, other = world.worker(), world.worker("other")
    async with workers(worker):
        logins = [
            event("identify", d, anonymousId=d, userId="u", traits={"email": "u@example.com"})
            for d in devices
        ]
        await world.feed(*logins, event("identify", "v", anonymousId="v-device", userId="v"))
        await world.settled(9, worker)
        await world.feed(event("delete", "gone", userId="u"))
        await world.settled(10, worker)
        await world.feed(*(event("page", f"{d}-2", anonymousId=d) for d in devices))
        await world.settled(18, worker)
        assert await worker.stop() == 0
    async with workers(other):
        await world.feed(*(event("page", f"{d}-3", anonymousId=d) for d in (*devices, "v-device")))
        await world.settled(9, other)
    # The call of the deletion has no body.
    calls = [body for body in await world.bodies() if body is not None]
    pages = [body for body in calls if body["type"] == "page"]
    assert len(pages) == 17
    known = [body for body in pages if "userId" in body or "email" in body.get("user", {})]
    assert [body["messageId"] for body in known] == ["m-v-device-3"]


async def test_a_shared_computer_belongs_to_who_logged_in_last(small_world: World) -> None:
    world = small_world
    worker = world.worker()
    async with workers(worker):
        await world.feed(
            event("page", 1, anonymousId="pc"),
            event("identify", 2, anonymousId="pc", userId="u1", traits={"email": "1@example.com"}),
            event("page", 3, anonymousId="pc"),
            event("identify", 4, anonymousId="pc", userId="u2"),
            event("page", 5, anonymousId="pc"),
        )
        await world.settled(5, worker)
    bodies = await world.bodies()
    assert [body.get("userId") for body in bodies] == [None, "u1", "u1", "u2", "u2"]
    assert bodies[2]["user"]["email"] == "1@example.com"
    assert "email" not in bodies[4]["user"]


async def test_resolved_events_can_be_published_by_action(small_world: World) -> None:
    world = small_world
    worker = world.worker(STREAMS_PUBLISH_ACTIONS="true")
    async with workers(worker):
        await world.feed(
            event("identify", 1, anonymousId="a", userId="u"),
            event("track", 2, anonymousId="a"),
            event("track", 3, anonymousId="a"),
        )
        await world.settled(3, worker)
    tracks = await consume(world.broker.bootstrap, f"app-{world.topic}-track", 2)
    values = [orjson.loads(record.value) for record in tracks]
    assert [value["messageId"] for value in values] == ["m-2", "m-3"]
    assert {value["userId"] for value in values} == {"u"}
    assert {record.key for record in tracks} == {b"a"}


@pytest.mark.kafka
async def test_two_workers_may_share_a_data_directory(kafka_world: World) -> None:
    world = kafka_world
    shared = str(world.directory / "shared")
    trace = signups(people=60, events=600, seed=5)
    pair = [world.worker(name, STREAMS_DATA_DIR=shared) for name in ("one", "two")]
    async with workers(*pair):
        await produce(world.broker.bootstrap, world.topic, trace.records(PARTITIONS))
        await world.settled(len(trace.events), *pair)
    check(trace, await world.encharge.requests())


@pytest.mark.kafka
async def test_workers_come_and_go_without_loss_or_disorder(kafka_world: World) -> None:
    world = kafka_world
    trace = signups(people=150, events=3000, seed=6)
    records = trace.records(PARTITIONS)
    await world.encharge.faults({"fault": {"slow": 0.01}})
    first, second = (world.worker(name, STREAMS_MAX_CONCURRENCY="8") for name in ("one", "two"))
    async with workers(first):
        await produce(world.broker.bootstrap, world.topic, records[:1000])
        async with workers(second):
            await produce(world.broker.bootstrap, world.topic, records[1000:2000])
            await asyncio.sleep(1)
            await first.kill()
            await produce(world.broker.bootstrap, world.topic, records[2000:])
            await asyncio.sleep(1)
            await first.start()
            assert await second.stop() == 0

        async def all_arrived() -> bool:
            stats = await world.encharge.stats()
            return stats["messageIds"]["distinct"] >= len(trace.events)

        await until(all_arrived, "everything delivered")
        await at_rest(first)
        assert_accounts_balance(await consumed(first))
    # One kill: what was on the wire, and what was answered but not yet remembered.
    check(trace, await world.encharge.requests(), repeats=8 + 200)


@pytest.mark.kafka
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_producers_may_compress(kafka: Broker, unique: str, codec: str) -> None:
    await kafka.create_topic(unique, 1)
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, compression_type=codec
    ) as producer:
        for number in range(50):
            await producer.send(unique, f"value {number} ".encode() * 20)
    assert len(await consume(kafka.bootstrap, unique, 50)) == 50


async def test_several_source_topics_by_list_and_by_pattern(small_world: World) -> None:
    world = small_world
    other = f"{world.topic}-other"
    await world.broker.create_topic(other, 1)
    by_list = world.worker("list", STREAMS_SOURCE_TOPIC=f"{world.topic}, {other}")
    by_pattern = world.worker(
        "pattern", STREAMS_SOURCE_TOPIC=f"^{world.topic}(-other)?$", STREAMS_APP_ID="by-pattern"
    )
    async with workers(by_list, by_pattern):
        await world.feed(event("track", 1, userId="a"))
        await produce(
            world.broker.bootstrap, other, Trace([event("page", 2, userId="b")]).records(1)
        )
        await world.settled(2, by_list)
        await world.settled(2, by_pattern)
    assert sorted(body["messageId"] for body in await world.bodies()) == [
        "m-1",
        "m-1",
        "m-2",
        "m-2",
    ]


async def test_a_source_topic_that_is_not_there_yet_is_made(small_world: World) -> None:
    world = small_world
    worker = world.worker(STREAMS_SOURCE_TOPIC="not-there-yet", STREAMS_PARTITIONS="2")
    async with workers(worker):
        await produce(
            world.broker.bootstrap,
            "not-there-yet",
            Trace([event("page", 1, userId="a")]).records(2),
        )
        await world.settled(1, worker)
    assert len(await world.bodies()) == 1


async def test_another_number_of_partitions_is_refused_with_what_to_do(small_world: World) -> None:
    world = small_world
    first = world.worker()
    async with workers(first):
        pass
    second = world.worker("second", STREAMS_PARTITIONS="5")
    with pytest.raises(AssertionError, match=r"STREAMS_PARTITIONS is 5, but .* has 4: set it to"):
        async with workers(second):
            pass


async def test_a_worker_can_be_restarted_on_the_embedded_broker(small_world: World) -> None:
    world = small_world
    worker = world.worker()
    async with workers(worker):
        for turn in range(3):
            await world.feed(
                *(event("track", f"{turn}-{n}", anonymousId="a", userId=f"u{n}") for n in range(5))
            )
            await world.settled(5, worker)
            assert await worker.stop() == 0
            await worker.start()
    assert len(await world.bodies()) == 15
