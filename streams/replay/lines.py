"""From a line to the events in it, each ready to be produced."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

import orjson

from streams.errors import InvalidEvent
from streams.replay.formats import ENVELOPES
from streams.replay.times import micros, moment_of
from streams.source.envelopes import Inner, Opener, additions
from streams.source.head import Head, read_head
from streams.source.normalise import number_text, person_key


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
        self._opener = Opener(ENVELOPES, lambda inner: self._event(inner.raw, inner))

    def read(self, line: bytes) -> Found | list[Found | InvalidEvent]:
        """The event that a line is; or a list of what is in it, which may be nothing."""
        failure = None
        if self._opener.last is None:
            try:
                return self._event(line)
            except InvalidEvent as error:
                failure = error
        return [found for _, found in self._opener.open(Inner(line), failure)]

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
        if not (head.messageId or inner.message_id):
            # The same line has the same one every time.
            inner = replace(inner, message_id=_content_id(inner.raw))
        added = additions(inner, head)
        if self._forced_run is not None:
            own = added.get("messageId", head.messageId)
            text = own if isinstance(own, str) else number_text(own or 0)
            added["messageId"] = f"replay-{self._forced_run}-{text}"
        if not added:
            return inner.raw
        return orjson.dumps({**orjson.loads(inner.raw), **added})


def _content_id(raw: bytes) -> str:
    return f"replay-{hashlib.blake2b(raw, digest_size=16).hexdigest()}"
