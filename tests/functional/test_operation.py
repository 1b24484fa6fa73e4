"""What a worker says of itself: is it ready, why not, and what its log keeps to itself."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from streams.dev.broker import embedded_broker
from tests.conftest import ClusterFactory
from tests.functional.conftest import World, event, text
from tests.functional.test_replay import Command
from tests.support.kafka import Broker
from tests.support.traces import signups
from tests.support.world import KEY, Worker, consumed, stand_in, until, workers

pytestmark = pytest.mark.functional


async def not_ready(worker: Worker) -> dict[str, str]:
    """The reasons that /readyz gives, which are those of the metrics."""
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{worker.web}/readyz")
        assert (answer.status_code == 200) == answer.json()["ready"]
        assert (await http.get(f"{worker.web}/healthz")).status_code == 200
    return dict(line.split(": ", 1) for line in answer.json()["because"])


async def reason_is(worker: Worker, *expected: str) -> None:
    async def is_so() -> bool:
        return set(await not_ready(worker)) == set(expected)

    await until(is_so, f"not ready because of {expected}")
    metrics = await worker.metrics()
    told = {
        name.removeprefix("streams_not_ready{reason=").rstrip("}")
        for name, value in metrics.items()
        if name.startswith("streams_not_ready{") and value
    }
    assert told == set(expected)


async def test_a_destination_that_is_away_is_told_from_one_that_refuses_us(
    small_world: World,
) -> None:
    world = small_world
    worker = world.worker(STREAMS_REQUEST_TIMEOUT_SECONDS="1")
    async with workers(worker):
        await reason_is(worker)
        await world.encharge.faults({"fault": {"status": 503}})
        await world.feed(*(event("track", n, anonymousId=f"a{n}") for n in range(5)))
        await reason_is(worker, "destination-away")
        assert "status 503" in (await not_ready(worker))["destination-away"]
        lag = {n: v for n, v in (await worker.metrics()).items() if "streams_consumer_lag{" in n}
        assert sum(lag.values()) >= 1, "what was never committed is behind, too"
        await world.encharge.faults({"fault": {"status": 401}})
        await reason_is(worker, "configuration")
        assert "ENCHARGE_API_KEY" in (await not_ready(worker))["configuration"]
        await world.encharge.faults()
        await world.settled(5, worker)
        await reason_is(worker)


async def test_a_broker_that_is_away_is_told(small_world: World) -> None:
    async with embedded_broker() as bootstrap:
        worker = small_world.worker(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
        await worker.start()
        await reason_is(worker)
    try:
        await until(lambda: kafka_away(worker), "the broker is away")
    finally:
        await worker.end()


async def test_a_breaker_that_opens_is_told_before_the_end(small_world: World) -> None:
    world = small_world
    await world.encharge.faults(
        {"match": {"messageId": "m-slow"}, "fault": {"hang": 5}},
        {"fault": {"status": 422, "body": {"error": "no"}}},
    )
    worker = world.worker(STREAMS_DLQ_BREAKER_EVENTS="3", STREAMS_BATCH_MAX_SECONDS="0.5")
    async with workers(worker):
        # A call that is open when it trips is waited for: time to ask.
        await world.feed(
            event("track", "slow", anonymousId="slow"),
            *(event("track", n, anonymousId=f"a{n}") for n in range(5)),
        )

        async def told() -> bool:
            return "breaker" in await not_ready(worker)

        await until(told, "the breaker is open", every=0.02)
        assert await worker.ended() == 1


async def test_a_wrong_setting_ends_the_worker_with_what_to_do(small_world: World) -> None:
    worker = small_world.worker(STREAMS_BATCH_MAX_EVENTS="many")
    await worker._launch()
    assert await worker.ended() == 2
    assert "STREAMS_BATCH_MAX_EVENTS" in worker.log()


async def test_the_log_holds_no_key_no_email_and_no_trait(small_world: World) -> None:
    """Of a run in which much goes wrong."""
    world = small_world
    trace = signups(people=20, events=200, seed=7)
    told = {"email": "secret-mail@example.com", "plan": "secret-trait"}
    await world.encharge.faults(
        {"match": {"messageId": "m-refused"}, "fault": {"status": 422, "body": told}},
        {"match": {"messageId": "m-key"}, "fault": {"status": 401, "body": told}, "times": 1},
        {"match": {"messageId": "m-away"}, "fault": {"status": 503, "body": told}, "times": 1},
        {"match": {"messageId": "m-reset"}, "fault": {"reset": True}, "times": 1},
    )
    worker = world.worker(STREAMS_DLQ_BREAKER_SHARE="0")
    faulty = [
        event("identify", name, anonymousId=f"anonymous-{name}", userId=f"user-{name}", traits=told)
        for name in ("refused", "key", "away", "reset", "well")
    ]
    async with workers(worker):
        await world.feed(*trace.events, *faulty, b'{"email": "secret-mail@example.com"', b"{}")
        await world.settled(len(trace.events) + len(faulty) + 2, worker)
        count = (await consumed(worker))["streams_events_consumed_total"]
        assert await worker.stop() == 0
    log = worker.log()
    emails = {
        email
        for e in trace.events
        for email in (e.get("traits", {}).get("email"), e.get("context", {}).get("email"))
        if email
    }
    for secret in (KEY, "secret-mail", "secret-trait", "@example.com", "user-well", *emails):
        assert secret not in log, secret
    lines = [json.loads(line) for line in log.splitlines()]
    worked = [line for line in lines if line["event"] == "worked"]
    assert sum(line["consumed"] for line in worked) == count
    assert sum(line["dead_lettered"] for line in worked) == 3
    # What is no event has no destination.
    assert {line["destination"] for line in worked} == {"", "encharge"}
    assert "destination refuses us" in {line["event"] for line in lines}


async def test_identities_are_learned_again_from_an_archive_without_a_call(
    kafka_world: World,
) -> None:
    """What docs/operations.md says to do when Kafka was lost."""
    world = kafka_world
    archive = world.directory / "archive.ndjson"
    archive.write_bytes(
        text(event("identify", 1, anonymousId="a", userId="u", traits={"email": "u@example.com"}))
    )
    quiet = world.worker(STREAMS_DRY_RUN="true")
    async with workers(quiet):
        await Command(world.broker, world.topic, world.directory).run("--yes", archive)
        await world.settled(1, quiet)
        assert await quiet.stop() == 0
    assert await world.encharge.requests() == []
    worker = world.worker()
    async with workers(worker):
        await world.feed(event("track", 2, anonymousId="a"))
        await world.settled(1, worker)
    [body] = await world.bodies()
    assert (body["messageId"], body["userId"]) == ("m-2", "u")


async def test_readiness_tells_the_truth_while_brokers_and_workers_come_and_go(
    kafka_cluster: ClusterFactory, unique: str, tmp_path: Path
) -> None:
    cluster = await kafka_cluster(nodes=3)
    await cluster.create_topic(unique, 4)
    async with stand_in() as encharge:
        broker = Broker("kafka", cluster.bootstrap, session_timeout=6.0)
        world = World(broker, encharge, tmp_path, unique)
        first, second = world.worker("first"), world.worker("second")

        async def feed(first_number: int) -> None:
            numbers = range(first_number, first_number + 20)
            await world.feed(*(event("track", n, anonymousId=f"a{n % 20}") for n in numbers))

        async with workers(first, second):
            await feed(0)
            await world.settled(20, first, second)
            # One broker of three: the others take over.
            cluster.kill(cluster.nodes[0])
            await feed(20)
            await world.settled(40, first, second)
            await reason_is(first)
            await reason_is(second)
            # None is left.
            for node in cluster.nodes[1:]:
                cluster.kill(node)
            for worker in (first, second):
                await until(lambda worker=worker: kafka_away(worker), "Kafka is away")
            # Two at least make a quorum.
            await asyncio.gather(*(cluster.start(node) for node in cluster.nodes))
            await feed(40)
            await world.settled(60, first, second)
            await reason_is(first)
            await reason_is(second)
            # A worker is drained, and replaced.
            gone = await consumed(first)
            assert await first.stop() == 0
            await reason_is(second)
            await first.start()
            await reason_is(first)
            await reason_is(second)
            await feed(60)
            await world.settled(80 - gone["streams_events_consumed_total"], first, second)
            assert len({body["messageId"] for body in await world.bodies()}) == 80


async def kafka_away(worker: Worker) -> bool:
    return "kafka-away" in await not_ready(worker)
