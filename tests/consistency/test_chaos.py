"""Workers and brokers that come, go, die and fall silent under load.

Each test ends on an empty disk: what is known by then must be in Kafka, and be right.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import ClusterFactory
from tests.consistency.conftest import Pool, feed, on_empty_disks, pools, until_nothing_is_left
from tests.support.households import epilogue, history
from tests.support.kafka import Broker
from tests.support.reference import check
from tests.support.world import assert_accounts_balance, consumed

pytestmark = pytest.mark.functional

HOUSEHOLDS: Final = 60
LOAD_SECONDS: Final = 14.0
"""For how long events are produced, while things happen to the workers."""

IN_FLIGHT: Final = 8
SETTINGS: Final = {
    "STREAMS_PARTITIONS": "8",
    "STREAMS_MAX_CONCURRENCY": str(IN_FLIGHT),
    "STREAMS_DRAIN_SECONDS": "10",
}
NOT_REMEMBERED: Final = 60
"""Calls that a worker may have had answers to and not yet remembered, at this load."""

Record = Callable[[str, object], None]


@asynccontextmanager
async def _pool(broker: Broker, topic: str, directory: Path) -> AsyncIterator[Pool]:
    async with pools(broker, topic, directory, chaos=SETTINGS) as [pool]:
        # Long enough that there is always something under way.
        await pool.world.encharge.faults({"fault": {"slow": 0.02}})
        yield pool


async def test_killed_workers_lose_nothing(
    kafka: Broker, unique: str, tmp_path: Path, seed: int, record_property: Record
) -> None:
    rng = random.Random(f"{seed} kills")
    told, last, kills = history(HOUSEHOLDS, 1500, seed), epilogue(HOUSEHOLDS, seed), 4
    async with _pool(kafka, unique, tmp_path) as pool:
        await pool.start(4)

        async def strike(after: float) -> None:
            await asyncio.sleep(after)
            await pool.kill(rng.choice(pool.running), empty_disk=rng.random() < 0.5)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(feed(pool.world, told, seconds=LOAD_SECONDS))
            for _ in range(kills):
                tasks.create_task(strike(rng.uniform(1, LOAD_SECONDS)))
        await until_nothing_is_left(pool, told)
        await on_empty_disks(pool, last)
        requests = await pool.requests()
    bound = kills * (IN_FLIGHT + NOT_REMEMBERED)
    again = check(told + last, requests, repeats=bound, crashes=True)
    record_property(f"repeats after {kills} kills", again)


async def test_workers_that_come_and_go_send_everything_once(
    kafka: Broker, unique: str, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(f"{seed} changes")
    told, last = history(HOUSEHOLDS, 1500, seed), epilogue(HOUSEHOLDS, seed)
    async with _pool(kafka, unique, tmp_path) as pool:
        await pool.start(2)

        async def change() -> None:
            for _ in range(5):
                await asyncio.sleep(rng.uniform(0, 2))
                if len(pool.running) == 1 or (len(pool.running) < 4 and rng.random() < 0.5):
                    await pool.start()
                else:
                    await pool.stop(rng.choice(pool.running))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(feed(pool.world, told, seconds=LOAD_SECONDS))
            tasks.create_task(change())
        await until_nothing_is_left(pool, told)
        await on_empty_disks(pool, last)
        requests = await pool.requests()
    check(told + last, requests)


async def test_a_worker_that_was_taken_for_dead_does_no_harm_when_it_wakes(
    kafka: Broker, unique: str, tmp_path: Path, seed: int, record_property: Record
) -> None:
    rng = random.Random(f"{seed} silence")
    told, last = history(HOUSEHOLDS, 1500, seed), epilogue(HOUSEHOLDS, seed)
    async with _pool(kafka, unique, tmp_path) as pool:
        await pool.start(3)

        async def silence() -> None:
            await asyncio.sleep(rng.uniform(1, 3))
            worker = rng.choice(pool.running)
            worker.pause()
            await asyncio.sleep(kafka.session_timeout + rng.uniform(2, 4))
            worker.resume()
            # What it holds is others' by now: it must not send it.
            assert await worker.ended() == 1
            assert "STREAMS_SESSION_SECONDS" in worker.log()
            await worker.start()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(feed(pool.world, told, seconds=LOAD_SECONDS))
            tasks.create_task(silence())
        await until_nothing_is_left(pool, told)
        await on_empty_disks(pool, last)
        requests = await pool.requests()
    # What was on the wire when it fell silent, or answered and not yet remembered.
    bound = IN_FLIGHT + 150
    again = check(told + last, requests, repeats=bound, crashes=True)
    record_property("repeats after a silence", again)


async def test_a_killed_broker_loses_nothing(
    kafka_cluster: ClusterFactory, unique: str, tmp_path: Path, seed: int, record_property: Record
) -> None:
    rng = random.Random(f"{seed} broker")
    told, last = history(HOUSEHOLDS, 1000, seed), epilogue(HOUSEHOLDS, seed)
    cluster = await kafka_cluster(nodes=3)
    broker = Broker("kafka", cluster.bootstrap, session_timeout=6.0, replicas=3)
    async with _pool(broker, unique, tmp_path) as pool:
        await pool.start(2)

        async def outage() -> None:
            await asyncio.sleep(rng.uniform(1, 4))
            node = rng.choice(cluster.nodes)
            cluster.kill(node)
            await asyncio.sleep(5)
            await cluster.start(node)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(feed(pool.world, told, seconds=LOAD_SECONDS))
            tasks.create_task(outage())
        await until_nothing_is_left(pool, told)
        await on_empty_disks(pool, last)
        requests = await pool.requests()
    again = check(told + last, requests, repeats=2 * (IN_FLIGHT + NOT_REMEMBERED), crashes=True)
    record_property("repeats after a broker's death", again)


STORM: Final = [
    {"fault": {"status": 500}, "probability": 0.08, "seed": 1},
    {"fault": {"status": 429}, "probability": 0.04, "seed": 2},
    {"fault": {"reset": True, "after_apply": True}, "probability": 0.02, "seed": 3},
    {"fault": {"hang": 5}, "probability": 0.01, "seed": 4},
]
"""A bad day at the destination."""
FAULTS: Final = ("errors", "limits", "lost answers", "hangs")


async def test_everything_at_once_loses_nothing(
    kafka_cluster: ClusterFactory, unique: str, tmp_path: Path, seed: int, record_property: Record
) -> None:
    rng = random.Random(f"{seed} storm")
    told, last = history(HOUSEHOLDS, 1500, seed), epilogue(HOUSEHOLDS, seed)
    cluster = await kafka_cluster(nodes=3)
    broker = Broker("kafka", cluster.bootstrap, session_timeout=6.0, replicas=3)
    settings = {**SETTINGS, "STREAMS_REQUEST_TIMEOUT_SECONDS": "2"}
    async with pools(broker, unique, tmp_path, storm=settings) as [pool]:
        encharge = pool.world.encharge
        await encharge.faults(*STORM)
        await pool.start(2)
        both = list(pool.running)

        async def strike() -> None:
            for worker in both:
                await asyncio.sleep(rng.uniform(1, 3))
                await pool.kill(worker, empty_disk=False)
            node = rng.choice(cluster.nodes)
            await cluster.stop(node)
            await asyncio.sleep(2)
            await cluster.start(node)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(feed(pool.world, told, seconds=LOAD_SECONDS))
            tasks.create_task(strike())
        await until_nothing_is_left(pool, told, within=120)
        assert_accounts_balance(await consumed(*pool.running))
        fired = {
            name: rule["fired"] for name, rule in zip(FAULTS, await encharge.plan(), strict=True)
        }
        await encharge.faults()
        await on_empty_disks(pool, last)
        requests = await pool.requests()
    assert all(fired.values()), fired
    # What was in flight at each kill, and at the broker's end; and each lost answer.
    bound = 4 * (IN_FLIGHT + NOT_REMEMBERED) + fired["lost answers"]
    again = check(told + last, requests, repeats=bound, crashes=True)
    for name, count in fired.items():
        record_property(name, count)
    record_property("repeats", again)
