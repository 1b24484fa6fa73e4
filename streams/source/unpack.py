"""What is no event as it stands: Avro, and the envelopes of other tools."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec
import orjson

from streams.avro import wire
from streams.avro.reader import AvroReader
from streams.errors import InvalidEvent
from streams.events import Event
from streams.source.decode import decode
from streams.source.envelopes import ENVELOPES, Inner, Opener, additions
from streams.source.head import Id, read_head


class _Id(msgspec.Struct):
    messageId: Id = None  # noqa: N815 - as it is spelled on the wire


_read_id = msgspec.json.Decoder(_Id).decode


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
        envelope knows of it. Where there are several, one without a messageId gets
        ``default_id`` and its number. Raises ``InvalidEvent`` when there is nothing in it.
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
        if len(found) == 1:
            return found
        return [
            _one_of(number, len(found), raw, event, f"{default_id}-{number}")
            for number, (raw, event) in enumerate(found)
        ]

    def _event(self, inner: Inner) -> bytes:
        head = read_head(inner.raw, max_bytes=self._max_bytes)
        added = additions(inner, head)
        return _with(inner.raw, added) if added else inner.raw


def _one_of(
    number: int, count: int, raw: bytes, event: bytes | InvalidEvent, message_id: str
) -> tuple[bytes, bytes | InvalidEvent]:
    if isinstance(event, InvalidEvent):
        text = f"Event {number + 1} of the {count} in the record: {event}"
        # Its name is its own also when it is redriven, without the others.
        return _named(raw, message_id), InvalidEvent(event.reason, text)
    return raw, _named(event, message_id)


def _named(raw: bytes, message_id: str) -> bytes:
    try:
        is_named = _read_id(raw).messageId not in (None, "")
        return raw if is_named else _with(raw, {"messageId": message_id})
    except (InvalidEvent, msgspec.MsgspecError, UnicodeDecodeError):
        return raw


def _with(raw: bytes, added: dict[str, str]) -> bytes:
    event: Event = decode(raw, max_bytes=len(raw))
    return orjson.dumps({**event, **added})
