"""Jitsu's messages, as they are on its topics."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from streams.source.envelopes.base import Inner


class _Line(msgspec.Struct):
    httpPayload: msgspec.Raw  # noqa: N815 - as it is spelled there
    messageCreated: str | None = None  # noqa: N815
    messageId: str | None = None  # noqa: N815


_read = msgspec.json.Decoder(_Line).decode


class Jitsu:
    """{type, messageId, messageCreated, httpPayload, ...}: httpPayload is the event."""

    def unwrap(self, line: bytes) -> Iterable[Inner] | None:
        """See ``Envelope``."""
        try:
            message = _read(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        raw = bytes(message.httpPayload)
        if raw == b"null":
            return ()
        return (
            Inner(raw, message_id=message.messageId or None, received_at=message.messageCreated),
        )
