"""RudderStack's gateway archive (the replay bucket)."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import msgspec
import orjson

from streams.source.envelopes.base import Inner


class _Line(msgspec.Struct):
    payload: msgspec.Raw
    createdAt: str  # noqa: N815 - as it is spelled there
    messageId: str | None = None  # noqa: N815


_read = msgspec.json.Decoder(_Line).decode


class RudderStack:
    """{userId, payload, createdAt, messageId}: payload is an event or the body of a batch."""

    def unwrap(self, line: bytes) -> Iterable[Inner] | None:
        """See ``Envelope``."""
        try:
            record = _read(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        raw = bytes(record.payload)
        if raw[:1] == b'"':
            # Text that holds JSON, as some exports have it.
            with suppress(orjson.JSONDecodeError):
                raw = orjson.loads(raw).encode()
        if raw in (b"null", b""):
            return ()
        return (Inner(raw, message_id=record.messageId or None, received_at=record.createdAt),)
