"""Faust's consumer with chunks: what is delivered, what may be committed, what is let go.

The client thread is never started; what it would fetch and commit is given and kept here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.engine import consumer as module
from streams.engine.app import ChunkApp
from streams.engine.chunks import Chunk, ChunkTopic
from streams.engine.consumer import ChunkConsumer
from tests.support.fakes import record, turns

TOPIC = "events"
TP0, TP1 = TP(TOPIC, 0), TP(TOPIC, 1)
OTHER = TP("other", 0)


class World:
    """An app whose one agent is this object."""

    def __init__(self, drain_seconds: float = 0) -> None:
        self.app = ChunkApp(
            "app",
            drain_seconds=drain_seconds,
            broker="kafka://",
            store="memory://",
            web_enabled=False,
        )
        ChunkTopic(self.app, topics=[TOPIC])
        self.messages: list[Any] = []
        self.committed: list[dict[TP, int]] = []
        self.consumer: ChunkConsumer = self.app.transport.create_consumer(
            callback=self._on_message,
            on_partitions_revoked=self._nothing,
            on_partitions_assigned=self._nothing,
            beacon=self.app.beacon,
        )
        self.app.consumer = self.consumer
        self.consumer.seek_to_committed = self._seek_to_committed
        self.consumer._sought = True
        self.consumer.resume_flow()
        self.consumer.assignment = lambda: {TP0, TP1, OTHER}
        self.consumer.highwater = lambda _: 1_000_000
        self.consumer._commit = self._commit
        self.drained = self.abandoned = 0
        self.app.when_draining(self._count_drain)
        self.app.when_abandoned(self._count_abandon)
        # Faust's conductor learns from its subscription which topics are acknowledged.
        self.app.topics._acking_topics.update({TOPIC, OTHER.topic})

    async def _on_message(self, message: Any) -> None:
        message.incref()
        self.messages.append(message)

    async def _seek_to_committed(self) -> dict[TP, int]:
        return dict.fromkeys((TP0, TP1), 0)

    async def _nothing(self, *_: Any) -> None:
        pass

    async def _commit(self, offsets: dict[TP, int]) -> bool:
        self.committed.append(dict(offsets))
        return True

    def _count_drain(self) -> None:
        self.drained += 1

    def _count_abandon(self) -> None:
        self.abandoned += 1

    async def fetch(self, **fetched: list[Any]) -> list[Chunk]:
        """Deliver what a poll brought; gives the messages that came of it."""
        before = len(self.messages)
        tps = {"p0": TP0, "p1": TP1, "other": OTHER}
        await self.consumer._deliver({tps[name]: records for name, records in fetched.items()})
        return self.messages[before:]

    def start(self, *messages: Any) -> None:
        """What Faust's stream does when an agent takes a message."""
        for message in messages:
            message.tracked = True
            self.consumer._unacked_messages.add(message)

    def finish(self, *messages: Any) -> None:
        for message in messages:
            message.ack(self.consumer)


MakeWorld = Callable[..., World]


@pytest.fixture
async def make_world() -> AsyncIterator[MakeWorld]:
    made: list[World] = []

    def make(drain_seconds: float = 0) -> World:
        made.append(World(drain_seconds))
        return made[-1]

    yield make
    for world in made:
        # The thread that would have closed its loop was never started.
        world.consumer._thread.thread_loop.close()


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return make_world()


def records(start: int, count: int, tp: TP = TP0) -> list[Any]:
    return [
        SimpleNamespace(
            **vars(record(b"x", start + n, topic=tp.topic, partition=tp.partition)),
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=1,
        )
        for n in range(count)
    ]


# -- delivery


async def test_the_records_of_a_partition_come_in_chunks_in_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_RECORDS", 4)
    chunks = await world.fetch(p0=records(10, 10), p1=records(0, 1, TP1))
    assert [(c.tp, len(c.records), c.offset, c.next_offset) for c in chunks] == [
        (TP0, 4, 13, 14),
        (TP0, 4, 17, 18),
        (TP0, 2, 19, 20),
        (TP1, 1, 0, 1),
    ]
    assert [r.offset for c in chunks[:3] for r in c.records] == list(range(10, 20))


async def test_a_topic_that_is_not_chunked_comes_record_by_record(world: World) -> None:
    messages = await world.fetch(other=records(5, 3, OTHER))
    assert [(type(m) is Chunk, m.offset) for m in messages] == [(False, n) for n in (5, 6, 7)]


async def test_what_was_delivered_already_is_left_out(world: World) -> None:
    world.consumer._read_offset[TP0] = 13
    [chunk] = await world.fetch(p0=records(10, 5))
    assert [r.offset for r in chunk.records] == [13, 14]
    assert await world.fetch(p0=records(10, 5)) == []


async def test_nothing_is_delivered_while_the_flow_is_stopped(world: World) -> None:
    world.consumer.stop_flow()
    assert await world.fetch(p0=records(0, 5)) == []
    await world.consumer.perform_seek()
    world.consumer.resume_flow()
    assert len(await world.fetch(p0=records(0, 5))) == 1


async def test_agents_get_nothing_before_their_partitions_were_sought(world: World) -> None:
    # Faust lets changelogs flow while tables recover, and empties the agents' queues after it
    # has sought their partitions: what came before that would be lost.
    consumer = world.consumer
    asked: list[set[TP]] = []

    async def getmany(*, active_partitions: set[TP], **_: Any) -> dict[TP, list[Any]]:
        asked.append(set(active_partitions))
        return {}

    consumer._getmany = getmany
    consumer.stop_flow()
    consumer._set_active_tps({TP0, TP1, OTHER})
    consumer.resume_flow()
    await consumer._next_records()
    assert await world.fetch(p0=records(0, 5)) == [], "fetched before the rebalance"
    await consumer.perform_seek()
    await consumer._next_records()
    assert await world.fetch(p0=records(0, 5)) == [], "the queues are not emptied yet"
    consumer.resume_flow()
    await consumer._next_records()
    assert asked == [{OTHER}, {OTHER}, {TP0, TP1, OTHER}]
    [chunk] = await world.fetch(p0=records(0, 5))
    assert chunk.next_offset == 5


async def test_a_rebalance_in_the_middle_of_a_delivery_ends_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_RECORDS", 1)
    seen: list[Any] = []

    async def rebalance_at_the_second(message: Any) -> None:
        seen.append(message.offset)
        if len(seen) == 2:
            world.app.consumer_generation_id += 1

    world.consumer.callback = rebalance_at_the_second
    await world.fetch(p0=records(0, 5), p1=records(0, 5, TP1))
    assert seen == [0, 1]


async def test_a_paused_partition_is_not_fetched_from(world: World) -> None:
    world.consumer._set_active_tps({TP0, TP1})
    world.consumer.pause_partitions({TP0})
    assert world.consumer._get_active_partitions() == {TP1}
    world.consumer.resume_partitions({TP0})
    assert world.consumer._get_active_partitions() == {TP0, TP1}


async def test_room_in_a_queue_does_not_resume_what_was_paused(world: World) -> None:
    # The pipeline pauses a partition of which too much waits; Faust, the same partition when
    # an agent's queue is full. Each may end its own pause only.
    consumer = world.consumer
    consumer._set_active_tps({TP0, TP1})
    consumer.on_buffer_full(TP0)
    consumer.pause_partitions({TP0})
    consumer.on_buffer_drop(TP0)
    assert consumer._get_active_partitions() == {TP1}
    consumer.resume_partitions({TP0})
    assert consumer._get_active_partitions() == {TP0, TP1}
    consumer.on_buffer_full(TP0)
    consumer.on_buffer_drop(TP0)
    assert consumer._get_active_partitions() == {TP0, TP1}


# -- acknowledgement


async def test_a_commit_ends_before_the_first_unfinished_chunk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_RECORDS", 2)
    first, second, third = await world.fetch(p0=records(0, 6))
    world.start(first, second, third)
    world.finish(second)
    await world.consumer.commit()
    assert world.committed == []
    world.finish(first)
    await world.consumer.commit()
    world.finish(third)
    await world.consumer.commit()
    assert world.committed == [{TP0: 4}, {TP0: 6}]


async def test_the_same_offset_is_not_committed_twice(world: World) -> None:
    [chunk] = await world.fetch(p0=records(0, 2))
    world.start(chunk)
    world.finish(chunk)
    await world.consumer.commit()
    await world.consumer.commit()
    assert world.committed == [{TP0: 2}]


async def test_single_records_are_committed_as_faust_does(world: World) -> None:
    messages = await world.fetch(other=records(0, 3, OTHER))
    world.start(*messages)
    world.finish(messages[0], messages[1])
    await world.consumer.commit()
    assert world.committed == [{OTHER: 2}]


async def test_a_chunk_that_faust_skipped_is_not_finished(world: World) -> None:
    """Faust's pure-Python stream acknowledges what it skips because the flow has stopped."""
    [chunk] = await world.fetch(p0=records(0, 5))
    world.finish(chunk)  # acknowledged, though no agent has seen it
    await world.consumer.commit()
    assert world.committed == []
    assert not chunk.finished


# -- stop and rebalance


async def test_a_drain_waits_for_started_chunks_and_commits_them(make_world: MakeWorld) -> None:
    world = make_world(drain_seconds=30)
    [chunk] = await world.fetch(p0=records(0, 5))
    world.start(chunk)
    draining = asyncio.ensure_future(world.consumer.wait_empty())
    await turns()
    assert (draining.done(), world.drained, world.abandoned) == (False, 1, 0)
    world.finish(chunk)
    await draining
    assert world.committed == [{TP0: 5}]
    assert world.abandoned == 1
    assert not world.consumer._chunks


async def test_a_drain_also_flushes_what_was_still_on_its_way_to_a_window(
    make_world: MakeWorld,
) -> None:
    world = make_world(drain_seconds=30)
    chunks = [*await world.fetch(p0=records(0, 5)), *await world.fetch(p1=records(0, 5, TP1))]
    world.start(*chunks)
    draining = asyncio.ensure_future(world.consumer.wait_empty())
    await turns()
    world.finish(chunks[0])
    await turns()
    assert world.drained == 2
    world.finish(chunks[1])
    await draining


async def test_a_drain_does_not_wait_for_what_no_agent_has_taken(make_world: MakeWorld) -> None:
    world = make_world(drain_seconds=1)
    [chunk] = await world.fetch(p0=records(0, 5))
    await world.consumer.wait_empty()
    assert world.drained == 1, "it waited"
    assert world.committed == []
    assert chunk.abandoned


async def test_a_drain_ends_after_its_time_and_lets_go_of_the_rest(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(drain_seconds=0)
    monkeypatch.setattr(module, "CHUNK_RECORDS", 1)
    done, stuck, behind = await world.fetch(p0=records(0, 3))
    world.start(done, stuck, behind)
    world.finish(done, behind)
    await world.consumer.wait_empty()
    assert world.committed == [{TP0: 1}]
    assert (stuck.abandoned, behind.abandoned) == (True, True)
    assert stuck not in world.consumer._unacked_messages


async def test_a_chunk_from_before_a_rebalance_moves_nothing(world: World) -> None:
    [old] = await world.fetch(p0=records(0, 5))
    world.start(old)
    await world.consumer.on_partitions_revoked({TP0})
    assert old.abandoned
    world.consumer._read_offset[TP0] = 0
    [new] = await world.fetch(p0=records(0, 5))
    world.start(new)
    world.finish(old)
    await world.consumer.commit()
    assert world.committed == []
    world.finish(new)
    await world.consumer.commit()
    assert world.committed == [{TP0: 5}]


async def test_after_a_crash_nothing_is_waited_for(make_world: MakeWorld) -> None:
    world = make_world(drain_seconds=30)
    [chunk] = await world.fetch(p0=records(0, 5))
    world.start(chunk)
    world.app._crashed.set()
    async with asyncio.timeout(5):
        await world.consumer.wait_empty()
    assert chunk.abandoned


async def test_an_agent_that_fails_stops_the_worker(world: World) -> None:
    error = RuntimeError("no")
    await world.app._on_agent_error(SimpleNamespace(name="agent"), error)
    assert world.app.crashed
    assert world.app.crash_reason is error
