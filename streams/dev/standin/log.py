"""Every request that reached the stand-in, in arrival order, and their counts."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Protocol

import orjson


class Person(Protocol):
    """Somebody with a timeline of calls."""

    def current(self) -> Person:
        """Who it has become by merges."""

    def forget_dropped(self) -> None:
        """Let go of the calls that the log has dropped."""


#: Monotonic clock plus this is the time of day, in seconds since 1970.
_EPOCH = time.time() - time.monotonic()


class Call:
    """One request: what came, what was answered, when.

    ``seq`` counts requests from 1 in the order in which their headers arrived. ``applied``
    counts, also from 1, those that took effect, in the order of their effect; it is 0 for one
    that was refused or lost to a fault, and usually runs with ``seq``. ``status`` is the HTTP
    status answered: 0 while the request is open, and for ever where a fault left it without an
    answer (``fault`` then says which). ``started`` and ``finished`` are seconds of
    :func:`time.monotonic`; ``finished`` is 0.0 while the request is open.
    """

    __slots__ = (
        "applied",
        "body",
        "dropped",
        "event",
        "fault",
        "finished",
        "message_id",
        "method",
        "path",
        "people",
        "seq",
        "started",
        "status",
        "timestamp",
        "type",
    )

    def __init__(self, seq: int, method: str, path: str) -> None:
        self.seq = seq
        self.method = method
        self.path = path
        self.started = time.monotonic()
        self.finished = 0.0
        self.status = 0
        self.applied = 0
        self.type: str | None = None
        self.event: str | None = None
        self.message_id: str | None = None
        self.timestamp: str | None = None
        self.fault: str | None = None
        self.body: bytes | None = None
        self.people: Sequence[Person] = ()
        self.dropped = False

    def received_at(self) -> str:
        """Arrival as ISO 8601 in UTC, with microseconds."""
        return datetime.fromtimestamp(_EPOCH + self.started, UTC).isoformat()

    def timeline_entry(self) -> dict[str, object]:
        """How the call is shown on a person's timeline."""
        return {
            "seq": self.seq,
            "applied": self.applied,
            "receivedAt": self.received_at(),
            "type": self.type,
            "event": self.event,
            "messageId": self.message_id,
            "timestamp": self.timestamp,
        }

    def as_json(self) -> dict[str, object]:
        """How the call is shown in the request log.

        ``body`` is JSON where the request's body was JSON, else its text; null also where it
        was dropped to save memory.
        """
        return {
            "seq": self.seq,
            "applied": self.applied,
            "method": self.method,
            "path": self.path,
            "status": self.status or None,
            "fault": self.fault,
            "type": self.type,
            "event": self.event,
            "messageId": self.message_id,
            "timestamp": self.timestamp,
            "started": self.started,
            "finished": self.finished or None,
            "receivedAt": self.received_at(),
            "body": _readable(self.body),
        }


def _readable(body: bytes | None) -> object:
    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")


class RequestLog:
    """The request log, bounded.

    At most ``max_entries`` calls are kept, and at most ``max_body_bytes`` of their bodies; the
    oldest go first, from the people's timelines too. ``dropped`` and ``bodies_dropped`` count
    them. The counts by type and status are of all requests; those of messageIds are of the
    calls that are kept.
    """

    def __init__(self, max_entries: int, max_body_bytes: int) -> None:
        if max_entries < 1 or max_body_bytes < 0:
            raise ValueError("the request log needs room for at least one entry")
        self.max_entries = max_entries
        self.max_body_bytes = max_body_bytes
        self.in_flight = 0
        self._start()

    def _start(self) -> None:
        self.dropped = 0
        self.bodies_dropped = 0
        self.max_concurrent = self.in_flight
        self.by_type: Counter[str] = Counter()
        self.by_status: Counter[str] = Counter()
        self.received: dict[str, int] = {}
        self.delivered: dict[str, int] = {}
        self._calls: list[Call] = []
        self._head = 0
        self._seq = 0
        self._applied = 0
        self._with_body: deque[Call] = deque()
        self._body_bytes = 0

    def clear(self) -> None:
        """Forget everything. Requests under way stay counted as in flight."""
        self._start()

    def __len__(self) -> int:
        return len(self._calls) - self._head

    @property
    def total(self) -> int:
        """Requests since the start or the last reset, dropped ones included."""
        return self._seq

    @property
    def applied(self) -> int:
        """Requests that took effect."""
        return self._applied

    def begin(self, method: str, path: str) -> Call:
        """A request has arrived."""
        self._seq += 1
        call = Call(self._seq, method, path)
        self._calls.append(call)
        self.in_flight += 1
        self.max_concurrent = max(self.max_concurrent, self.in_flight)
        if len(self._calls) - self._head > self.max_entries:
            self._drop_oldest()
        return call

    def describe(self, call: Call, body: bytes) -> None:
        """The body of ``call`` has been read and its ``type`` and ``message_id`` are set."""
        if body and not call.dropped:
            call.body = body
            self._with_body.append(call)
            self._body_bytes += len(body)
            while self._body_bytes > self.max_body_bytes:
                oldest = self._with_body.popleft()
                if oldest.body is not None:
                    self._body_bytes -= len(oldest.body)
                    oldest.body = None
                    self.bodies_dropped += 1
        if call.message_id is not None and not call.dropped:
            self.received[call.message_id] = self.received.get(call.message_id, 0) + 1

    def take_effect(self, call: Call) -> None:
        """``call`` was accepted and is being applied."""
        self._applied += 1
        call.applied = self._applied
        if call.message_id is not None and not call.dropped:
            self.delivered[call.message_id] = self.delivered.get(call.message_id, 0) + 1

    def finish(self, call: Call) -> None:
        """``call`` has been answered, or its connection given up."""
        call.finished = time.monotonic()
        self.in_flight -= 1
        self.by_type[call.type or "other"] += 1
        self.by_status[str(call.status) if call.status else call.fault or "none"] += 1

    def since(self, seq: int, limit: int | None = None) -> Iterator[Call]:
        """The kept calls with a number above ``seq``, oldest first, at most ``limit``.

        Numbers have no gaps, so that the place is found without a search. The iterator stands
        for the log at the moment of the call.
        """
        kept_from = self._seq - len(self) + 1
        first = self._head + max(seq + 1 - kept_from, 0)
        last = len(self._calls) if limit is None else first + limit
        return iter(self._calls[first:last])

    def last(self, count: int) -> list[Call]:
        """The newest calls, at most ``count``, oldest first."""
        return self._calls[max(self._head, len(self._calls) - count) :]

    def _drop_oldest(self) -> None:
        call = self._calls[self._head]
        self._head += 1
        self.dropped += 1
        call.dropped = True
        if call.body is not None:
            self._body_bytes -= len(call.body)
            call.body = None
        if call.message_id is not None:
            _decrement(self.received, call.message_id)
            if call.applied:
                _decrement(self.delivered, call.message_id)
        for person in call.people:
            person.current().forget_dropped()
        # Moving the rest down now and then is cheaper than a deque that cannot be indexed.
        if self._head * 2 > len(self._calls):
            del self._calls[: self._head]
            self._head = 0
        while self._with_body and self._with_body[0].body is None:
            self._with_body.popleft()


def _decrement(counts: dict[str, int], key: str) -> None:
    left = counts.get(key, 0) - 1
    if left > 0:
        counts[key] = left
    else:
        counts.pop(key, None)
