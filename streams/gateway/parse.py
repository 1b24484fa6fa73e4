"""From the bytes of a request to the raw events in it. Nothing is taken for what it says it is.

Values stay the bytes that the client sent: numbers too large for a double, and the spelling of
all others, reach the topic as they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from streams.errors import InvalidEvent
from streams.gateway.answers import Refusal

Fields = dict[str, msgspec.Raw]
"""A JSON object, its values unread."""

BATCH: Final = "batch"
TELEMETRY: Final = "telemetry"
"""What the browser library tells Segment of itself: taken and dropped."""

MAX_BATCH_EVENTS: Final = 2_500

_TYPES: Final = ("identify", "track", "page", "screen", "group", "alias")
ROUTES: Final = {
    **{f"/v1/{name}": name for name in _TYPES},
    # The browser library's: the first letter.
    **{f"/v1/{name[0]}": name for name in _TYPES},
    "/v1/batch": BATCH,
    "/v1/b": BATCH,
    # What older libraries call a batch.
    "/v1/import": BATCH,
    "/v1/m": TELEMETRY,
}
"""Path, without trailing slashes, to the type of the event in the body, or one of the above."""

_GZIP: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS

read_fields: Final = msgspec.json.Decoder(Fields).decode
_read_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_read_any: Final = msgspec.json.Decoder().decode

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def route(path: str) -> str | None:
    """What is posted to a path, which may have a query and trailing slashes. None: nothing."""
    return ROUTES.get(path.partition("?")[0].rstrip("/"))


def too_large(limit: int) -> Refusal:
    """The answer to a body of more than ``limit`` bytes."""
    return Refusal(413, "too-large", f"A request may have {limit} bytes, once unpacked.")


def inflate(body: bytes, encoding: str | None, limit: int) -> bytes:
    """Undo gzip, told by the first bytes and not by the header. Raises ``Refusal``.

    Stops at ``limit`` bytes: what would be more is never made.
    """
    if body.startswith(_GZIP):
        return _gunzip(body, limit)
    name = (encoding or "").strip().lower()
    if name in ("", "identity", "gzip", "x-gzip"):
        # Something on the way may have unpacked it and left the header.
        return body
    raise Refusal(400, "unsupported-encoding", f"Content-Encoding {name:.40} is not gzip.")


def _gunzip(body: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    room, rest = limit, body
    try:
        while rest.startswith(_GZIP):
            unpack = zlib.decompressobj(_GZIP_WINDOW)
            # One byte more than there is room for tells what fits from what does not.
            part = unpack.decompress(rest, room + 1)
            if len(part) > room:
                raise too_large(limit)
            if not unpack.eof:
                raise Refusal(400, "not-gzip", "The gzip data ends too early.")
            parts.append(part)
            room -= len(part)
            rest = unpack.unused_data
    except zlib.error as error:
        raise Refusal(400, "not-gzip", f"The gzip data is broken: {error}.") from None
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Body:
    """What a request holds."""

    write_key: bytes | None
    items: Sequence[msgspec.Raw | Fields]
    """The events, in order: of a single call one, already split into its fields."""
    sent_at: msgspec.Raw | None = None
    """Of the whole request."""
    context: Fields | None = None
    integrations: Fields | None = None


def read_single(raw: bytes) -> Body:
    """The body of a single call: the event itself. Raises ``Refusal``."""
    fields = _object(raw)
    return Body(text(fields.pop("writeKey", None)), [fields])


def read_batch(raw: bytes) -> Body:
    """The body of a batch. Raises ``Refusal``."""
    fields = _object(raw)
    try:
        items = _read_items(fields["batch"])
    except (KeyError, *UNREADABLE):
        raise Refusal(400, "no-batch", "The body must have an array named batch.") from None
    if not items:
        raise Refusal(400, "empty-batch", "The batch has no events.")
    if len(items) > MAX_BATCH_EVENTS:
        raise Refusal(
            413,
            "too-many-events",
            f"The batch has {len(items)} events; {MAX_BATCH_EVENTS} are allowed.",
        )
    return Body(
        text(fields.get("writeKey")),
        items,
        fields.get("sentAt"),
        _shared(fields, "context"),
        _shared(fields, "integrations"),
    )


def read_event(raw: msgspec.Raw | Fields) -> Fields:
    """An item's fields. Raises ``InvalidEvent``."""
    if isinstance(raw, dict):
        return raw
    try:
        return read_fields(raw)
    except UNREADABLE:
        raise InvalidEvent("not-an-object", "The event must be a JSON object.") from None


def text(raw: msgspec.Raw | None) -> bytes | None:
    """A value that should be a string; None if it is anything else, or empty."""
    try:
        value = None if raw is None else _read_any(raw)
    except UNREADABLE:
        return None
    return value.encode() or None if isinstance(value, str) else None


def _object(raw: bytes) -> Fields:
    try:
        return read_fields(raw)
    except UnicodeDecodeError:
        raise Refusal(400, "invalid-utf8", "The body is not UTF-8.") from None
    except RecursionError:
        raise Refusal(400, "too-deep", "The body is nested too deep.") from None
    except msgspec.ValidationError:
        raise Refusal(400, "not-an-object", "The body must be a JSON object.") from None
    except msgspec.MsgspecError as error:
        raise Refusal(400, "not-json", f"The body is not JSON: {error}.") from None


def _shared(fields: Fields, name: str) -> Fields | None:
    raw = fields.get(name)
    if raw is None or bytes(raw) == b"null":
        return None
    try:
        return read_fields(raw)
    except UNREADABLE:
        raise Refusal(400, "wrong-type", f"The {name} of the batch must be an object.") from None
