"""What is no event as it stands: Avro, and the envelopes of other tools."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import orjson

from streams.avro import wire
from streams.avro.reader import AvroReader
from streams.errors import InvalidEvent
from streams.events import STAMP_BYTES, Event
from streams.source.decode import decode
from streams.source.envelopes import ENVELOPES, Inner, Opener, additions
from streams.source.head import Head, read_head


class Unpacked(NamedTuple):
    """An event that was in a record's value, as JSON."""

    raw: bytes
    head: Head


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
    ) -> list[tuple[bytes, Unpacked | InvalidEvent]]:
        """The events in a value that is none itself because of ``failure``, in order.

        Each with its bytes in the value, as JSON. Where there are several, one without a
        messageId gets ``default_id`` and its number. Raises ``InvalidEvent`` when there is
        nothing in it.
        """
        if not value:
            raise failure
        if wire.is_framed(value):
            inner = Inner(self._avro.read(value))
            try:
                return [(inner.raw, self._event(inner))]
            except InvalidEvent as error:
                failure = error
        else:
            inner = Inner(value)
        found = [(each.raw, event) for each, event in self._opener.open(inner, failure)]
        if not found:
            raise InvalidEvent("empty", "The record is an envelope that holds no event.")
        if len(found) > 1:
            found = [
                (raw, _named(event, f"{default_id}-{number}"))
                for number, (raw, event) in enumerate(found)
            ]
        return found

    def _event(self, inner: Inner) -> Unpacked:
        head = read_head(inner.raw, max_bytes=self._max_bytes)
        added = additions(inner, head)
        if not added:
            return Unpacked(inner.raw, head)
        event: Event = decode(inner.raw, max_bytes=self._max_bytes)
        raw = orjson.dumps({**event, **added})
        return Unpacked(raw, read_head(raw, max_bytes=self._max_bytes + STAMP_BYTES))


def _named(event: Unpacked | InvalidEvent, message_id: str) -> Unpacked | InvalidEvent:
    if isinstance(event, InvalidEvent) or not (
        event.head.messageId is None or event.head.messageId == ""
    ):
        return event
    raw = orjson.dumps({**orjson.loads(event.raw), "messageId": message_id})
    return Unpacked(raw, event.head)
