"""Lanes: each person's events one after the other, all persons at once.

A lane belongs to one person. Its first event is called until it has an outcome; only then
comes the next. A lane that waits for its retry holds back nobody else. The number of open
calls is bounded by the number of callers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

import structlog

from streams.batching.pending import Pending
from streams.delivery import retry
from streams.delivery.limiter import RateLimiter
from streams.delivery.sender import Answer, Sender
from streams.delivery.settle import Settlement
from streams.destinations.base import Destination, Request, Verdict
from streams.engine.tasks import Tasks
from streams.errors import DeliveryError
from streams.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

STAGE = "deliver"
PROBE_SECONDS = 5.0
"""How often a destination that refuses our key is tried again."""
EXCERPT_BYTES = 500


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


class DryRun:
    """Settles every event as if its call had succeeded (``STREAMS_DRY_RUN``)."""

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement

    def take(self, events: Iterable[Pending]) -> None:
        """See :class:`Deliverer`."""
        delivered = []
        for event in events:
            if event.error is not None:
                self._settlement.rejected(event, event.error, stage=STAGE)
            else:
                delivered.append(event)
        self._settlement.delivered(*delivered)

    def abandon(self) -> None:
        """See :class:`Deliverer`."""

    def halt(self) -> None:
        """See :class:`Deliverer`."""

    async def answered(self, *, within: float) -> None:
        """See :class:`Deliverer`."""

    async def close(self) -> None:
        """See :class:`Deliverer`."""


@dataclass(slots=True, eq=False)
class Lane:
    """One person's events on their way to one destination."""

    key: tuple[int, str]
    waiting: deque[Pending] = field(default_factory=deque)
    next_request: int = 0
    """Of the first event's requests, the one to make next."""
    attempts: int = 0
    first_attempt_at: float = 0.0
    dropped: bool = False

    def is_dropped(self) -> bool:
        """Whether its partition went to another worker. To be asked again after every await."""
        return self.dropped


class LaneDeliverer:
    """Delivers over HTTP.

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
        retry_max_seconds: float,
        on_misconfigured: Callable[[str | None], None],
    ) -> None:
        """``on_misconfigured`` is told why the destination refuses us, and None when it stops."""
        self._destination = destination
        self._sender = sender
        self._settlement = settlement
        self._limiter = limiter
        self._metrics = metrics
        self._retry_max_seconds = retry_max_seconds
        self._on_misconfigured = on_misconfigured
        self._lanes: dict[tuple[int, str], Lane] = {}
        self._ready: asyncio.Queue[Lane] = asyncio.Queue()
        self._open = asyncio.Event()
        self._open.set()
        self._is_halted = False
        self._calling = 0
        self._quiet = asyncio.Event()
        self._tasks = tasks
        self._callers = [tasks.start(self._call_lanes()) for _ in range(concurrency)]

    def take(self, events: Iterable[Pending]) -> None:
        """See :class:`Deliverer`."""
        for event in events:
            key = (event.partition, event.lane)
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = Lane(key)
                self._ready.put_nowait(lane)
            lane.waiting.append(event)

    def abandon(self) -> None:
        """See :class:`Deliverer`."""
        for lane in self._lanes.values():
            lane.dropped = True
            lane.waiting.clear()
        self._lanes.clear()

    def halt(self) -> None:
        """See :class:`Deliverer`."""
        self._is_halted = True
        self._open.clear()

    async def answered(self, *, within: float) -> None:
        """See :class:`Deliverer`."""
        if self._calling:
            self._quiet.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._quiet.wait(), within)

    async def close(self) -> None:
        """See :class:`Deliverer`."""
        for caller in self._callers:
            caller.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)
        await self._sender.close()

    # -- callers

    async def _call_lanes(self) -> None:
        while True:
            lane = await self._ready.get()
            await self._open.wait()
            await self._advance(lane)

    async def _advance(self, lane: Lane) -> None:
        """One step of a lane: call for its first event, and see what becomes of it."""
        if lane.is_dropped() or not lane.waiting:
            self._close_lane(lane)
            return
        event = lane.waiting[0]
        request = _next_request(lane, event)
        if request is None:
            self._end_event(lane, event)
            return
        await self._limiter.wait()
        if lane.is_dropped() or self._is_halted:
            return
        if lane.attempts == 0:
            lane.first_attempt_at = monotonic()
        lane.attempts += 1
        try:
            answer = await self._call(event, request)
        except (TypeError, ValueError) as error:
            self._refuse(
                lane,
                event,
                "invalid-payload",
                f"was not called: its request cannot be written as JSON: {error}",
            )
            return
        if lane.is_dropped():
            return
        self._conclude(lane, event, answer)

    async def _call(self, event: Pending, request: Request) -> Answer:
        started = monotonic()
        self._metrics.request_started()
        self._calling += 1
        status = 0
        try:
            answer = await self._sender.send(request)
            status = answer.status
        finally:
            self._calling -= 1
            if not self._calling:
                self._quiet.set()
            self._metrics.request_ended(event.action, status, monotonic() - started)
        return answer

    def _conclude(self, lane: Lane, event: Pending, answer: Answer) -> None:
        verdict = Verdict.RETRY
        if answer.status:
            verdict = self._destination.classify(
                answer.status, answer.headers.get("content-type", ""), answer.body
            )
        if verdict is Verdict.MISCONFIGURED:
            self._hold(lane, answer)
            return
        if verdict is not Verdict.RETRY:
            # An answer to the event, not to us. No answer, or an outage, says nothing.
            self._release()
        if verdict is Verdict.DELIVERED:
            self._next_step(lane, event)
        elif verdict is Verdict.REJECTED:
            said = f"answered {answer.status}: {_excerpt(answer.body)}"
            self._refuse(lane, event, "rejected", said, answer.status)
        elif monotonic() - lane.first_attempt_at >= self._retry_max_seconds:
            last = f"status {answer.status}" if answer.status else answer.text
            said = (
                f"did not accept it within {self._retry_max_seconds:g} s "
                f"(STREAMS_RETRY_MAX_SECONDS); last: {last}"
            )
            self._refuse(lane, event, "retries-exhausted", said, answer.status)
        else:
            self._metrics.retried(event.action)
            self._later(lane, retry.delay(lane.attempts, answer.headers))

    def _refuse(self, lane: Lane, event: Pending, reason: str, said: str, status: int = 0) -> None:
        """The current request is not to be made again."""
        if event.merged:
            # One of several merged events is at fault: find it by calling for each alone.
            lane.waiting.popleft()
            lane.waiting.extendleft(reversed([*event.merged, event]))
            event.merged, event.merged_request = (), None
            lane.next_request = lane.attempts = 0
            self._ready.put_nowait(lane)
            return
        event.error = event.error or DeliveryError(
            reason,
            f"{self._destination.name} {said}",
            status=status,
            attempts=lane.attempts,
        )
        self._next_step(lane, event)

    def _next_step(self, lane: Lane, event: Pending) -> None:
        """On to the next request of an event; the other subscriptions' do not depend on it."""
        lane.next_request += 1
        lane.attempts = 0
        if _next_request(lane, event) is None:
            self._end_event(lane, event)
        else:
            self._ready.put_nowait(lane)

    def _end_event(self, lane: Lane, event: Pending) -> None:
        """All requests of an event are made: it was delivered if none of them failed."""
        error = event.error
        if error is None:
            self._settlement.delivered(event)
        elif isinstance(error, DeliveryError):
            self._settlement.rejected(
                event, error, stage=STAGE, status=error.status, attempts=error.attempts
            )
        else:
            self._settlement.rejected(event, error, stage=STAGE)
        self._next_event(lane)

    def _next_event(self, lane: Lane) -> None:
        lane.waiting.popleft()
        lane.next_request = lane.attempts = 0
        if lane.waiting:
            # Behind the others, so that a busy person does not keep a caller to themselves.
            self._ready.put_nowait(lane)
        else:
            self._close_lane(lane)

    def _close_lane(self, lane: Lane) -> None:
        if self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]

    def _later(self, lane: Lane, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._ready.put_nowait, lane)

    # -- a destination that refuses us

    def _hold(self, lane: Lane, answer: Answer) -> None:
        """Make no calls but one now and then, until the destination takes us again."""
        # The wait for a person to mend it is not time of retrying (STREAMS_RETRY_MAX_SECONDS).
        lane.attempts = 0
        if self._open.is_set():
            self._open.clear()
            why = f"status {answer.status}: {_excerpt(answer.body)}"
            # Its answer may repeat what was sent: /readyz has it, the log does not.
            log.error(
                "destination refuses us", destination=self._destination.name, status=answer.status
            )
            self._on_misconfigured(why)
            self._tasks.start(self._probe(lane))
        else:
            # Its call was on the way when another one was refused.
            self._ready.put_nowait(lane)

    async def _probe(self, lane: Lane) -> None:
        while not self._open.is_set():
            await asyncio.sleep(PROBE_SECONDS)
            if lane.is_dropped() or not lane.waiting:
                # Nothing left to try with: let the next event find out.
                self._release()
                return
            event = lane.waiting[0]
            request = _next_request(lane, event)
            assert request is not None  # noqa: S101 - it was called before
            lane.first_attempt_at = monotonic()
            lane.attempts = 1
            answer = await self._call(event, request)
            if lane.is_dropped():
                continue
            verdict = self._destination.classify(
                answer.status, answer.headers.get("content-type", ""), answer.body
            )
            if answer.status and verdict in (Verdict.DELIVERED, Verdict.REJECTED):
                self._conclude(lane, event, answer)
                return
        if not lane.is_dropped():
            # Another call was taken meanwhile and has ended the hold: back in line.
            lane.attempts = 0
            self._ready.put_nowait(lane)

    def _release(self) -> None:
        if not self._open.is_set() and not self._is_halted:
            log.info("destination takes us again", destination=self._destination.name)
            self._open.set()
            self._on_misconfigured(None)


def _next_request(lane: Lane, event: Pending) -> Request | None:
    """The request that a lane's first event needs next; None when it needs no more."""
    if event.merged_request is not None:
        return event.merged_request if lane.next_request == 0 else None
    while lane.next_request < len(event.requests):
        request = event.requests[lane.next_request]
        if request is not None:
            return request
        # It could not be built; the event's error says why.
        lane.next_request += 1
    return None


def _excerpt(body: bytes) -> str:
    return body[:EXCERPT_BYTES].decode("utf-8", "replace")
