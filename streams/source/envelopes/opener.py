"""Opening envelopes, also those that are in envelopes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Generic, TypeVar

from streams.errors import InvalidEvent
from streams.source.envelopes.base import Envelope, Inner
from streams.source.head import Head

DEEPEST: Final = 4
"""Envelopes in envelopes: a dump of a topic, with archive lines, with batches."""

EventT = TypeVar("EventT")


class Opener(Generic[EventT]):
    """Opens envelopes. It remembers the last one, as the next one is most often the same."""

    def __init__(self, envelopes: Sequence[Envelope], read: Callable[[Inner], EventT]) -> None:
        """``read`` makes an event of what is inside, or raises ``InvalidEvent``."""
        self._envelopes = envelopes
        self._read_event = read
        self.last: Envelope | None = None

    def open(
        self, inner: Inner, failure: InvalidEvent | None = None, depth: int = DEEPEST
    ) -> Iterator[tuple[Inner, EventT | InvalidEvent]]:
        """What is inside, each with the event that it is, or with why it is none.

        ``failure`` says why ``inner`` itself is no event, if that is known.
        """
        held = self._unwrap(inner.raw) if depth else None
        if held is not None:
            for number, each in enumerate(held):
                place = f"-{number}" if len(held) > 1 else ""
                yield from self._read(_with_defaults(each, inner, place), depth - 1)
        elif failure is not None:
            yield inner, failure
        else:
            # The one before was in an envelope, this one is in none.
            self.last = None
            yield from self._read(inner, depth)

    def _read(self, inner: Inner, depth: int) -> Iterator[tuple[Inner, EventT | InvalidEvent]]:
        try:
            found = self._read_event(inner)
        except InvalidEvent as error:
            yield from self.open(inner, error, depth)
        else:
            yield inner, found

    def _unwrap(self, raw: bytes) -> list[Inner] | None:
        for envelope in (self.last, *self._envelopes) if self.last else self._envelopes:
            try:
                held = envelope.unwrap(raw)
            except RecursionError:
                continue
            if held is not None:
                self.last = envelope
                return list(held)
        return None


def additions(inner: Inner, head: Head) -> dict[str, str]:
    """The fields that an event lacks and its envelope knows."""
    added: dict[str, str] = {}
    if inner.message_id is not None and (head.messageId is None or head.messageId == ""):
        added["messageId"] = inner.message_id
    if head.timestamp is None and head.receivedAt is None:
        if inner.received_at is not None:
            added["receivedAt"] = inner.received_at
        elif head.originalTimestamp is None and inner.produced_at is not None:
            added["timestamp"] = inner.produced_at
    return added


def _with_defaults(inner: Inner, outer: Inner, place: str) -> Inner:
    """What the outer envelope knows too, where the inner one does not.

    Of several inside, each has the outer messageId with its ``place``.
    """
    return replace(
        inner,
        message_id=inner.message_id or (outer.message_id and outer.message_id + place),
        received_at=inner.received_at or outer.received_at,
        produced_at=inner.produced_at or outer.produced_at,
    )
