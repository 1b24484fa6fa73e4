"""What ingest must know of an event, without building the rest of it.

A stage record carries the event as the bytes that came in, so ingest needs no more than
whose it is and whether it is one. Reading only that, with the types checked on the way,
costs a quarter of parsing and validating all of it. What does not pass here is parsed and
validated in full (:mod:`streams.source.decode`, :mod:`streams.source.validate`), which say
what is wrong with it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from streams.source.decode import MAX_DEPTH, decode
from streams.source.validate import validate

Id = str | int | float | None
Text = str | int | float | bool | None


class _Skipped(msgspec.Struct):
    """An object whose content is of no interest."""


class Head(msgspec.Struct, gc=False):
    """The fields that every event has in common (`spec/common.md` of segment-docs)."""

    type: Literal["identify", "track", "page", "screen", "group", "alias", "delete"]
    userId: Id = None  # noqa: N815 - as it is spelled on the wire
    anonymousId: Id = None  # noqa: N815
    integrations: dict[str, Any] | None = None
    timestamp: str | None = None
    originalTimestamp: str | None = None  # noqa: N815
    sentAt: str | None = None  # noqa: N815
    receivedAt: str | None = None  # noqa: N815
    messageId: Id = None  # noqa: N815
    previousId: Id = None  # noqa: N815
    groupId: Id = None  # noqa: N815
    event: Text = None
    name: Text = None
    category: Text = None
    channel: Text = None
    version: Text = None
    traits: _Skipped | None = None
    properties: _Skipped | None = None
    context: _Skipped | None = None


_read = msgspec.json.Decoder(Head).decode
_is_date: Final = datetime.fromisoformat


def read_head(raw: bytes | None, *, max_bytes: int) -> Head:
    """The head of one valid event of at most ``max_bytes``.

    Raises ``InvalidEvent`` for all that :func:`decode` and :func:`validate` refuse, but for
    a number too large for a double in a place that is skipped here.
    """
    try:
        head = _read(raw)  # type: ignore[arg-type]
        if (
            len(raw) > max_bytes  # type: ignore[arg-type]
            or raw.count(b"{") + raw.count(b"[") > MAX_DEPTH  # type: ignore[union-attr]
            or not (head.userId or head.anonymousId)
        ):
            return _read_with_care(raw, max_bytes)
        if not raw.isascii():  # type: ignore[union-attr]
            raw.decode()  # type: ignore[union-attr]
        if head.timestamp is not None:
            _is_date(head.timestamp)
        if head.originalTimestamp is not None:
            _is_date(head.originalTimestamp)
        if head.sentAt is not None:
            _is_date(head.sentAt)
        if head.receivedAt is not None:
            _is_date(head.receivedAt)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return _read_with_care(raw, max_bytes)
    return head


def _read_with_care(raw: bytes | None, max_bytes: int) -> Head:
    event = decode(raw, max_bytes=max_bytes)
    validate(event)
    return Head(**{name: event[name] for name in Head.__struct_fields__ if name in event})
