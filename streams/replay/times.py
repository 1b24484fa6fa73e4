"""Moments as whole microseconds since 1970, which sort and compare fast."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from streams import moments
from streams.source.head import Head
from streams.source.normalise import happened_at

_read: Final = datetime.fromisoformat
_FAR_FROM_PRODUCED: Final = 0.0


def micros(text: str) -> int:
    """A moment in ISO 8601; without an offset it is UTC. Raises ``ValueError``."""
    # For every event: as moments.parse has it, in one step less.
    moment = _read(text)
    return round((moment if moment.tzinfo else moments.aware(moment)).timestamp() * 1e6)


def iso(at: int) -> str:
    """The inverse of :func:`micros`, in milliseconds."""
    return moments.iso(datetime.fromtimestamp(at / 1e6, UTC))


def moment_of(head: Head) -> int | None:
    """When an event happened, as a worker will see it; None if the event does not say."""
    if head.timestamp is not None:
        return micros(head.timestamp)
    if head.originalTimestamp is None and head.receivedAt is None:
        return None
    fields = {
        "originalTimestamp": head.originalTimestamp,
        "sentAt": head.sentAt,
        "receivedAt": head.receivedAt,
    }
    return micros(happened_at(fields, _FAR_FROM_PRODUCED))
