"""From a line to the events in it, each ready to be produced."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

import orjson

from streams.errors import InvalidEvent
from streams.replay.formats import ENVELOPES, Envelope, Inner
from streams.replay.times import micros, moment_of
from streams.source.head import Head, read_head
from streams.source.normalise import number_text, person_key

DEEPEST: Final = 4
"""Envelopes in envelopes: a dump of a topic, with archive lines, with batches."""


class Found(NamedTuple):
    """A valid event."""

    head: Head
    raw: bytes
    key: bytes
    """Its person's."""
    at: int | None
    """When it happened; None if nothing says."""


_found: Final[Callable[[tuple[Head, bytes, bytes, int | None]], Found]] = partial(
    tuple.__new__, Found
)
"""In half the time of the named tuple's own."""


class Reader:
    """Reads lines. It remembers the last line's envelope, as the next one's is the same."""

    def __init__(self, *, max_event_bytes: int, forced_run: str | None = None) -> None:
        """``forced_run``: name of a replay whose events get messageIds of its own."""
        self._max_bytes = max_event_bytes
        self._forced_run = forced_run
        self._last: Envelope | None = None

    def read(self, line: bytes) -> Found | list[Found | InvalidEvent]:
        """The event that a line is; or a list of what is in it, which may be nothing."""
        if self._last is None:
            try:
                return self._event(line)
            except InvalidEvent as error:
                return list(self._opened(Inner(line), DEEPEST, error))
        return list(self._opened(Inner(line), DEEPEST, None))

    def _opened(
        self, inner: Inner, depth: int, failure: InvalidEvent | None
    ) -> Iterator[Found | InvalidEvent]:
        held = self._unwrap(inner.raw) if depth else None
        if held is not None:
            for each in held:
                yield from self._read(_with_defaults(each, inner), depth - 1)
        elif failure is not None:
            yield failure
        else:
            # The line before was in an envelope, this one is in none.
            self._last = None
            yield from self._read(inner, depth)

    def _read(self, inner: Inner, depth: int) -> Iterator[Found | InvalidEvent]:
        try:
            found = self._event(inner.raw, inner)
        except InvalidEvent as error:
            yield from self._opened(inner, depth, error)
        else:
            yield found

    def _unwrap(self, raw: bytes) -> list[Inner] | None:
        for envelope in (self._last, *ENVELOPES) if self._last else ENVELOPES:
            try:
                held = envelope.unwrap(raw)
            except RecursionError:
                continue
            if held is not None:
                self._last = envelope
                return list(held)
        return None

    def _event(self, raw: bytes, inner: Inner | None = None) -> Found:
        head = read_head(raw, max_bytes=self._max_bytes)
        if head.timestamp is None or not head.messageId or self._forced_run is not None:
            raw = self._completed(inner or Inner(raw), head)
            head = read_head(raw, max_bytes=self._max_bytes)
        device = head.anonymousId
        # Most often it is this simple.
        key = device if type(device) is str and device else person_key(device, head.userId)
        at = moment_of(head) if head.timestamp is None else micros(head.timestamp)
        return _found((head, raw, key.encode(), at))

    def _completed(self, inner: Inner, head: Head) -> bytes:
        added: dict[str, str] = {}
        message_id = head.messageId
        if message_id is None or message_id == "":
            # The same line has the same one every time.
            message_id = inner.message_id or _content_id(inner.raw)
            added["messageId"] = message_id
        if head.timestamp is None and head.receivedAt is None:
            if inner.received_at is not None:
                added["receivedAt"] = inner.received_at
            elif head.originalTimestamp is None and inner.produced_at is not None:
                added["timestamp"] = inner.produced_at
        if self._forced_run is not None:
            text = message_id if isinstance(message_id, str) else number_text(message_id)
            added["messageId"] = f"replay-{self._forced_run}-{text}"
        if not added:
            return inner.raw
        return orjson.dumps({**orjson.loads(inner.raw), **added})


def _with_defaults(inner: Inner, outer: Inner) -> Inner:
    """What the outer envelope knows too, where the inner one does not. Not its messageId:
    several may be inside."""
    return replace(
        inner,
        received_at=inner.received_at or outer.received_at,
        produced_at=inner.produced_at or outer.produced_at,
    )


def _content_id(raw: bytes) -> str:
    return f"replay-{hashlib.blake2b(raw, digest_size=16).hexdigest()}"
