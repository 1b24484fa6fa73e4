"""Pools of workers on Apache Kafka, a steady load for them, and what must have come of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.functional.conftest import World
from tests.support.households import History
from tests.support.kafka import Broker
from tests.support.reference import Call, arrivals, expected
from tests.support.world import Worker, at_rest, stand_in, until

SOURCE_PARTITIONS = 3
"""As many as there are brokers in the cluster; households are spread over them."""

QUIET_SECONDS = 1.5
"""Longer than from one commit to the next, and than a window."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``STREAMS_TEST_SEEDS=4,5,6`` runs each test once for each; a failure names its seed."""
    if "seed" in metafunc.fixturenames:
        seeds = os.environ.get("STREAMS_TEST_SEEDS") or "1"
        metafunc.parametrize("seed", [int(seed) for seed in seeds.split(",")], ids="seed{}".format)


@dataclass(slots=True)
class Pool:
    """Workers of one consumer group, with a stand-in of their own to deliver to."""

    world: World
    settings: dict[str, str]
    running: list[Worker] = field(default_factory=list)
    """Those that have said that they are ready."""
    made: list[Worker] = field(default_factory=list)

    @property
    def group(self) -> str:
        return self.settings["STREAMS_APP_ID"]

    async def start(self, count: int = 1) -> None:
        """Start workers on empty disks."""
        await asyncio.gather(*(self._start(self._new()) for _ in range(count)))

    async def stop(self, *workers: Worker) -> None:
        """Stop workers as Kubernetes would."""
        for worker in workers:
            self.running.remove(worker)
        ends = await asyncio.gather(*(worker.stop() for worker in workers))
        assert ends == [0] * len(workers), "a worker did not end well"

    async def kill(self, worker: Worker, *, empty_disk: bool) -> None:
        """Kill a worker, and start another in its place, on its disk or on an empty one."""
        self.running.remove(worker)
        await worker.kill()
        await self._start(self._new() if empty_disk else worker)

    def _new(self) -> Worker:
        worker = self.world.worker(f"worker-{len(self.made)}", **self.settings)
        self.made.append(worker)
        return worker

    async def _start(self, worker: Worker) -> None:
        await worker.start()
        self.running.append(worker)

    async def close(self) -> None:
        """End all that was started."""
        for worker in self.made:
            await worker.end()

    async def arrived(self, calls: Sequence[Call], within: float = 60) -> None:
        """Wait until every call has come at least once."""
        names = {call.name for call in calls}
        since = 0

        async def all_there() -> bool:
            nonlocal since
            page, _ = await self.world.encharge.requests_since(since)
            # From the first that is still under way on, all are asked for again.
            ended = list(takewhile(lambda request: request["finished"], page))
            since += len(ended)
            names.difference_update(arrival.name for arrival in arrivals(ended))
            return not names

        try:
            await until(all_there, "everything delivered", within, every=0.2)
        except AssertionError as error:
            some, behind = sorted(names)[:5], await self._lag()
            raise AssertionError(
                f"{len(names)} calls missing, such as {some}; not committed: {behind}"
            ) from error

    async def settled(self, within: float = 60) -> None:
        """Wait until nothing is underway any more, and what may come again had time to."""
        await at_rest(*self.running, within=within)
        await asyncio.sleep(QUIET_SECONDS)
        await at_rest(*self.running, within=within)

    async def _lag(self) -> dict[str, int]:
        topics = [self.world.topic, f"{self.group}-events"]
        return await lag(self.world.broker.bootstrap, self.group, topics)

    async def requests(self) -> list[dict[str, Any]]:
        return await self.world.encharge.requests()


async def lag(bootstrap: str, group: str, topics: Iterable[str]) -> dict[str, int]:
    """Records that a group has not committed, by partition; none is left out but zeros."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        await consumer.start()
        committed = await admin.list_consumer_group_offsets(group)
        described = await admin.describe_topics(list(topics))
        partitions = [
            TopicPartition(topic["topic"], part["partition"])
            for topic in described
            for part in topic["partitions"]
        ]
        ends = await consumer.end_offsets(partitions)
    except KafkaError:
        # A broker is away.
        return {"a broker is away": 1}
    finally:
        await consumer.stop()
        await admin.close()
    behind = {
        tp: end - max(committed[tp].offset if tp in committed else 0, 0) for tp, end in ends.items()
    }
    return {f"{tp.topic}[{tp.partition}]": records for tp, records in behind.items() if records}


async def feed(world: World, history: History, *, seconds: float = 0.0) -> None:
    """Produce a history to its source partitions, in order, over about so many seconds."""
    producer = AIOKafkaProducer(
        bootstrap_servers=world.broker.bootstrap, acks="all", enable_idempotence=True
    )
    await producer.start()
    try:
        records = history.records(SOURCE_PARTITIONS)
        slices = max(int(seconds / 0.1), 1)
        started = asyncio.get_running_loop().time()
        for number in range(slices):
            part = records[number * len(records) // slices : (number + 1) * len(records) // slices]
            sent = [await producer.send(world.topic, value, partition=p) for p, value in part]
            await asyncio.gather(*sent)
            due = started + (number + 1) * seconds / slices
            await asyncio.sleep(max(due - asyncio.get_running_loop().time(), 0))
    finally:
        await producer.stop()


@asynccontextmanager
async def pools(
    broker: Broker, topic: str, directory: Path, **described: dict[str, str]
) -> AsyncIterator[list[Pool]]:
    """A pool for each description (its settings), all of them on one source topic."""
    await broker.create_topic(topic, SOURCE_PARTITIONS)
    async with AsyncExitStack() as stack:
        made = []
        for name, settings in described.items():
            encharge = await stack.enter_async_context(stand_in())
            (directory / name).mkdir()
            world = World(broker, encharge, directory / name, topic)
            pool = Pool(world, {"STREAMS_APP_ID": f"{topic}-{name}", **settings})
            stack.push_async_callback(pool.close)
            made.append(pool)
        yield made


async def until_nothing_is_left(pool: Pool, told: History, within: float = 60) -> None:
    """Wait until all calls of a history have come and nothing is underway."""
    await pool.arrived(expected(told), within)
    await pool.settled(within)


async def on_empty_disks(pool: Pool, last: History) -> None:
    """Let another worker, which knows what Kafka knows and no more, deliver ``last``."""
    await pool.stop(*pool.running)
    await pool.start()
    await feed(pool.world, last)
    await until_nothing_is_left(pool, last)
