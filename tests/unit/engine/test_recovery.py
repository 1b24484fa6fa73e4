"""Changelog chunks through Faust's own recovery: what reaches the table, and what Faust counts.

The client and the conductor are stood in for; the loop that takes changelog events, its buffers,
offsets, highwaters and its signal are Faust's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from faust.types import TP

from streams.delivery import seen
from streams.delivery.seen import SeenTable, digest
from streams.engine import consumer as module
from streams.engine.app import ChunkApp
from streams.engine.consumer import ChunkConsumer
from streams.engine.stores import MemoryStore
from streams.engine.tables import ChunkTable
from tests.support.fakes import FakeProducer, eventually, record, turns


class DiskStore(MemoryStore):
    """In memory, but with an offset and kept between openings, as on disk."""

    def __init__(self) -> None:
        super().__init__()
        self.at: int | None = None
        self.writes: list[tuple[int, int]] = []
        self.fails = False

    def write(self, rows: Mapping[bytes, bytes | None], offset: int) -> None:
        if self.fails:
            raise OSError("disk full")
        super().write(rows, offset)
        self.at = offset
        self.writes.append((len(rows), offset))

    def offset(self) -> int | None:
        return self.at

    def close(self) -> None:
        pass


class Log:
    """A changelog partition, and the client's position in it."""

    def __init__(self, tp: TP) -> None:
        self.tp = tp
        self.records: dict[int, Any] = {}
        self.start = 0
        self.end = 0
        self.reported_end: int | None = None
        self.position = 0

    def append(self, key: bytes, value: bytes | None, gap: int = 0) -> None:
        """A record, after ``gap`` offsets that hold nothing (any more)."""
        self.end += gap
        self.records[self.end] = record(
            value, self.end, topic=self.tp.topic, partition=self.tp.partition, key=key
        )
        self.end += 1

    def rows(self) -> dict[bytes, bytes]:
        rows = {r.key: r.value for r in self.records.values()}
        return {key: value for key, value in rows.items() if value is not None}

    def fetch(self, count: int) -> list[Any]:
        self.position = max(self.position, self.start)
        offsets = sorted(offset for offset in self.records if offset >= self.position)
        found = [self.records[offset] for offset in offsets[:count]]
        # As aiokafka: what a batch does not hold any more is passed over with it.
        self.position = found[-1].offset + 1 if len(offsets) > count else self.end
        return found


class World:
    def __init__(self, kind: Callable[..., ChunkTable] = ChunkTable, **options: Any) -> None:
        self.app = ChunkApp(
            "app",
            drain_seconds=0,
            broker="kafka://",
            store="memory://",
            web_enabled=False,
            stream_buffer_maxsize=4,
        )
        self.disks: dict[int, DiskStore] = {}
        self.table = self.app.tables.add(
            kind(
                self.app,
                name="rows",
                partitions=4,
                open_store=lambda n: self.disks.setdefault(n, DiskStore()),
                producer=FakeProducer(),
                **options,
            )
        )
        self.tps = [TP(self.table.changelog_topic_name, n) for n in range(2)]
        self.logs = {tp: Log(tp) for tp in self.tps}
        self.recovery = self.app.tables.recovery
        self.queue = self.app.tables.changelog_queue
        self.fetch_count = 10
        self.sought: list[dict[TP, int]] = []
        self.crashes: list[BaseException] = []
        self.app.crash = self._crash
        self.consumer: ChunkConsumer = self.app.transport.create_consumer(
            callback=self._on_message,
            on_partitions_revoked=self._nothing,
            on_partitions_assigned=self._nothing,
            beacon=self.app.beacon,
        )
        self.app.consumer = self.consumer
        self.consumer.assignment = lambda: set(self.tps)
        self.consumer.highwater = lambda tp: self.logs[tp].end
        self.consumer._client_position = lambda tp: self.logs[tp].position  # type: ignore[method-assign]
        self.consumer._getmany = self._getmany
        self.consumer._thread.seek_wait = self._seek
        self._slurping: asyncio.Task[None] | None = None

    async def _crash(self, error: BaseException) -> None:
        self.crashes.append(error)

    async def _nothing(self, *_: Any) -> None:
        pass

    async def _on_message(self, message: Any) -> None:
        # What Faust's conductor does.
        topic = self.table.changelog_topic.clone_using_queue(self.queue)
        await self.queue.put(await topic.decode(message))

    async def _getmany(self, active_partitions: set[TP], **_: Any) -> dict[TP, list[Any]]:
        fetched = {tp: self.logs[tp].fetch(self.fetch_count) for tp in sorted(active_partitions)}
        return {tp: records for tp, records in fetched.items() if records}

    async def _seek(self, positions: Mapping[TP, int]) -> None:
        self.sought.append(dict(positions))
        for tp, position in positions.items():
            self.logs[tp].position = position

    # -- what Faust's recovery does around it

    async def start(self, *, standby: bool = False, slurps: bool = True) -> None:
        """Until records flow, in the order of `Recovery._restart_recovery`."""
        recovery, tps = self.recovery, set(self.tps)
        add = recovery.add_standby if standby else recovery.add_active
        for tp in tps:
            add(self.table, tp)
        recovery._set_recovery_started()
        ends = {
            tp: (log.end if log.reported_end is None else log.reported_end) - 1
            for tp, log in self.logs.items()
        }
        offsets = recovery.standby_offsets if standby else recovery.active_offsets
        highwaters = recovery.standby_highwaters if standby else recovery.active_highwaters
        highwaters.clear()
        highwaters.update(ends)
        for tp, log in self.logs.items():
            had = offsets[tp]
            offsets[tp] = log.start - 1 if had is None else max(had, log.start - 1)
        await self.consumer.seek_wait({tp: max(offsets[tp], 0) for tp in tps})
        if standby:
            recovery._set_recovery_ended()
        self.app.flow_control.resume()
        self.consumer.resume_partitions(tps)
        self.consumer.resume_flow()
        if slurps:
            self.slurp()

    def slurp(self) -> None:
        """Start Faust's task that takes what is in the queue."""
        slurp = type(self.recovery)._slurp_changelogs.fun
        self._slurping = asyncio.ensure_future(slurp(self.recovery))

    async def poll(self) -> None:
        await self.consumer._deliver(await self.consumer._next_records())

    async def recover(self, **options: Any) -> None:
        await self.start(**options)
        await self.finish()

    async def finish(self) -> None:
        async with asyncio.timeout(10):
            while self.recovery.in_recovery:
                await self.poll()
                await turns(5)

    async def stop(self) -> None:
        self.consumer._thread.thread_loop.close()
        if self._slurping is not None:
            self._slurping.cancel()
            await asyncio.wait([self._slurping])

    def assert_recovered(self) -> None:
        for tp, log in self.logs.items():
            disk = self.disks[tp.partition]
            assert disk._rows == log.rows()
            assert disk.at == (log.end - 1 if log.end else None)
            assert self.recovery.active_offsets[tp] == log.end - 1


@pytest.fixture
async def make_world() -> AsyncIterator[Callable[..., World]]:
    made: list[World] = []

    def make(*args: Any, **options: Any) -> World:
        made.append(World(*args, **options))
        return made[-1]

    yield make
    for world in made:
        await world.stop()


@pytest.fixture
async def world(make_world: Callable[..., World]) -> World:
    return make_world()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_RECORDS", 4)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)


def fill(world: World, count: int = 50, seed: int = 1) -> None:
    """Rows, some of them written again or deleted, with the gaps of a compacted topic."""
    dice = random.Random(seed)
    for log in world.logs.values():
        for n in range(count):
            value = None if dice.random() < 0.1 else b"%d" % n
            log.append(b"k%d" % dice.randrange(count), value, gap=dice.choice([0, 0, 0, 1, 7]))


# -- what reaches the table


async def test_every_row_is_recovered_and_deletions_too(world: World) -> None:
    fill(world)
    await world.recover()
    world.assert_recovered()
    assert not world.recovery.need_recovery()


async def test_a_chunk_is_one_write_with_its_offset(world: World) -> None:
    fill(world)
    await world.recover()
    # Two chunks of four in each write, save where the other partition's came between.
    assert len(world.disks[0].writes) <= 30
    offsets = [offset for _, offset in world.disks[0].writes]
    assert offsets == sorted(offsets)


async def test_empty_partitions_need_no_recovery(world: World) -> None:
    await world.start()
    assert not world.recovery.need_recovery()


async def test_an_empty_partition_beside_a_full_one(world: World) -> None:
    world.logs[world.tps[1]].append(b"k", b"v")
    await world.recover()
    world.assert_recovered()


async def test_a_store_that_is_up_to_date_is_not_written(world: World) -> None:
    fill(world)
    for tp, log in world.logs.items():
        world.disks[tp.partition] = DiskStore()
        world.disks[tp.partition].write(log.rows(), log.end - 1)
        world.disks[tp.partition].writes.clear()
    await world.start()
    assert not world.recovery.need_recovery()
    await world.poll()
    await turns()
    assert [disk.writes for disk in world.disks.values()] == [[], []]


async def test_a_store_goes_on_behind_what_it_has(world: World) -> None:
    fill(world)
    log = world.logs[world.tps[0]]
    half = sorted(log.records)[25]
    world.disks[0] = DiskStore()
    had = {r.key: r.value for offset, r in log.records.items() if offset <= half}
    world.disks[0].write(had, half)
    await world.recover()
    world.assert_recovered()
    assert sum(rows for rows, _ in world.disks[0].writes[1:]) <= 24


@pytest.mark.parametrize("nothing", [1, 3])
async def test_a_topic_may_end_without_a_record(world: World, nothing: int) -> None:
    # Transaction markers, or what was compacted away: Faust would wait for it for ever.
    fill(world)
    for log in world.logs.values():
        log.end += nothing
    await world.recover()
    world.assert_recovered()


async def test_a_topic_may_hold_nothing_at_all_any_more(world: World) -> None:
    log = world.logs[world.tps[0]]
    log.end = 7
    await world.recover()
    assert world.disks[0].at == 6
    assert world.disks[0]._rows == {}


async def test_a_topic_may_begin_late(world: World) -> None:
    fill(world)
    for log in world.logs.values():
        log.start = sorted(log.records)[20]
        log.records = {o: r for o, r in log.records.items() if o >= log.start}
    await world.recover()
    world.assert_recovered()


async def test_the_end_that_a_fetch_reports_counts(world: World) -> None:
    # The embedded broker says that a topic ends after the first record of its last batch.
    fill(world)
    for log in world.logs.values():
        log.reported_end = sorted(log.records)[-8] + 1
    await world.recover()
    world.assert_recovered()


async def test_what_recovery_does_not_take_is_not_fetched_on_and_on(world: World) -> None:
    fill(world, count=500)
    await world.start(slurps=False)
    filling = asyncio.ensure_future(world.finish())
    await eventually(world.queue.full)
    await turns(200)
    assert world.queue.qsize() == 4
    assert sum(log.position for log in world.logs.values()) < 200
    filling.cancel()


# -- what gets lost on the way


async def test_what_faust_drops_from_its_queue_is_read_again(world: World) -> None:
    # It does whenever flow is resumed, also while standbys are being read.
    fill(world)
    world.fetch_count = 6
    await world.start(slurps=False)
    await world.poll()
    assert world.queue.full()
    world.app.flow_control.clear()
    world.slurp()
    await world.finish()
    world.assert_recovered()
    assert len(world.sought) == 2


async def test_standbys_have_no_holes_either(world: World) -> None:
    fill(world)
    await world.start(standby=True)
    for n in range(40):
        await world.poll()
        if n % 3 == 0:
            world.app.flow_control.resume()
        await turns(5)
    world.recovery.flush_buffers()
    for tp, log in world.logs.items():
        assert world.disks[tp.partition]._rows == log.rows()
        assert world.recovery.standby_offsets[tp] == log.end - 1
    assert world.recovery.standby_remaining_total() == 0


async def test_records_that_come_while_flow_is_stopped_are_read_again(world: World) -> None:
    fill(world)
    await world.start()
    fetched = await world.consumer._next_records()
    world.consumer.stop_flow()
    await world.consumer._deliver(fetched)
    assert world.queue.empty()
    world.consumer.resume_flow()
    await world.finish()
    world.assert_recovered()


async def test_records_that_were_fetched_around_a_seek_are_read_again(world: World) -> None:
    fill(world)
    await world.start()
    await world.poll()
    fetched = await world.consumer._next_records()
    await world.consumer.seek_wait(
        {tp: max(world.recovery.active_offsets[tp], 0) for tp in world.tps}
    )
    await world.consumer._deliver(fetched)
    await world.finish()
    world.assert_recovered()


@pytest.mark.parametrize("seed", range(30))
async def test_whatever_happens_on_the_way_every_row_arrives(world: World, seed: int) -> None:
    dice = random.Random(seed)
    fill(world, count=120, seed=seed)
    for log in world.logs.values():
        log.end += dice.choice([0, 2])
    world.fetch_count = dice.choice([1, 3, 10, 40])
    await world.start()
    for _ in range(60):
        if not world.recovery.in_recovery:
            break
        await world.poll()
        await turns(dice.choice([0, 1, 5, 20]))
        match dice.randrange(6):
            case 0:
                world.app.flow_control.clear()
            case 1:
                fetched = await world.consumer._next_records()
                world.consumer.stop_flow()
                await world.consumer._deliver(fetched)
                world.consumer.resume_flow()
            case 2:
                await world.consumer.seek_wait(
                    {tp: max(world.recovery.active_offsets[tp], 0) for tp in world.tps}
                )
    await world.finish()
    world.assert_recovered()


# -- rebalances


async def test_a_rebalance_in_the_middle_keeps_what_was_taken(world: World) -> None:
    fill(world, count=200)
    await world.start()
    for _ in range(3):
        await world.poll()
        await turns(5)
    # As Faust does: buffers flushed, queues emptied, then everything from the top.
    world.recovery.on_partitions_revoked(set(world.tps))
    world.consumer.stop_flow()
    world.app.flow_control.suspend()
    world.app.flow_control.clear()
    half = [world.disks[n].at for n in (0, 1)]
    assert all(half), half
    assert world._slurping is not None
    world._slurping.cancel()
    await world.recover()
    world.assert_recovered()
    assert world.sought[1:] == [dict(zip(world.tps, half, strict=True))]


async def test_a_chunk_of_a_partition_that_was_lost_touches_no_store(world: World) -> None:
    fill(world)
    await world.start(slurps=False)
    world.fetch_count = 4
    await world.poll()
    zero = world.tps[0]
    # Another worker has it now. Faust takes what it does not know for the table before.
    world.recovery.active_tps.discard(zero)
    del world.recovery.active_highwaters[zero]
    await world.table.data.on_rebalance({world.tps[1]}, {zero}, set())
    world.slurp()
    await world.finish()
    world.recovery.flush_buffers()
    assert world.disks[0].writes == []
    assert world.disks[1]._rows == world.logs[world.tps[1]].rows()


async def test_a_partition_that_comes_back_into_memory_is_recovered_whole(world: World) -> None:
    tp = world.tps[0]
    world.recovery.active_offsets[tp] = 41
    world.recovery.add_active(world.table, tp)
    # Faust would keep what it remembers, and the rows before it would be missing.
    assert world.recovery.active_offsets[tp] == -1
    world.recovery.active_offsets[tp] = 41
    world.recovery.add_active(world.table, tp)
    assert world.recovery.active_offsets[tp] == 41


async def test_what_arrives_after_recovery_does_not_undo_the_agents_writes(world: World) -> None:
    fill(world)
    await world.recover()
    late = world.logs[world.tps[0]]
    late.append(b"k", b"late")
    written = list(world.disks[0].writes)
    await world.poll()
    await turns()
    world.recovery.flush_buffers()
    assert world.disks[0].writes == written


async def test_a_store_that_fails_stops_the_worker(world: World) -> None:
    fill(world)
    world.disks[0] = DiskStore()
    world.disks[0].fails = True
    await world.start()
    for _ in range(5):
        await world.poll()
        await turns()
    assert [str(error) for error in world.crashes] == ["disk full"]
    assert world.recovery.in_recovery, "the agents must not see half a table"
    world.recovery._crashed.set()
    world.recovery.flush_buffers()
    assert world.disks[0].at is None


# -- the seen table


async def test_a_digest_is_not_remembered_longer_because_it_was_recovered(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(SeenTable, horizon_seconds=60)
    now = seen._now()
    log = world.logs[world.tps[0]]
    for seconds_ago in (61, 59, 0):
        delivered_at = (now - seconds_ago).to_bytes(seen.TIME_BYTES)
        ids = b"".join(digest(f"{seconds_ago}-{n}") for n in range(3))
        log.append(b"", delivered_at + ids)
    monkeypatch.setattr(seen, "_now", lambda: now)
    await world.recover()
    # By their own time, which the table looks at; what is forgotten is not stored again.
    assert world.disks[0]._rows == {
        digest(f"{seconds_ago}-{n}"): (now - seconds_ago).to_bytes(seen.TIME_BYTES)
        for seconds_ago in (59, 0)
        for n in range(3)
    }
