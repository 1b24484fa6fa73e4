"""Moments as text: ISO 8601, in UTC and milliseconds, as Segment's libraries write them."""

from __future__ import annotations

from datetime import UTC, datetime


def parse(text: str) -> datetime:
    """A moment in ISO 8601; without an offset it is UTC. Raises ``ValueError``."""
    return aware(datetime.fromisoformat(text))


def aware(moment: datetime) -> datetime:
    """The moment with its offset; without one it is UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def iso(moment: datetime) -> str:
    """Such as ``2026-11-02T09:00:00.000Z``. Raises ``OverflowError`` out of the years 1..9999."""
    text = aware(moment).astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def iso_ms(milliseconds: int) -> str:
    """The same of milliseconds since 1970; what is no time is shown as it is."""
    try:
        return iso(datetime.fromtimestamp(milliseconds / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return str(milliseconds)
