"""What makes a JSON object a Segment event (segment-docs `spec/common.md`).

Only what every event has in common is judged here. Whether an event satisfies the
action it is mapped to is the destination's business.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from streams.errors import InvalidEvent
from streams.events import Event

TYPES: Final = frozenset({"identify", "track", "page", "screen", "group", "alias", "delete"})
"""Segment's six calls, and the deletion request of its privacy tools."""


def validate(event: Event) -> None:
    """Check an event. Raises ``InvalidEvent``; changes nothing."""
    kind = event.get("type")
    if kind is None:
        raise InvalidEvent("no-type", "The event has no type.")
    if type(kind) is not str or kind not in TYPES:
        raise InvalidEvent(
            "unknown-type", f"The type {kind!r:.60} is none of {', '.join(sorted(TYPES))}."
        )
    for name, check in _CHECKS.items():
        value = event.get(name)
        if value is not None:
            check(name, value)
    if _absent(event.get("userId")) and _absent(event.get("anonymousId")):
        raise InvalidEvent("no-ids", "The event has neither a userId nor an anonymousId.")


def _absent(value: Any) -> bool:
    # segment-analytics-python sends null for the id that it does not have.
    return value is None or value == ""


def _id(name: str, value: Any) -> None:
    # Numeric ids are common; they are read as their text.
    if type(value) not in (str, int, float):
        raise _wrong(name, "a string or a number", value)


def _text(name: str, value: Any) -> None:
    if isinstance(value, dict | list):
        raise _wrong(name, "a string", value)


def _object(name: str, value: Any) -> None:
    if type(value) is not dict:
        raise _wrong(name, "an object", value)


def _time(name: str, value: Any) -> None:
    if type(value) is not str:
        raise InvalidEvent(
            "invalid-timestamp", f"{name} must be an ISO 8601 string, not {value!r:.60}."
        )
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise InvalidEvent(
            "invalid-timestamp", f"{name} is not an ISO 8601 date: {value!r:.60}."
        ) from None


def _wrong(name: str, wanted: str, value: Any) -> InvalidEvent:
    return InvalidEvent("wrong-type", f"{name} must be {wanted}, not {value!r:.60}.")


_CHECKS: Final[dict[str, Callable[[str, Any], None]]] = {
    "userId": _id,
    "anonymousId": _id,
    "previousId": _id,
    "groupId": _id,
    "messageId": _id,
    "event": _text,
    "name": _text,
    "category": _text,
    "channel": _text,
    "version": _text,
    "traits": _object,
    "properties": _object,
    "context": _object,
    "integrations": _object,
    "timestamp": _time,
    "originalTimestamp": _time,
    "sentAt": _time,
    "receivedAt": _time,
}
