"""Outcomes take effect here, and nowhere else.

What was delivered is remembered by messageId, what cannot be delivered is buried in the
dead letters. When that is durable the event's one outcome is counted, and its chunk comes
closer to its acknowledgement (guarantees G1 and G4).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from time import monotonic
from typing import Any, Final

from streams.batching.pending import Pending
from streams.dead_letters.breaker import Breaker, Trip
from streams.dead_letters.record import DeadLetter
from streams.engine.tasks import Tasks
from streams.errors import EventError
from streams.outcomes import Outcome
from streams.telemetry.metrics import Metrics

REMEMBER_AFTER_SECONDS = 0.05
"""How long delivered messageIds are collected before they are written together."""

Remember = Callable[[int, Sequence[bytes]], Awaitable[None]]
Bury = Callable[[DeadLetter], Awaitable[None]]
Settled = Callable[[Sequence[Pending]], None]
OnTrip = Callable[[Trip, str], None]

MAX_SOURCE: Final = 200
"""What is kept of the name of an event's source."""


class Settlement:
    """Brings events to their outcome.

    ``remember(partition, digests)`` and ``bury(dead_letter)`` are done when the broker
    has confirmed; ``settled`` is told of the events that need no more attention.
    ``on_trip`` is told once, with the text of the last letter, that ``breaker`` lets
    nothing more be buried: what cannot be delivered stays without an outcome.
    """

    def __init__(
        self,
        *,
        remember: Remember,
        bury: Bury,
        settled: Settled,
        metrics: Metrics,
        tasks: Tasks,
        breaker: Breaker | None = None,
        on_trip: OnTrip = lambda _trip, _last: None,
        destination: str = "",
    ) -> None:
        """``destination``: the name of the one that events are settled for, if they are."""
        self._remember = remember
        self._bury = bury
        self._settled = settled
        self._metrics = metrics
        self._tasks = tasks
        self._breaker = breaker or Breaker(share=0, events=1, seconds=1)
        self._on_trip = on_trip
        self._destination = destination
        self._writing: set[asyncio.Task[Any]] = set()
        self._delivered: dict[int, list[Pending]] = {}
        self._filtered: dict[int, list[Pending]] = {}
        self._passed_on: dict[int, list[Pending]] = {}

    def delivered(self, *events: Pending) -> None:
        """The destination acknowledged events, and with them those merged into them."""
        self._metrics.latencies(event.produced_at for event in events)
        self._breaker.passed(sum(1 + len(event.merged) for event in events), monotonic())
        for event in events:
            self._collect(self._delivered, event)

    def _collect(self, collected: dict[int, list[Pending]], event: Pending) -> None:
        events = collected.get(event.partition)
        if events is None:
            events = collected[event.partition] = []
            asyncio.get_running_loop().call_later(
                REMEMBER_AFTER_SECONDS, self._write, event.partition
            )
        events.append(event)

    def filtered(self, event: Pending) -> None:
        """No subscription fires for an event. It is remembered all the same, for what it taught."""
        self._collect(self._filtered, event)

    def passed_on(self, events: Iterable[Pending]) -> None:
        """Events are confirmed on the topic that their destinations read."""
        for event in events:
            self._collect(self._passed_on, event)

    def not_ours(self, event: Pending) -> None:
        """An event is another destination's, which counts it."""
        self._let_go([event])

    def without_call(self, event: Pending, outcome: Outcome, reason: str = "") -> None:
        """An event needs neither a call nor to be remembered: it is a duplicate."""
        self._finish([event], outcome, reason)

    def rejected(
        self, event: Pending, error: EventError, *, stage: str, status: int = 0, attempts: int = 0
    ) -> None:
        """An event cannot be delivered: into the dead letters with it."""
        # What is no event at all is a producer's mistake, and says nothing about us.
        is_event = event.event["type"] != "invalid"
        if is_event and not self._may_bury(error):
            return
        self._write_out(
            self._bury_and_finish(
                event,
                DeadLetter(
                    raw=event.raw,
                    origin=event.origin,
                    stage=stage,
                    reason=error.reason,
                    text=str(error),
                    key=event.lane,
                    produced_at=event.produced_at,
                    action=event.action,
                    status=status,
                    attempts=attempts,
                    source=_source(event),
                    redrive=event.redrive,
                    destination=self._destination,
                    is_resolved=is_event,
                    user=event.event.get("userId") if is_event else None,
                ),
            )
        )

    def _may_bury(self, error: EventError) -> bool:
        was_tripped = self._breaker.trip is not None
        trip = self._breaker.failed(error.reason, monotonic())
        if trip is not None and not was_tripped:
            self._on_trip(trip, str(error))
        return trip is None

    def _write_out(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.start(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def written(self, *, within: float) -> None:
        """Return when what was collected so far is durable, or after ``within`` seconds."""
        self.flush_all()
        if self._writing:
            await asyncio.wait(self._writing, timeout=within)

    async def _bury_and_finish(self, event: Pending, letter: DeadLetter) -> None:
        await self._bury(letter)
        self._finish([event], Outcome.DEAD_LETTERED, letter.reason)

    def _write(self, partition: int) -> None:
        events = self._delivered.pop(partition, [])
        filtered = self._filtered.pop(partition, [])
        passed_on = self._passed_on.pop(partition, [])
        if events or filtered or passed_on:
            self._write_out(self._remember_and_finish(partition, events, filtered, passed_on))

    async def _remember_and_finish(
        self,
        partition: int,
        events: list[Pending],
        filtered: list[Pending],
        passed_on: list[Pending],
    ) -> None:
        merged = [earlier for event in events for earlier in event.merged]
        # Whoever reads a remembered event again skips it, and what it taught: so that
        # must be durable first.
        remembered = [*merged, *events, *filtered, *passed_on]
        for progress in {event.progress for event in remembered}:
            for confirmation in progress.confirmations:
                await confirmation
        await self._remember(partition, [event.digest for event in remembered])
        self._finish(merged, Outcome.COALESCED)
        self._finish(events, Outcome.DELIVERED)
        self._finish(filtered, Outcome.FILTERED, "no-subscription")
        self._let_go(passed_on)

    def _finish(self, events: Sequence[Pending], outcome: Outcome, reason: str = "") -> None:
        # The next owner of an abandoned chunk's partition reads it again, and counts it.
        events = [event for event in events if not event.progress.is_abandoned()]
        if not events:
            return
        for action, count in Counter([event.action for event in events]).items():
            self._metrics.outcome(outcome, action, reason, count)
        self._settled(events)
        for progress, count in Counter([event.progress for event in events]).items():
            progress.finish(count)

    def _let_go(self, events: Sequence[Pending]) -> None:
        """Bring events that others count to their end here."""
        events = [event for event in events if not event.progress.is_abandoned()]
        if events:
            self._settled(events)
            for progress, count in Counter([event.progress for event in events]).items():
                progress.passed_on += count
                progress.finish(count)

    def flush_all(self) -> None:
        """Write what was collected now: a stop or a rebalance is near."""
        for partition in {*self._delivered, *self._filtered, *self._passed_on}:
            self._write(partition)

    def clear(self) -> None:
        """Forget what was collected: its partitions belong to another worker."""
        self._delivered.clear()
        self._filtered.clear()
        self._passed_on.clear()


def _source(event: Pending) -> str:
    """The source that the gateway, or Segment, wrote into the event."""
    name = event.event.get("projectId")
    return name[:MAX_SOURCE] if isinstance(name, str) else ""
