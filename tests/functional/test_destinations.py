"""Several destinations: each gets everything, at its own pace, and none holds up another."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.functional.conftest import PARTITIONS, World, event
from tests.functional.test_dlq import dlq, ls
from tests.support.traces import check, signups
from tests.support.world import (
    StandIn,
    Worker,
    assert_accounts_balance,
    at_rest,
    consumed,
    produce,
    stand_in,
    until,
    workers,
)

pytestmark = pytest.mark.functional

ONE = "  - type: encharge\n    name: one\n"
OTHER = """  - type: encharge
    name: other
    settings:
      ENCHARGE_API_URL: ${OTHER_URL}
      ENCHARGE_INGEST_URL: ${OTHER_URL}/v1
      STREAMS_MAX_CONCURRENCY: 8
"""


@dataclass
class Two:
    """A world with a second stand-in."""

    world: World
    other: StandIn

    @property
    def one(self) -> StandIn:
        return self.world.encharge

    def worker(self, *destinations: str, name: str = "worker", **settings: str) -> Worker:
        """A worker with a configuration of these destinations; not started."""
        config = self.world.directory / f"{name}-{len(destinations)}.yaml"
        config.write_text("".join(("destinations:\n", *destinations)))
        settings = {"STREAMS_CONFIG": str(config), "OTHER_URL": self.other.url, **settings}
        return self.world.worker(name, **settings)


@pytest.fixture
async def two(world: World) -> AsyncIterator[Two]:
    async with stand_in() as other:
        yield Two(world, other)


@pytest.fixture
async def small_two(small_world: World) -> AsyncIterator[Two]:
    async with stand_in() as other:
        yield Two(small_world, other)


@pytest.fixture
async def kafka_two(kafka_world: World) -> AsyncIterator[Two]:
    async with stand_in() as other:
        yield Two(kafka_world, other)


def of(destination: str, metrics: Mapping[str, int]) -> Counter[str]:
    """The metrics of one destination's events, by name."""
    found: Counter[str] = Counter()
    for name, value in metrics.items():
        bare, _, labels = name.partition("{")
        if f"destination={destination}" in labels.strip("}").split(","):
            found[bare] += value
    return found


async def has_distinct(encharge: StandIn, count: int) -> bool:
    return (await encharge.stats())["messageIds"]["distinct"] >= count


async def test_each_gets_every_event_once_in_order_with_the_right_identity(two: Two) -> None:
    trace = signups(people=200, events=1200, seed=11)
    count = len(trace.events)
    worker = two.worker(ONE, OTHER)
    async with workers(worker):
        records = trace.records(PARTITIONS)
        # Every tenth comes twice, and once there is something that is no event.
        await produce(
            two.world.broker.bootstrap, two.world.topic, [*records, *records[::10], (0, b"{")]
        )
        await two.world.settled(2 * count + count // 10 + 1, worker)
        metrics = await consumed(worker)
        assert await worker.stop() == 0
    for encharge in (two.one, two.other):
        check(trace, await encharge.requests())
    assert_accounts_balance(metrics)
    for name in ("one", "other"):
        assert_accounts_balance(of(name, metrics))
        assert of(name, metrics)["streams_events_delivered_total"] == count
    # What never got as far as a destination counts once.
    assert_accounts_balance(of("", metrics))
    assert of("", metrics)["streams_events_duplicate_total"] == count // 10
    assert of("", metrics)["streams_events_dead_lettered_total"] == 1


async def test_a_dead_one_holds_up_nobody_and_catches_up(small_two: Two) -> None:
    two = small_two
    trace = signups(people=100, events=1500, seed=12)
    count = len(trace.events)
    await two.other.faults({"fault": {"status": 503}})
    worker = two.worker(ONE, OTHER, STREAMS_MAX_WAITING_EVENTS="300")
    async with workers(worker):
        await produce(two.world.broker.bootstrap, two.world.topic, trace.records(PARTITIONS))
        await until(lambda: has_distinct(two.one, count), "everything at the one that lives")
        metrics = of("other", await consumed(worker))
        assert metrics["streams_events_delivered_total"] == 0
        assert metrics["streams_events_in_flight"] > 0
        requests = (await two.one.stats())["requests"]
        await two.other.faults()
        await until(lambda: has_distinct(two.other, count), "everything at the other")
        await at_rest(worker)
        assert_accounts_balance(await consumed(worker))
        assert (await two.one.stats())["requests"] == requests, "nothing is sent to it again"
    for encharge in (two.one, two.other):
        check(trace, await encharge.requests())


@pytest.mark.kafka
async def test_killed_workers_lose_nothing_for_any(
    kafka_two: Two, record_property: Callable[[str, object], None]
) -> None:
    two = kafka_two
    trace = signups(people=150, events=1500, seed=13)
    count = len(trace.events)
    for encharge in (two.one, two.other):
        await encharge.faults({"fault": {"slow": 0.01}})
    both = [two.worker(ONE, OTHER, name=name, STREAMS_MAX_CONCURRENCY="8") for name in "ab"]
    async with workers(*both):
        await produce(two.world.broker.bootstrap, two.world.topic, trace.records(PARTITIONS))
        for share, worker in ((0.2, both[0]), (0.5, both[1])):
            wanted = int(share * count)
            await until(lambda wanted=wanted: has_distinct(two.other, wanted), f"{share:.0%}")
            await worker.kill()
            await worker.start()
        for encharge in (two.one, two.other):
            await until(lambda encharge=encharge: has_distinct(encharge, count), "everything")
        await at_rest(*both)
        assert_accounts_balance(await consumed(*both))
    for name, encharge in (("one", two.one), ("other", two.other)):
        stats = await encharge.stats()
        record_property(f"repeats at {name}", stats["messageIds"]["appliedMoreThanOnce"])
        # At each kill: what was on the wire, and what was answered but not yet remembered.
        check(trace, await encharge.requests(), repeats=2 * (8 + 100))


async def test_an_event_goes_to_those_that_its_integrations_name(small_two: Two) -> None:
    two = small_two
    worker = two.worker(ONE, OTHER)
    async with workers(worker):
        await two.world.feed(
            event("track", 1, userId="u"),
            event("track", 2, userId="u", integrations={"All": False}),
            event("track", 3, userId="u", integrations={"All": False, "Encharge": True}),
        )
        await two.world.settled(5, worker)
        metrics = await consumed(worker)
    assert_accounts_balance(metrics)
    # Nobody wants the second: it ends before there are several of it.
    assert of("", metrics)["streams_events_filtered_total"] == 1
    for encharge in (two.one, two.other):
        assert [r["messageId"] for r in await encharge.requests()] == ["m-1", "m-3"]


async def test_a_dead_letter_is_redriven_for_the_one_that_it_did_not_reach(
    small_two: Two,
) -> None:
    two = small_two
    await two.other.faults(
        {"match": {"messageId": "m-1"}, "fault": {"status": 422, "body": {}}, "times": 1}
    )
    worker = two.worker(ONE, OTHER)
    async with workers(worker):
        await two.world.feed(event("track", 1, userId="u"), event("track", 2, userId="u"))
        await two.world.settled(4, worker)
        [letter] = await ls(two.world)
        assert letter["destination"] == "other"
        status, _, told = await dlq(two.world, "redrive", letter["id"], "--yes")
        assert status == 0, told
        await until(lambda: has_distinct(two.other, 2), "the redriven one")
        await at_rest(worker)
        metrics = await consumed(worker)
        assert_accounts_balance(metrics)
        assert of("one", metrics)["streams_events_consumed_total"] == 2
        assert of("other", metrics)["streams_events_consumed_total"] == 3
    assert [r["messageId"] for r in await two.one.requests()] == ["m-1", "m-2"]
    assert [r["messageId"] for r in await two.other.requests() if r["applied"]] == ["m-2", "m-1"]


async def test_a_redriven_event_whose_destination_is_gone_is_a_dead_letter_again(
    small_two: Two,
) -> None:
    two = small_two
    await two.other.faults({"match": {"messageId": "m-1"}, "fault": {"status": 422, "body": {}}})
    worker = two.worker(ONE, OTHER)
    async with workers(worker):
        await two.world.feed(event("track", 1, userId="u"))
        await two.world.settled(2, worker)
        [letter] = await ls(two.world)
        assert await worker.stop() == 0
    worker = two.worker(ONE)
    async with workers(worker):
        status, _, told = await dlq(two.world, "redrive", letter["id"], "--yes")
        assert status == 0, told
        await two.world.settled(1, worker)
        assert_accounts_balance(await consumed(worker))
    told_of: list[dict[str, Any]] = await ls(two.world)
    assert [each["reason"] for each in told_of] == ["rejected", "unknown-destination"]


@pytest.mark.kafka
async def test_a_second_destination_comes_where_the_first_is_and_goes_again(kafka_two: Two) -> None:
    two = kafka_two
    trace = signups(people=50, events=600, seed=14)
    records = trace.records(PARTITIONS)
    worker = two.worker(ONE)
    async with workers(worker):
        await produce(two.world.broker.bootstrap, two.world.topic, records[:300])
        await two.world.settled(300, worker)
        assert await worker.stop() == 0
    worker = two.worker(ONE, OTHER)
    async with workers(worker):
        await produce(two.world.broker.bootstrap, two.world.topic, records[300:500])
        await until(lambda: has_distinct(two.one, 500), "everything at the first")
        await until(lambda: has_distinct(two.other, 200), "the new ones at the second")
        assert await worker.stop() == 0
    # And back again. A producer that was not sure repeats some.
    worker = two.worker(ONE)
    async with workers(worker):
        await produce(two.world.broker.bootstrap, two.world.topic, records[400:])
        await until(lambda: has_distinct(two.one, 600), "everything at the first")
        await at_rest(worker)
        metrics = await consumed(worker)
    assert_accounts_balance(metrics)
    assert metrics["streams_events_duplicate_total"] == 100
    check(trace, await two.one.requests())
    arrived = [request["messageId"] for request in await two.other.requests()]
    assert sorted(arrived) == sorted(one["messageId"] for one in trace.events[300:500])
