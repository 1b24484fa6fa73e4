"""Tables that are read per key and written per chunk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.delivery import seen
from streams.delivery.seen import DIGEST_BYTES, TIME_BYTES, SeenTable, digest
from streams.engine.app import ChunkApp
from streams.engine.stores import MemoryStore
from streams.engine.tables import ChunkTable
from streams.errors import BrokerError
from tests.support.fakes import FakeProducer, turns


class RecordingStore(MemoryStore):
    """A store that remembers the offsets that it was written at, and when it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.offsets: list[int] = []
        self.closed = False

    def write(self, rows: Mapping[bytes, bytes | None], offset: int) -> None:
        super().write(rows, offset)
        self.offsets.append(offset)

    def offset(self) -> int | None:
        return self.offsets[-1] if self.offsets else None

    def close(self) -> None:
        super().close()
        self.closed = True


class World:
    def __init__(self, kind: Callable[..., ChunkTable] = ChunkTable, **options: Any) -> None:
        self.producer = FakeProducer(confirms=False)
        self.stores: dict[int, list[RecordingStore]] = {}
        app = ChunkApp(
            "app", drain_seconds=0, broker="kafka://", store="memory://", web_enabled=False
        )
        self.table = kind(
            app,
            name="rows",
            partitions=4,
            open_store=self._open,
            producer=self.producer,
            **options,
        )
        self.topic = self.table.changelog_topic_name
        for partition in (0, 1):
            # As Faust's recovery does for what is assigned.
            self.table.persisted_offset(TP(self.topic, partition))

    def _open(self, partition: int) -> RecordingStore:
        store = RecordingStore()
        self.stores.setdefault(partition, []).append(store)
        return store

    def store(self, partition: int = 0) -> RecordingStore:
        return self.stores[partition][-1]


@pytest.fixture
async def world() -> World:
    return World()


async def test_the_changelog_has_the_name_that_the_topics_are_made_with(world: World) -> None:
    assert world.topic == "app-rows-changelog"


async def test_what_is_written_is_read_at_once_and_stored_when_confirmed(world: World) -> None:
    written = world.table.write(0, {b"a": b"1", b"b": None})
    assert world.table.get(0, b"a") == b"1"
    await turns()
    assert world.store().offsets == [], "not before the changelog has it"
    world.producer.confirm()
    await written
    assert world.store().offsets == [1]
    assert world.store().get(b"a") == b"1"
    assert world.table.get(0, b"a") == b"1"
    assert world.table._pending[0] == {}


async def test_a_deletion_is_seen_at_once(world: World) -> None:
    world.producer.confirms = True
    await world.table.write(0, {b"a": b"1"})
    world.producer.confirms = False
    world.table.write(0, {b"a": None})
    assert world.table.get(0, b"a") is None
    assert world.table.reader(0)(b"a") is None
    await turns()
    world.producer.confirm()


async def test_partitions_are_apart(world: World) -> None:
    world.producer.confirms = True
    await world.table.write(0, {b"a": b"1"})
    assert world.table.get(1, b"a") is None
    assert world.table.reader(1)(b"a") is None


async def test_a_reader_sees_what_is_written_after_it_was_made(world: World) -> None:
    read = world.table.reader(0)
    assert read(b"a") is None
    written = world.table.write(0, {b"a": b"1"})
    assert read(b"a") == b"1"
    await turns()
    world.producer.confirm()
    await written
    assert read(b"a") == b"1"


async def test_keys_are_found_in_what_is_stored_and_in_what_is_not_confirmed(world: World) -> None:
    world.store().write({b"a1": b"", b"a2": b"", b"b1": b""}, 0)
    world.table.write(0, {b"a2": None, b"a3": b"", b"b2": b""})
    world.table.write(1, {b"a4": b""})
    assert sorted(world.table.scanner(0)(b"a")) == [b"a1", b"a3"]


async def test_writes_of_a_partition_are_produced_one_after_the_other(world: World) -> None:
    first = world.table.write(0, {b"a": b"1"})
    second = world.table.write(0, {b"a": b"2"})
    other = world.table.write(1, {b"a": b"3"})
    await turns()
    assert [(partition, records[0].value) for _, partition, records in world.producer.sent] == [
        (0, b"1"),
        (1, b"3"),
    ]
    world.producer.confirm()
    await asyncio.gather(first, other)
    # The first is stored; readers still see the second, which is on its way.
    assert (world.store().get(b"a"), world.table.get(0, b"a")) == (b"1", b"2")
    await turns()
    world.producer.confirm()
    await second
    assert world.store().get(b"a") == b"2"
    assert world.store().offsets == [0, 1]


async def test_a_refused_write_is_not_stored_and_is_raised(world: World) -> None:
    written = world.table.write(0, {b"a": b"1"})
    await turns()
    world.producer.refuse(BrokerError("no"))
    with pytest.raises(BrokerError, match="no"):
        await written
    assert world.store().offsets == []


async def test_each_row_is_a_changelog_record_so_that_the_topic_can_be_compacted(
    world: World,
) -> None:
    world.producer.confirms = True
    await world.table.write(2, {b"a": b"1", b"b": None})
    assert [(r.key, r.value) for r in world.producer.to(world.topic)[2]] == [
        (b"a", b"1"),
        (b"b", None),
    ]


def changelog(partition: int, offset: int, key: bytes, value: bytes | None) -> Any:
    """A changelog chunk of one record, as Faust's recovery hands it on."""
    return SimpleNamespace(
        message=SimpleNamespace(
            partition=partition,
            offset=offset,
            records=[SimpleNamespace(key=key, value=value)],
            taken=True,
        )
    )


async def test_recovery_writes_each_partition_once_and_up_to_its_own_offset(world: World) -> None:
    world.table.apply_changelog_batch(
        [
            changelog(0, 7, b"a", b"1"),
            changelog(1, 3, b"a", b"x"),
            changelog(0, 9, b"a", b"2"),
            changelog(0, 10, b"gone", None),
        ]
    )
    assert (world.table.get(0, b"a"), world.table.get(1, b"a")) == (b"2", b"x")
    assert (world.store(0).offsets, world.store(1).offsets) == ([10], [3])


async def test_recovery_leaves_out_what_the_table_did_not_take(world: World) -> None:
    chunk = changelog(0, 7, b"a", b"1")
    chunk.message.taken = False
    world.table.apply_changelog_batch([chunk, changelog(1, 7, b"a", b"1")])
    assert (world.store(0).offsets, world.store(1).offsets) == ([], [7])


async def test_a_partition_that_goes_to_another_worker_is_closed(world: World) -> None:
    world.table.apply_changelog_batch([changelog(p, 0, b"a", b"1") for p in (0, 1)])
    zero, one = world.store(0), world.store(1)
    topic = world.topic
    await world.table.data.on_rebalance({TP(topic, 1)}, {TP(topic, 0)}, set())
    assert (zero.closed, one.closed) == (True, False)
    await world.table.data.on_stop()
    assert one.closed


async def test_a_partition_of_another_topic_is_not_ours_to_close(world: World) -> None:
    world.table.apply_changelog_batch([changelog(0, 0, b"a", b"1")])
    await world.table.data.on_rebalance(set(), {TP("another", 0)}, set())
    assert not world.store(0).closed


async def test_a_confirmation_after_the_partition_was_lost_does_not_touch_the_store(
    world: World,
) -> None:
    world.table.apply_changelog_batch([changelog(0, 0, b"a", b"1")])
    written = world.table.write(0, {b"a": b"2"})
    await turns()
    await world.table.data.on_rebalance(set(), {TP(world.topic, 0)}, set())
    world.producer.confirm()
    await asyncio.wait([asyncio.ensure_future(written)])
    # Another worker writes to this changelog meanwhile: a store here that claims to be
    # complete up to our late record would miss what came before it, when we get it back.
    assert len(world.stores[0]) == 1


async def test_a_store_does_not_claim_what_another_worker_wrote_in_between(world: World) -> None:
    # This worker was silent for so long that the partition had another owner for a while.
    world.table.apply_changelog_batch([changelog(0, 4, b"a", b"1")])
    for first, stored in ((7, 4), (5, 6), (7, 8)):
        world.producer.continue_at(world.topic, 0, first)
        written = world.table.write(0, {b"a": b"2", b"b": b"2"})
        await turns()
        world.producer.confirm()
        await written
        assert world.store().offsets[-1] == stored, f"written from {first} on"
        assert world.store().get(b"a") == b"2"


async def test_an_empty_store_claims_only_a_changelog_from_its_beginning(world: World) -> None:
    world.producer.continue_at(world.topic, 0, 2)
    written = world.table.write(0, {b"a": b"1"})
    await turns()
    world.producer.confirm()
    await written
    assert world.store().offsets == [-1]


@pytest.mark.parametrize("method", ["_has_key", "_get_key", "_set_key", "hopping", "tumbling"])
async def test_what_a_mapping_without_partitions_would_do_is_refused(
    world: World, method: str
) -> None:
    with pytest.raises(NotImplementedError, match=r"get\(\) and write\(\)"):
        getattr(world.table, method)(b"a")


# -- the seen table ----------------------------------------------------------------------------


async def test_seen_digests_share_a_changelog_record_and_come_back_from_it() -> None:
    world = World(SeenTable, horizon_seconds=60)
    world.producer.confirms = True
    table: Any = world.table
    digests = [digest(f"m-{n}") for n in range(5)]
    await table.remember(0, digests)
    [stored] = world.producer.to(world.topic)[0]
    assert stored.value is not None
    assert stored.value[TIME_BYTES:] == b"".join(digests)
    recovered = World(SeenTable, horizon_seconds=60)
    recovered.table.apply_changelog_batch([changelog(0, 0, stored.key, stored.value)])
    other: Any = recovered.table
    assert other.held(0, [*digests, digest("m-5")]) == set(digests)
    assert not other.held(1, digests)


async def test_a_remembered_event_is_recognised_before_that_is_durable() -> None:
    world = World(SeenTable, horizon_seconds=60)
    table: Any = world.table
    table.remember(0, [digest("m")])
    assert table.held(0, [digest("m")])
    await turns()
    world.producer.confirm()


async def test_a_message_id_is_forgotten_after_the_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(SeenTable, horizon_seconds=60)
    world.producer.confirms = True
    table: Any = world.table
    await table.remember(0, [digest("m")])
    now = seen._now()
    monkeypatch.setattr(seen, "_now", lambda: now + 59)
    assert table.held(0, [digest("m")])
    monkeypatch.setattr(seen, "_now", lambda: now + 61)
    assert not table.held(0, [digest("m")])


def test_a_digest_is_short_and_depends_on_the_whole_message_id() -> None:
    assert len(digest("m")) == DIGEST_BYTES
    assert len({digest(f"m-{n}") for n in range(10_000)}) == 10_000
    assert digest("ü" * 5000) != digest("ü" * 4999)
