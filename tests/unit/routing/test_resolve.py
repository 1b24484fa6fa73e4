"""The resolve stage: duplicates, identities, per-action streams, and the chunk's end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from streams.agents import map_share
from streams.batching.pending import Pending
from streams.dead_letters.producer import DeadLetters
from streams.dead_letters.redrive import Redrive
from streams.delivery import settle
from streams.delivery.seen import digest
from streams.delivery.settle import Settlement
from streams.destinations.base import Subscription
from streams.engine import packed
from streams.errors import PayloadError
from streams.outcomes import Outcome
from streams.routing import intake
from streams.routing.intake import Intake
from streams.routing.resolve import Resolve
from streams.routing.route import Route, Share
from streams.source.ingest import EVENT, PARTITION_HEADER, TOPIC_HEADER
from streams.telemetry.metrics import Metrics
from tests.support.fakes import (
    Failures,
    FakeConsumer,
    FakeDestination,
    FakeProducer,
    chunk,
    name_of,
    record,
    samples,
    stage_record,
    subscription,
    turns,
)


class Rows:
    """A table in memory. Writes are seen at once and confirmed when told to."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[bytes, bytes]] = {}
        self.unconfirmed: list[asyncio.Future[None]] = []
        self.confirms = True

    def reader(self, partition: int) -> Any:
        return self.rows.setdefault(partition, {}).get

    def get_many(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.rows.setdefault(partition, {}).get(key) for key in keys]

    def scanner(self, partition: int) -> Any:
        rows = self.rows.setdefault(partition, {})
        return lambda prefix: [key for key in rows if key.startswith(prefix)]

    def write(self, partition: int, rows: dict[bytes, bytes | None]) -> asyncio.Future[None]:
        held = self.rows.setdefault(partition, {})
        for key, value in rows.items():
            if value is None:
                held.pop(key, None)
            else:
                held[key] = value
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.unconfirmed.append(future)
        if self.confirms:
            self.confirm()
        return future

    def confirm(self) -> None:
        for future in self.unconfirmed:
            future.set_result(None)
        self.unconfirmed.clear()

    # As the seen table
    def held(self, partition: int, digests: Sequence[bytes]) -> set[bytes]:
        return self.rows.get(partition, {}).keys() & set(digests)

    def remember(self, partition: int, digests: Sequence[bytes]) -> asyncio.Future[None]:
        return self.write(partition, dict.fromkeys(digests, b""))


class Stream:
    """A per-action stream that maps when it is told to."""

    def __init__(self) -> None:
        self.shares: list[Share] = []

    async def put(self, share: Share) -> None:
        self.shares.append(share)


SUBSCRIPTIONS = [subscription(kind) for kind in ("identify", "track", "page", "alias")]


class World:
    def __init__(self, subscriptions: Sequence[Subscription] = SUBSCRIPTIONS) -> None:
        self.identities, self.seen = Rows(), Rows()
        self.metrics = Metrics()
        self.failures = Failures()
        self.producer = FakeProducer()
        self.consumer = FakeConsumer()
        self.submitted: list[tuple[int, list[Pending]]] = []
        self.load: list[tuple[int, int]] = []
        dead_letters = DeadLetters(self.producer, "dead")  # type: ignore[arg-type]
        tasks = self.failures.tasks()
        self.settlement = Settlement(
            remember=self.seen.remember,
            bury=dead_letters.bury,
            settled=lambda events: self.intake.settled(events),  # noqa: PLW0108 - made below
            metrics=self.metrics,
            tasks=tasks,
        )
        self.intake = Intake(
            seen=self.seen,  # type: ignore[arg-type]
            dead_letters=dead_letters,
            metrics=self.metrics,
            tasks=tasks,
            consumer=lambda: self.consumer,
            on_load=lambda partition, waiting: self.load.append((partition, waiting)),
        )
        actions = {s.action for s in subscriptions} | {"delete"}
        self.streams = {action: Stream() for action in sorted(actions)}
        self.route = Route(
            destination=FakeDestination(subscriptions),
            streams=self.streams,
            submit=lambda partition, events: self.submitted.append((partition, list(events))),
            settlement=self.settlement,
        )
        self.resolve = Resolve(
            intake=self.intake,
            identities=self.identities,  # type: ignore[arg-type]
            settlement=self.settlement,
            hand_on=self.route.take,
            destinations=["fake"],
            consumer=lambda: self.consumer,
        )
        self._offset = -1

    async def take(self, *events: Any, partition: int = 0, **options: Any) -> Any:
        """Take a chunk of one stage record with ``events``."""
        self._offset += 1
        stored = stage_record(*events, offset=self._offset, partition=partition, **options)
        taken = chunk([stored], "stage", partition)
        await self.resolve.take(taken)
        return taken

    def map(self, *actions: str) -> None:
        """Let per-action streams map what they have (all, by default)."""
        for action in actions or self.streams:
            shares, self.streams[action].shares = self.streams[action].shares, []
            for share in shares:
                map_share(share)
                self.route.mapped(share)

    def abandon(self) -> None:
        """The partitions are another worker's now."""
        self.intake.abandon()
        self.resolve.abandon()
        self.route.abandon()

    def names(self) -> list[str]:
        return [name_of(event) for _, events in self.submitted for event in events]

    def events(self) -> list[Pending]:
        return [event for _, events in self.submitted for event in events]

    def deliver(self, *events: Pending) -> None:
        """The destination has acknowledged these, and that is durable."""
        for event in events:
            self.seen.remember(event.partition, [event.digest])
            self.settlement.without_call(event, Outcome.DELIVERED)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(settle, "REMEMBER_AFTER_SECONDS", 0)
    return World()


def event(name: str, kind: str = "track", **fields: Any) -> dict[str, Any]:
    fields = fields or {"anonymousId": "a"}
    return {"type": kind, "messageId": name, **fields}


# -- order


async def test_events_go_on_in_their_order_through_different_streams(world: World) -> None:
    await world.take(event("1"), event("2", "page"), event("3"), event("4", "identify"))
    world.map("page", "identify")
    assert world.submitted == []
    world.map("track")
    assert world.names() == ["1", "2", "3", "4"]
    assert [e.requests[0].body for e in world.events() if e.requests[0]] == [
        "track:1",
        "page:2",
        "track:3",
        "identify:4",
    ]


async def test_a_later_chunk_that_is_mapped_first_waits_for_the_earlier_one(world: World) -> None:
    await world.take(event("1"), event("2", "page"))
    await world.take(event("3", "page"))
    world.map("page")
    assert world.submitted == []
    world.map("track")
    assert world.names() == ["1", "2", "3"]


async def test_partitions_do_not_wait_for_each_other(world: World) -> None:
    await world.take(event("1"), partition=0)
    await world.take(event("2", "page"), partition=1)
    world.map("page")
    assert [(p, [name_of(e) for e in events]) for p, events in world.submitted] == [(1, ["2"])]


async def test_an_event_of_several_subscriptions_is_one_event_with_several_calls() -> None:
    world = World([subscription("tag", "track"), *SUBSCRIPTIONS, subscription("untag", "track")])
    await world.take(event("1"))
    world.map("untag")
    world.map("track")
    assert world.submitted == []
    world.map("tag")
    [mapped] = world.events()
    assert [r and r.body for r in mapped.requests] == ["tag:1", "track:1", "untag:1"]
    assert mapped.action == "tag"


async def test_what_an_event_carries_is_what_was_read(world: World) -> None:
    await world.take(event("1", anonymousId="a"))
    world.map()
    [mapped] = world.events()
    assert (mapped.lane, mapped.partition, mapped.digest) == ("a", 0, digest("1"))
    assert (str(mapped.origin), mapped.produced_at) == ("source[3]@0", 1_700_000_000.0)
    assert b'"messageId":"1"' in mapped.raw


async def test_what_an_event_was_on_the_source_topic_is_kept_for_its_dead_letter(
    world: World,
) -> None:
    body, original = orjson.dumps(event("1", anonymousId="a")), b"\x00as it was{"
    heads = [(EVENT, "a", 5, 0, None, len(original)), (EVENT, "a", 6, 0)]
    headers = [(TOPIC_HEADER, b"source"), (PARTITION_HEADER, b"3")]
    bare = orjson.dumps(event("2", anonymousId="a"))
    value = packed.pack(heads, [body + original, bare])
    await world.resolve.take(chunk([record(value, topic="stage", headers=headers)], "stage"))
    world.map()
    assert [(e.event["messageId"], e.raw) for e in world.events()] == [("1", original), ("2", bare)]


# -- duplicates


async def test_a_repeated_event_in_a_chunk_is_a_duplicate(world: World) -> None:
    await world.take(event("1"), event("1"), event("2"))
    world.map()
    assert world.names() == ["1", "2"]
    assert samples(world.metrics)["streams_events_duplicate_total{action=track}"] == 1


async def test_every_repetition_is_a_duplicate_not_only_the_first(world: World) -> None:
    await world.take(event("1"), event("1"), event("1"))
    await world.take(event("1"))
    world.map()
    assert world.names() == ["1"]
    assert samples(world.metrics)["streams_events_duplicate_total"] == 3


async def test_what_was_remembered_is_a_duplicate_and_what_was_rejected_is_not(
    world: World,
) -> None:
    await world.take(event("1"), event("2"))
    world.map()
    one, two = world.events()
    world.deliver(one)
    # A dead letter may be sent through again by hand.
    world.settlement.without_call(two, Outcome.DEAD_LETTERED, "rejected")
    await world.take(event("1"), event("2"))
    world.map()
    assert world.names() == ["1", "2", "2"]


async def test_partitions_remember_for_themselves(world: World) -> None:
    await world.take(event("1"), partition=0)
    await world.take(event("1"), partition=1)
    world.map()
    assert world.names() == ["1", "1"]


async def test_a_duplicate_teaches_nothing(world: World) -> None:
    login = event("1", "identify", anonymousId="pc", userId="u1")
    await world.take(login, event("2", "page", anonymousId="pc", userId="u2"), login)
    await world.take(event("3", "page", anonymousId="pc"))
    world.map()
    assert world.events()[-1].event["userId"] == "u2"


# -- identity


async def test_what_is_learned_holds_for_what_comes_after_it(world: World) -> None:
    await world.take(
        event("1", "page", anonymousId="pc"),
        event("2", "identify", anonymousId="pc", userId="u", traits={"email": "u@example.com"}),
        event("3", "page", anonymousId="pc"),
    )
    await world.take(event("4", "page", anonymousId="pc"))
    world.map()
    assert [e.event.get("userId") for e in world.events()] == [None, "u", "u", "u"]
    assert world.events()[3].event["context"]["traits"]["email"] == "u@example.com"


async def test_a_filtered_event_teaches_all_the_same(world: World) -> None:
    await world.take(event("1", "screen", anonymousId="pc", userId="u"))
    await world.take(event("2", "page", anonymousId="pc"))
    world.map()
    assert [e.event.get("userId") for e in world.events()] == ["u"]


async def test_a_filtered_event_that_comes_again_teaches_nothing(world: World) -> None:
    # Ingest repeats, at the end of the stage topic, what a crash kept it from committing.
    seen_on_screen = event("1", "screen", anonymousId="pc", userId="u1")
    login = event("2", "identify", anonymousId="pc", userId="u2")
    await world.take(seen_on_screen, login, seen_on_screen, login)
    await turns()
    await world.take(seen_on_screen, event("3", "page", anonymousId="pc"))
    world.map()
    assert world.names() == ["2", "3"]
    assert world.events()[-1].event["userId"] == "u2"


async def test_a_note_that_comes_again_teaches_nothing(world: World) -> None:
    gone = event("d", "delete", userId="u")
    moved = event("a", "alias", previousId="pc", userId="v")
    await world.take(gone, moved, notes=True)
    await world.take(event("1", "identify", anonymousId="pc", userId="u"))
    await world.take(gone, moved, notes=True)
    await world.take(event("2", "page", anonymousId="pc"))
    world.map()
    assert world.events()[-1].event["userId"] == "u"


async def test_a_deletion_that_comes_again_leaves_who_came_back(world: World) -> None:
    login = event("2", "identify", anonymousId="pc", userId="u")
    await world.take(event("d", "delete", userId="u"), login)
    world.map()
    world.deliver(*world.events())
    await world.take(event("d", "delete", userId="u"), login, event("3", anonymousId="pc"))
    world.map()
    assert world.names() == ["d", "2", "3"]
    assert world.events()[-1].event["userId"] == "u"


async def test_an_alias_note_is_learned_and_is_no_event(world: World) -> None:
    note = event("n", "alias", userId="new", previousId="old")
    taken = await world.take(note, notes=True)
    await turns()
    assert world.consumer.acked == [taken]
    await world.take(event("1", userId="old"))
    world.map()
    assert world.names() == ["1"]
    assert world.events()[0].event["userId"] == "new"
    assert "streams_events_consumed_total" not in samples(world.metrics)


async def test_a_deletion_elsewhere_forgets_here_and_is_no_event(world: World) -> None:
    await world.take(event("1", "page", anonymousId="pc", userId="u"))
    await world.take(event("d", "delete", userId="u"), notes=True)
    await world.take(event("2", "page", anonymousId="pc"))
    world.map()
    assert world.names() == ["1", "2"]
    assert "userId" not in world.events()[1].event


async def test_a_deletion_that_is_read_again_forgets_again(world: World) -> None:
    # Read again after a crash that came when the deletion was settled and the login was not.
    login, deletion = (
        event("1", "identify", anonymousId="pc", userId="u"),
        event("d", "delete", userId="u"),
    )
    world.seen.rows[0] = {digest("d"): b""}
    await world.take(login, deletion, event("2", "page", anonymousId="pc"))
    world.map()
    assert world.names() == ["1", "2"]
    assert "userId" not in world.events()[1].event
    assert world.identities.rows[0] == {b"m:d": b"1"}


async def test_a_chunk_waits_for_what_its_events_taught_to_be_durable(world: World) -> None:
    world.identities.confirms = False
    taken = await world.take(event("1", "screen", anonymousId="pc", userId="u"))
    await turns()
    assert world.consumer.acked == []
    world.identities.confirm()
    await turns()
    assert world.seen.held(0, [digest("1")]), "what it taught it need not teach again"
    assert world.consumer.acked == [taken]


async def test_history_is_kept_back_to_what_is_committed(world: World) -> None:
    for n in range(5):
        await world.take(event(str(n), "screen", anonymousId="pc", userId=f"u{n}"))
    row = world.identities.rows[0][b"d:pc"]
    assert row.count(b"[") == 6
    tp = chunk([stage_record(event("x"))], "stage").tp
    world.consumer._committed_offset[tp] = 5
    await world.take(event("9", "screen", anonymousId="pc", userId="u9"))
    row = world.identities.rows[0][b"d:pc"]
    assert row.count(b"[") == 3  # the list, the last word of the past, and the new one


# -- outcomes and the chunk's end


async def test_a_chunk_is_acknowledged_when_all_its_events_are_settled(world: World) -> None:
    taken = await world.take(event("1"), event("1"), event("2", "screen"), event("3"))
    world.map()
    one, three = world.events()
    world.deliver(three)
    await turns()
    assert world.consumer.acked == []
    world.deliver(one)
    await turns()
    assert world.consumer.acked == [taken]
    found = samples(world.metrics)
    assert found["streams_events_consumed_total"] == 4
    assert found["streams_events_filtered_total{action=screen,reason=no-subscription}"] == 1
    assert found["streams_events_duplicate_total"] == 1
    assert found["streams_events_delivered_total"] == 2


async def test_a_chunk_without_events_is_acknowledged(world: World) -> None:
    taken = await world.take()
    await turns()
    assert world.consumer.acked == [taken]


async def test_a_deletion_goes_to_its_own_stream(world: World) -> None:
    await world.take(event("1", "delete", userId="u"))
    world.map("delete")
    [mapped] = world.events()
    assert mapped.requests[0] is not None
    assert mapped.requests[0].method == "DELETE"


async def test_a_record_that_is_not_of_this_program_is_buried_and_the_rest_goes_on(
    world: World,
) -> None:
    good = stage_record(event("1"), offset=3)
    bad = [
        record(b"garbage", 0, topic="stage"),
        record(None, 1, topic="stage"),
        record(good.value[:-1], 2, topic="stage", headers=good.headers),
        record(good.value, 2, topic="stage", headers=[("source.topic", b"source")]),
    ]
    taken = chunk([*bad, good], "stage")
    await world.resolve.take(taken)
    world.map()
    await turns()
    letters = [letter for part in world.producer.to("dead").values() for letter in part]
    assert [letter.value for letter in letters] == [r.value for r in bad]
    assert {dict(letter.headers)["dlq.reason"] for letter in letters} == {
        b"unreadable-stage-record"
    }
    assert world.consumer.acked == []
    world.deliver(*world.events())
    await turns()
    assert world.consumer.acked == [taken]
    found = samples(world.metrics)
    assert found["streams_events_consumed_total"] == 5
    assert found["streams_events_dead_lettered_total"] == 4


async def test_a_chunk_of_nothing_but_unreadable_records_ends_too(world: World) -> None:
    taken = chunk([record(b"garbage", 0, topic="stage")], "stage")
    await world.resolve.take(taken)
    await turns()
    assert world.consumer.acked == [taken]
    assert samples(world.metrics)["streams_events_consumed_total"] == 1


async def test_an_event_that_only_we_cannot_read_becomes_its_own_dead_letter(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def normalise(event: Any, *_: Any) -> None:
        if event["messageId"] == "1":
            raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(intake, "normalise", normalise)
    await world.take(event("1"), event("2"))
    world.map()
    first, second = world.events()
    assert first.error is not None
    assert first.error.reason == "internal-error"
    assert (name_of(second), second.error) == ("2", None)


async def test_an_event_that_cannot_be_mapped_keeps_its_place_with_its_error() -> None:
    def build(event: Any) -> Any:
        raise PayloadError("no email") if event["messageId"] == "1" else KeyError("bug")

    world = World([subscription("track", build=build), subscription("page")])
    await world.take(event("0", "page"), event("1"), event("2"), event("3", "page"))
    world.map()
    errors = [e.error and e.error.reason for e in world.events()]
    assert errors == [None, "invalid-payload", "internal-error", None]


async def test_a_trigger_that_fails_is_its_event_s_error() -> None:
    def matches(event: Any) -> bool:
        if event["messageId"] == "1":
            raise RuntimeError("bug")
        return True

    broken = Subscription("x", "track", matches, SUBSCRIPTIONS[1].build)
    world = World([broken])
    await world.take(event("1"), event("2"))
    world.map()
    first, second = world.events()
    assert first.error is not None
    assert (first.error.reason, second.error) == ("internal-error", None)


# -- load


async def test_the_load_is_told_for_each_partition(world: World) -> None:
    await world.take(event("1"), event("1"), event("2"), partition=2)
    assert world.load[0] == (2, 3)
    assert world.load[-1] == (2, 2)
    assert world.intake.unsettled() == 2
    world.map()
    world.deliver(*world.events())
    assert world.load[-1] == (2, 0)
    assert world.intake.unsettled() == 0


# -- a rebalance


async def test_what_was_settled_before_a_rebalance_is_counted_and_the_rest_is_not(
    world: World,
) -> None:
    taken = await world.take(event("1"), event("2"), event("3", "screen"))
    await turns()
    world.map()
    one, two = world.events()
    world.deliver(one)
    taken.abandoned = True
    world.abandon()
    world.deliver(two)
    await turns()
    assert world.consumer.acked == []
    found = samples(world.metrics)
    assert found["streams_events_consumed_total"] == 2
    assert found["streams_events_delivered_total"] == 1
    assert found["streams_events_filtered_total"] == 1
    assert world.intake.unsettled() == 0


async def test_a_chunk_that_waits_for_its_rows_only_is_counted_once(world: World) -> None:
    world.identities.confirms = False
    taken = await world.take(event("1", anonymousId="pc", userId="u"))
    world.map()
    world.deliver(*world.events())
    await turns()
    taken.abandoned = True
    world.abandon()
    world.identities.confirm()
    await turns()
    assert samples(world.metrics)["streams_events_consumed_total"] == 1
    world.abandon()
    assert samples(world.metrics)["streams_events_consumed_total"] == 1


async def test_an_abandoned_event_is_taken_anew_when_it_is_read_again(world: World) -> None:
    taken = await world.take(event("1"))
    taken.abandoned = True
    world.abandon()
    await world.take(event("1"))
    world.map()
    assert world.names() == ["1"], "and the abandoned one is not submitted"


async def test_what_was_handed_out_before_a_rebalance_does_not_disturb_what_comes_after(
    world: World,
) -> None:
    taken = await world.take(event("old"))
    taken.abandoned = True
    world.abandon()
    await world.take(event("new", "page"))
    world.map("track")  # the share of the abandoned chunk
    assert world.submitted == []
    world.map("page")
    assert world.names() == ["new"]


async def test_a_chunk_that_arrives_after_it_was_taken_away_is_left_alone(world: World) -> None:
    """Otherwise its events would count as underway for ever, and be lost as duplicates."""
    taken = chunk([stage_record(event("1"))], "stage")
    taken.abandoned = True
    await world.resolve.take(taken)
    world.map()
    assert world.submitted == []
    assert world.intake.unsettled() == 0
    await world.take(event("1"))
    world.map()
    assert world.names() == ["1"]


async def test_a_redriven_event_is_resolved_as_of_its_own_time_and_counts_its_tries(
    world: World,
) -> None:
    await world.take(event("1", "identify", anonymousId="a", userId="ann"))
    await world.take(event("2", "identify", anonymousId="a", userId="bob"))
    heads = [(EVENT, "a", 5, 1_600_000_000_000, [2, "0@7", True, "ann"])]
    body = orjson.dumps({"type": "track", "anonymousId": "a"})
    headers = [(TOPIC_HEADER, b"source"), (PARTITION_HEADER, b"3")]
    stored = record(packed.pack(heads, [body]), 9, topic="stage", headers=headers)
    await world.resolve.take(chunk([stored], "stage"))
    world.map()
    redriven = world.events()[-1]
    assert redriven.redrive == Redrive(2, "0@7", is_resolved=True, user="ann")
    assert redriven.event["userId"] == "ann"
    assert redriven.event["messageId"] == "kafka-source-3-5", "as when it was first read"
    assert redriven.event["timestamp"] == "2020-09-13T12:26:40.000Z"
    await world.take(event("4"))
    world.map()
    assert world.events()[-1].event["userId"] == "bob"


async def test_no_cycle_keeps_what_is_settled_alive(world: World) -> None:
    # The collector runs every 20 seconds only (streams.engine.garbage).
    gc.collect()
    gc.disable()
    try:
        await world.take(*(event(str(n), "page", anonymousId="pc") for n in range(5)))
        world.map()
        world.settlement.delivered(*world.events())
        world.settlement.flush_all()
        await turns()
        world.submitted.clear()
        for stream in world.streams.values():
            stream.shares.clear()
        assert not [one for one in gc.get_objects() if type(one) is Pending]
    finally:
        gc.enable()
