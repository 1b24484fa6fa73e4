"""Delivery over HTTP: each person's events one after the other, all persons at once.

A lane's first event is called until it has an outcome; only then comes the next. A lane that
waits for its retry holds back nobody else. docs/delivery.md has the rules; each is in a file of
its own beside this one, which says what an answer means for the lanes of a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Protocol

from streams.batching.pending import Pending
from streams.delivery import retry
from streams.delivery.bulk import Bulk
from streams.delivery.caller import Caller
from streams.delivery.circuit import Circuit
from streams.delivery.lanes import Call, Lane
from streams.delivery.limit import Limit
from streams.delivery.limiter import RateLimiter
from streams.delivery.line import Line
from streams.delivery.sender import Answer, Sender
from streams.delivery.settle import Settlement
from streams.delivery.valve import Valve, excerpt
from streams.destinations.base import Conversation, Destination, Verdict
from streams.destinations.conversation import Reply
from streams.engine.tasks import Tasks
from streams.errors import DeliveryError
from streams.telemetry.metrics import Metrics

STAGE = "deliver"


class Deliverer(Protocol):
    """Takes events in order and brings each to its outcome."""

    def take(self, events: Iterable[Pending]) -> None:
        """Queue events, in order."""

    def abandon(self) -> None:
        """Make no more calls for what was taken: it belongs to another worker now."""

    def halt(self) -> None:
        """Make no more calls, for good. The open ones may end."""

    async def answered(self, *, within: float) -> None:
        """Return when no call is open, or after ``within`` seconds."""

    async def close(self) -> None:
        """End the callers and release connections."""


class LaneDeliverer:
    """A :class:`Deliverer` that makes calls.

    Guarantees: events of one lane are called in order, each until it has an outcome; an
    answer that does not clearly say success is not taken for one.
    """

    def __init__(
        self,
        *,
        destination: Destination,
        sender: Sender,
        settlement: Settlement,
        limiter: RateLimiter,
        metrics: Metrics,
        tasks: Tasks,
        concurrency: int,
        bulk_size: int,
        retry_max_seconds: float,
        circuit_failures: int,
        may_call: Callable[[], bool],
        on_misconfigured: Callable[[str | None], None],
    ) -> None:
        """``bulk_size`` is the number of people in one call; below two, there is no bulk.

        ``may_call`` is asked before each call whether the partitions are still this worker's;
        after a no there are none. ``on_misconfigured`` is told why the destination refuses us,
        and None when it stops.
        """
        self._destination = destination
        self._caller = Caller(sender, metrics)
        self._settlement = settlement
        self._limiter = limiter
        self._metrics = metrics
        self._retry_max_seconds = retry_max_seconds
        self._may_call = may_call
        self._lanes: dict[tuple[int, str], Lane] = {}
        self._line = Line()
        self._bulk = Bulk(destination, bulk_size, self._line.put)
        self._valve = Valve(
            self._line,
            destination=destination,
            circuit=Circuit(circuit_failures),
            limit=Limit(concurrency),
            metrics=metrics,
            on_misconfigured=on_misconfigured,
        )
        self._callers = [tasks.start(self._make_calls()) for _ in range(concurrency)]

    def take(self, events: Iterable[Pending]) -> None:
        """See :class:`Deliverer`."""
        begun = []
        for event in events:
            key = (event.partition, event.lane)
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = Lane(key)
                begun.append(lane)
            lane.waiting.append(event)
        for lane in begun:
            self._proceed(lane)
        self._bulk.flush()

    def abandon(self) -> None:
        """See :class:`Deliverer`."""
        for lane in self._lanes.values():
            lane.is_dropped = True
            lane.waiting.clear()
        self._lanes.clear()
        self._bulk.clear()
        self._line.clear()

    def halt(self) -> None:
        """See :class:`Deliverer`."""
        self._valve.halt()

    async def answered(self, *, within: float) -> None:
        """See :class:`Deliverer`."""
        await self._caller.answered(within=within)

    async def close(self) -> None:
        """See :class:`Deliverer`."""
        self._valve.halt()
        self._bulk.clear()
        for caller in self._callers:
            caller.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)
        await self._caller.close()

    # -- lanes

    def _proceed(self, lane: Lane) -> None:
        """Line up a lane's next call: behind the others', so that a busy person is only one."""
        while lane.waiting:
            request = lane.request()
            if request is None:
                self._end_event(lane)
            elif self._bulk.takes(lane, request):
                return
            else:
                self._line.put(Call(request, (lane,)))
                return
        if self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]

    def _end_event(self, lane: Lane) -> None:
        """All requests of an event are made: it was delivered if none of them failed."""
        event = lane.waiting[0]
        if event.error is not None and event.merged:
            # A conversation could not go on: one of several is at fault, so each goes alone.
            event.error = None
            lane.take_apart()
            return
        for request in event.all_requests():
            if isinstance(request, Conversation):
                self._metrics.ignored(event.action, request.ignored)
        error = event.error
        if error is None:
            self._settlement.delivered(event)
        elif isinstance(error, DeliveryError):
            self._settlement.rejected(
                event, error, stage=STAGE, status=error.status, attempts=error.attempts
            )
        else:
            self._settlement.rejected(event, error, stage=STAGE)
        lane.next_event()

    def _next_request(self, lane: Lane) -> None:
        """On to the next request of an event; the other subscriptions' do not depend on it."""
        lane.next_request += 1
        lane.attempts = 0
        self._proceed(lane)

    def _taken(self, lane: Lane, answer: Answer) -> None:
        """A request was taken: on to the conversation's next one, or to the next request."""
        conversation = lane.conversation()
        if conversation is None:
            self._next_request(lane)
            return
        conversation.answered(Reply.read(answer.status, answer.body))
        lane.attempts = 0
        self._proceed(lane)

    # -- calls

    async def _make_calls(self) -> None:
        while True:
            call = await self._line.get()
            try:
                await self._make(call)
            finally:
                self._line.done()

    async def _make(self, call: Call) -> None:
        """One step of a call's lanes: make it, and see what becomes of their events."""
        await self._limiter.wait()
        if call.is_dropped():
            self._valve.not_made(call)
            return
        if self._valve.is_shut and not call.is_probe:
            # Shut while it waited for its turn.
            self._line.put(call)
            return
        if not self._may_call():
            self.halt()
        if self._valve.is_halted:
            return
        for lane in call.lanes:
            if lane.attempts == 0:
                lane.first_attempt_at = self._valve.clock()
            lane.attempts += 1
        started = monotonic()
        try:
            answer = await self._caller.call(call.request, call.action)
        except (TypeError, ValueError) as error:
            self._valve.not_made(call)
            said = f"was not called: its request cannot be written: {error}"
            if not call.is_dropped():
                self._refuse(call, "invalid-payload", said)
            return
        verdict = Verdict.RETRY
        if answer.status:
            content_type = answer.headers.get("content-type", "")
            verdict = self._destination.classify(answer.status, content_type, answer.body)
        # A server may say in HTML that it has no such person.
        is_no = verdict is Verdict.REJECTED or answer.status == 404
        if is_no and not call.is_dropped():
            conversation = call.lanes[0].conversation()
            if conversation is not None and conversation.accepts(answer.status):
                verdict = Verdict.DELIVERED
        self._valve.answered(call, answer, verdict, started)
        if not call.is_dropped():
            self._conclude(call, answer, verdict)

    def _conclude(self, call: Call, answer: Answer, verdict: Verdict) -> None:
        if verdict is Verdict.DELIVERED:
            for lane in call.lanes:
                self._taken(lane, answer)
        elif verdict is Verdict.MISCONFIGURED or (call.is_probe and self._valve.is_refused):
            # To be the probe again: another may be of an endpoint, or a key, that works.
            for lane in call.lanes:
                lane.attempts = 0
            self._line.put(call, first=True)
        elif verdict is Verdict.REJECTED:
            said = f"answered {answer.status}: {excerpt(answer)}"
            self._refuse(call, "rejected", said, answer.status)
        else:
            self._retry(call, answer)

    def _refuse(self, call: Call, reason: str, said: str, status: int = 0) -> None:
        """A request is not to be made again."""
        if len(call.lanes) > 1:
            for lane in call.lanes:
                lane.attempts = 0
            for half in self._bulk.halves(call):
                self._line.put(half)
            return
        [lane] = call.lanes
        event = lane.waiting[0]
        if event.merged:
            lane.take_apart()
            self._proceed(lane)
            return
        event.error = event.error or DeliveryError(
            reason,
            f"{self._destination.name} {said}",
            status=status,
            attempts=lane.attempts,
        )
        self._next_request(lane)

    def _retry(self, call: Call, answer: Answer) -> None:
        lane = call.lanes[0]
        if len(call.lanes) > 1 and answer.status != 429:
            # Whom it fails for may be one of them only: they are not to wait for each other.
            calls: Sequence[Call] = self._bulk.halves(call)
        elif self._valve.clock() - lane.first_attempt_at < self._retry_max_seconds:
            calls = (call,)
        else:
            last = f"status {answer.status}" if answer.status else answer.text
            said = (
                f"did not accept it within {self._retry_max_seconds:g} s "
                f"(STREAMS_RETRY_MAX_SECONDS); last: {last}"
            )
            self._refuse(call, "retries-exhausted", said, answer.status)
            return
        loop = asyncio.get_running_loop()
        for later in calls:
            self._metrics.retried(later.action)
            seconds = retry.delay(lane.attempts, answer.headers)
            loop.call_later(seconds, self._line.put, later)
