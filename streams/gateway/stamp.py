"""What the gateway writes into an event: whose it is, when it came, when it happened.

`spec/common.md` of segment-docs: the client's ``timestamp`` becomes ``originalTimestamp``, and
``timestamp = receivedAt - (sentAt - originalTimestamp)``, which cancels a wrong clock.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from streams.errors import InvalidEvent
from streams.events import STAMP_BYTES
from streams.gateway.parse import UNREADABLE, Body, Fields, read_event, read_fields
from streams.moments import iso, parse
from streams.source.head import read_head
from streams.source.normalise import person_key

NOT_FROM_OUTSIDE: Final = "delete"
"""Erases a person: known on the topic, no call of the Tracking API. Browsers show their keys."""

_STAMPED: Final[tuple[str, ...]] = (
    "messageId",
    "originalTimestamp",
    "projectId",
    "receivedAt",
    "sentAt",
    "timestamp",
)

Values = dict[str, bytes | msgspec.Raw]

_NULL: Final = b"null"
_EMPTY: Final = frozenset((b"null", b'""'))


class Stamped(NamedTuple):
    """An event as it goes to the topic."""

    value: bytes
    person: str
    type: str
    message_id: str | None
    """The client's; None if it was made here."""


class Stamp:
    """What the events of one request have in common."""

    def __init__(
        self, body: Body, *, kind: str | None, source: str, received: datetime, max_bytes: int
    ) -> None:
        """``kind`` is the type that the path says, ``source`` the write key's."""
        self._type = None if kind is None else f'"{kind}"'.encode()
        self._source = orjson.dumps(source)
        self._received = received
        self._received_json = _json(received)
        self._max_bytes = max_bytes
        self._context = body.context
        self._integrations = body.integrations
        # One clock for the request: what an event says of itself may be when it was queued.
        self._sent_json = None if body.sent_at is None else bytes(body.sent_at)
        self._sent = None if self._sent_json is None else _moment(self._sent_json)

    def event(self, raw: msgspec.Raw | Fields) -> Stamped:
        """An event of the request. Raises ``InvalidEvent`` for what ingest would refuse."""
        fields: Values = dict(read_event(raw))
        fields.pop("writeKey", None)
        if self._type is not None:
            fields["type"] = self._type
        if self._context is not None:
            fields["context"] = _merged(self._context, fields.get("context"))
        if self._integrations is not None:
            fields["integrations"] = _merged(self._integrations, fields.get("integrations"))
        # What is written anew is taken out first.
        own = {name: bytes(fields.pop(name)) for name in _STAMPED if name in fields}
        rest = _write(fields)
        size = len(rest) + sum([len(name) + len(value) + 4 for name, value in own.items()])
        if size > self._max_bytes:
            raise InvalidEvent(
                "too-large", f"The event has {size} bytes; {self._max_bytes} are allowed."
            )
        message_id = own.get("messageId", _NULL)
        is_named = message_id not in _EMPTY
        if not is_named:
            message_id = b'"gateway-%b"' % uuid.uuid4().hex.encode()
        value = b'{%b"messageId":%b,"receivedAt":%b,"projectId":%b%b%b' % (
            self._dates(own),
            message_id,
            self._received_json,
            self._source,
            b"," if fields else b"",
            rest[1:],
        )
        head = read_head(value, max_bytes=self._max_bytes + STAMP_BYTES)
        if head.type == NOT_FROM_OUTSIDE:
            raise InvalidEvent("unknown-type", "A deletion is not taken over HTTP.")
        person = person_key(head.anonymousId, head.userId)
        return Stamped(value, person, head.type, str(head.messageId) if is_named else None)

    def _dates(self, own: dict[str, bytes]) -> bytes:
        """When it was sent, when it happened as the client says, and as it must have been."""
        sent, sent_json = self._sent, self._sent_json
        if sent is None:
            sent_json = own.get("sentAt", _NULL)
            if sent_json != _NULL:
                sent = _moment(sent_json)
        sent_part = b"" if sent_json in (None, _NULL) else b'"sentAt":%b,' % sent_json
        claim = own.get("timestamp", _NULL)
        if claim == _NULL:
            # RudderStack's clients have it under this name already.
            claim = own.get("originalTimestamp", _NULL)
        if claim == _NULL:
            return b'%b"timestamp":%b,' % (sent_part, self._received_json)
        corrected = claim
        happened = None if sent is None else _moment(claim)
        if happened is not None and sent is not None:
            # Before the year 1 or after 9999: as the client says.
            with suppress(OverflowError):
                corrected = _json(self._received - (sent - happened))
        return b'%b"originalTimestamp":%b,"timestamp":%b,' % (sent_part, claim, corrected)


def _merged(shared: Fields, own: bytes | msgspec.Raw | None) -> bytes | msgspec.Raw:
    """The batch's object with the event's own fields over it."""
    if own is None or bytes(own) == _NULL:
        return _write(shared)
    try:
        return _write({**shared, **read_fields(own)})
    except UNREADABLE:
        return own  # not an object: refused with all else


def _write(fields: Mapping[str, bytes | msgspec.Raw]) -> bytes:
    parts: list[Any] = [b"{"]
    for name, value in fields.items():
        parts += (_name(name), value, b",")
    if fields:
        parts.pop()
    parts.append(b"}")
    return b"".join(parts)


@lru_cache(maxsize=4096)
def _name(name: str) -> bytes:
    return orjson.dumps(name) + b":"


def _json(moment: datetime) -> bytes:
    return f'"{iso(moment)}"'.encode()


def _moment(raw: bytes) -> datetime | None:
    """A JSON string as a moment; None if it is none."""
    try:
        return parse(orjson.loads(raw))
    except (TypeError, ValueError):
        return None
