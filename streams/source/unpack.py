"""What is no event as it stands: Avro, and the envelopes of other tools."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import orjson

from streams.avro import wire
from streams.avro.reader import AvroReader
from streams.errors import InvalidEvent
from streams.events import Event
from streams.source.decode import decode
from streams.source.envelopes import ENVELOPES, Inner, Opener, additions
from streams.source.head import read_head


class Unpacker:
    """Takes events out of values. Schemas that are ``missing`` have to be fetched before."""

    def __init__(self, avro: AvroReader, *, max_event_bytes: int) -> None:
        """``max_event_bytes`` bounds each event; what it is in may be larger."""
        self._avro = avro
        self._max_bytes = max_event_bytes
        self._opener = Opener(ENVELOPES, self._event)

    def missing(self, values: Iterable[bytes | None]) -> set[int]:
        """See :class:`streams.avro.reader.AvroReader`."""
        return self._avro.missing(values)

    async def fetch(self, ids: Collection[int]) -> None:
        """See :class:`streams.avro.reader.AvroReader`."""
        await self._avro.fetch(ids)

    def events(
        self, value: bytes | None, failure: InvalidEvent, default_id: str
    ) -> list[tuple[bytes, bytes | InvalidEvent]]:
        """The events in a value that is none itself because of ``failure``, in order.

        Each with its bytes as they were in the value, and as they go on: JSON, with what the
        envelope knows of it. One without a messageId gets ``default_id``, with its number where
        there are several. Raises ``InvalidEvent`` when there is nothing in it.
        """
        if not value:
            raise failure
        if wire.is_framed(value):
            inner = Inner(self._avro.read(value), default_id)
            try:
                return [(inner.raw, self._event(inner))]
            except InvalidEvent as error:
                failure = error
        else:
            inner = Inner(value, default_id)
        found = list(self._opener.open(inner, failure))
        if not found:
            raise InvalidEvent("empty", "The record is an envelope that holds no event.")
        return [
            _one_of(number, len(found), inner, event)
            for number, (inner, event) in enumerate(found, start=1)
        ]

    def _event(self, inner: Inner) -> bytes:
        head = read_head(inner.raw, max_bytes=self._max_bytes)
        added = additions(inner, head)
        return _with(inner.raw, added) if added else inner.raw


def _one_of(
    number: int, count: int, inner: Inner, event: bytes | InvalidEvent
) -> tuple[bytes, bytes | InvalidEvent]:
    if isinstance(event, bytes) or count == 1:
        return inner.raw, event
    text = f"Event {number} of the {count} in the record: {event}"
    return _named(inner), InvalidEvent(event.reason, text)


def _named(inner: Inner) -> bytes:
    """With its own messageId also when it is redriven, without the others."""
    try:
        event = decode(inner.raw, max_bytes=len(inner.raw))
    except InvalidEvent:
        return inner.raw
    return orjson.dumps({**event, "messageId": event.get("messageId") or inner.message_id})


def _with(raw: bytes, added: dict[str, str]) -> bytes:
    event: Event = decode(raw, max_bytes=len(raw))
    return orjson.dumps({**event, **added})
