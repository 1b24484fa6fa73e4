"""An outcome takes effect when it is durable, once, and only for whoever owns the event."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from streams.batching.pending import Pending, Progress
from streams.dead_letters.breaker import Breaker, Trip
from streams.dead_letters.record import DeadLetter
from streams.dead_letters.redrive import Redrive
from streams.delivery import settle
from streams.delivery.settle import Settlement
from streams.errors import BrokerError, EventError
from streams.outcomes import Outcome
from streams.telemetry.metrics import Metrics
from tests.support.fakes import Failures, eventually, name_of, pending, samples, turns


class World:
    def __init__(self) -> None:
        self.remembered: list[tuple[int, list[bytes]]] = []
        self.buried: list[DeadLetter] = []
        self.settled: list[str] = []
        self.durable = asyncio.Event()
        self.durable.set()
        self.refusal: BrokerError | None = None
        self.metrics = Metrics()
        self.failures = Failures()
        self.done: list[bool] = []
        self.abandoned = False
        self.trips: list[tuple[Trip, str]] = []
        self.settlement = Settlement(
            remember=self._remember,
            bury=self._bury,
            settled=lambda events: self.settled.extend(name_of(event) for event in events),
            metrics=self.metrics,
            tasks=self.failures.tasks(),
            breaker=Breaker(share=0.5, events=4, seconds=60),
            on_trip=lambda trip, last: self.trips.append((trip, last)),
        )

    async def _remember(self, partition: int, digests: Sequence[bytes]) -> None:
        self.remembered.append((partition, list(digests)))
        await self._confirmed()

    async def _bury(self, letter: DeadLetter) -> None:
        self.buried.append(letter)
        await self._confirmed()

    async def _confirmed(self) -> None:
        await self.durable.wait()
        if self.refusal is not None:
            raise self.refusal

    def chunk(self, total: int) -> Progress:
        return Progress(
            total, on_done=lambda: self.done.append(True), is_abandoned=lambda: self.abandoned
        )

    def events(self, names: str) -> list[Pending]:
        progress = self.chunk(len(names))
        return [pending(name, progress=progress) for name in names]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(settle, "REMEMBER_AFTER_SECONDS", 0.001)
    return World()


async def test_a_delivered_event_is_remembered_before_it_counts(world: World) -> None:
    world.durable.clear()
    [event] = world.events("a")
    world.settlement.delivered(event)
    await eventually(lambda: world.remembered)
    await turns()
    assert world.remembered == [(0, [event.digest])]
    assert (world.settled, world.done) == ([], [])
    assert "streams_events_delivered_total" not in samples(world.metrics)
    world.durable.set()
    await eventually(lambda: world.done)
    assert world.settled == ["a"]
    assert samples(world.metrics)["streams_events_delivered_total{action=track}"] == 1


async def test_what_an_event_taught_is_durable_before_it_is_remembered(world: World) -> None:
    # Whoever reads a remembered event again skips it, and what it taught with it.
    [event] = world.events("a")
    taught: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    event.progress.confirmations.append(taught)
    world.settlement.delivered(event)
    await asyncio.sleep(0.01)
    assert world.remembered == []
    taught.set_result(None)
    await eventually(lambda: world.done)
    assert len(world.remembered) == 1


async def test_deliveries_of_a_moment_are_remembered_together_and_by_partition(
    world: World,
) -> None:
    progress = world.chunk(4)
    for name, partition in (("a", 0), ("b", 1), ("c", 0), ("d", 0)):
        world.settlement.delivered(pending(name, partition=partition, progress=progress))
    await eventually(lambda: world.done)
    assert sorted((partition, len(digests)) for partition, digests in world.remembered) == [
        (0, 3),
        (1, 1),
    ]


async def test_merged_events_are_coalesced_with_the_one_that_was_delivered(world: World) -> None:
    one, two, three = world.events("abc")
    three.merged = [one, two]
    world.settlement.delivered(three)
    await eventually(lambda: world.done)
    found = samples(world.metrics)
    assert found["streams_events_coalesced_total"] == 2
    assert found["streams_events_delivered_total"] == 1
    assert len(world.remembered[0][1]) == 3


async def test_a_rejected_event_counts_when_it_is_in_the_dead_letters(world: World) -> None:
    world.durable.clear()
    [event] = world.events("a")
    world.settlement.rejected(
        event, EventError("rejected", "because"), stage="deliver", status=422, attempts=3
    )
    await turns()
    assert world.settled == []
    [letter] = world.buried
    assert (letter.raw, letter.origin, letter.key) == (event.raw, event.origin, "a")
    assert (letter.reason, letter.text, letter.stage) == ("rejected", "because", "deliver")
    assert (letter.status, letter.attempts, letter.action) == (422, 3, "track")
    world.durable.set()
    await eventually(lambda: world.done)
    found = samples(world.metrics)
    assert found["streams_events_dead_lettered_total{action=track,reason=rejected}"] == 1
    assert world.remembered == [], "it may be sent through again"


async def test_an_event_that_needs_no_call_counts_at_once(world: World) -> None:
    one, two = world.events("ab")
    world.settlement.without_call(one, Outcome.DUPLICATE)
    world.settlement.without_call(two, Outcome.DUPLICATE)
    assert (world.settled, world.done) == (["a", "b"], [True])
    assert samples(world.metrics)["streams_events_duplicate_total{action=track}"] == 2


async def test_a_filtered_event_is_remembered_before_it_counts(world: World) -> None:
    # It may have taught something: when it comes again, that is old.
    world.durable.clear()
    one, two = world.events("ab")
    world.settlement.filtered(one)
    world.settlement.delivered(two)
    await eventually(lambda: world.remembered)
    await turns()
    assert (world.settled, world.done) == ([], [])
    world.durable.set()
    await eventually(lambda: world.done)
    assert {d for _, digests in world.remembered for d in digests} == {one.digest, two.digest}
    found = samples(world.metrics)
    assert found["streams_events_filtered_total{action=track,reason=no-subscription}"] == 1
    assert found["streams_events_delivered_total{action=track}"] == 1


@pytest.mark.parametrize("outcome", ["delivered", "rejected", "without_call"])
async def test_what_was_taken_away_is_not_counted(world: World, outcome: str) -> None:
    world.durable.clear()
    [event] = world.events("a")
    if outcome == "delivered":
        world.settlement.delivered(event)
        await eventually(lambda: world.remembered)
    elif outcome == "rejected":
        world.settlement.rejected(event, EventError("x", "y"), stage="deliver")
        await turns()
    world.abandoned = True
    if outcome == "without_call":
        world.settlement.without_call(event, Outcome.DUPLICATE)
    world.durable.set()
    await turns()
    assert (world.settled, world.done) == ([], [])
    counted = [name for name in samples(world.metrics) if name.startswith("streams_events")]
    assert counted == []


async def test_clear_forgets_what_was_not_yet_being_remembered(world: World) -> None:
    world.settlement.delivered(world.events("a")[0])
    world.settlement.clear()
    await asyncio.sleep(0.005)
    assert world.remembered == []
    # And goes on with what comes after.
    world.settlement.delivered(world.events("b")[0])
    await eventually(lambda: world.settled)


async def test_a_refusal_of_the_broker_is_reported_and_counts_nothing(world: World) -> None:
    world.refusal = BrokerError("no")
    one, two = world.events("ab")
    world.settlement.delivered(one)
    world.settlement.rejected(two, EventError("x", "y"), stage="deliver")
    await eventually(lambda: len(world.failures) == 2)
    assert (world.settled, world.done) == ([], [])


async def test_when_the_breaker_trips_nothing_more_is_buried_and_it_is_told_once(
    world: World,
) -> None:
    events = world.events("abcdef")
    world.settlement.delivered(events[0])
    for event in events[1:]:
        world.settlement.rejected(event, EventError("rejected", "because"), stage="deliver")
    await eventually(lambda: len(world.settled) == 3)
    await turns()
    assert [letter.raw for letter in world.buried] == [b"b", b"c"]
    assert sorted(world.settled) == ["a", "b", "c"], "the others stay without an outcome"
    assert world.trips == [(Trip(3, 4, "rejected", 3), "because")]
    assert world.done == []


async def test_what_is_no_event_does_not_count_for_the_breaker(world: World) -> None:
    progress = world.chunk(10)
    for n in range(10):
        event = pending(f"{n}", progress=progress)
        event.event["type"] = "invalid"
        world.settlement.rejected(event, EventError("not-json", "no"), stage="deliver")
    await eventually(lambda: world.done)
    assert world.trips == []
    assert {letter.is_resolved for letter in world.buried} == {False}


async def test_a_letter_says_whose_event_it_was_and_which_try(world: World) -> None:
    [event] = world.events("a")
    event.event["userId"] = "u"
    event.redrive = Redrive(2, "1@5")
    world.settlement.rejected(event, EventError("rejected", "because"), stage="deliver")
    await turns()
    [letter] = world.buried
    assert (letter.is_resolved, letter.user, letter.redrive) == (True, "u", event.redrive)


async def test_written_waits_for_what_is_on_its_way(world: World) -> None:
    world.durable.clear()
    one, two = world.events("ab")
    world.settlement.delivered(one)
    world.settlement.rejected(two, EventError("rejected", "because"), stage="deliver")
    waiting = asyncio.ensure_future(world.settlement.written(within=30))
    await turns()
    assert not waiting.done()
    await world.settlement.written(within=0.001)
    world.durable.set()
    await waiting
    assert len(world.settled) == 2
