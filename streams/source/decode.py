"""From the bytes on the topic to an event, or to the reason why they are none."""

from __future__ import annotations

import orjson

from streams.errors import InvalidEvent
from streams.events import Event

MAX_DEPTH = 100
"""Deepest nesting accepted. orjson reads 1,024 levels but writes only 254."""


def decode(raw: bytes | None, *, max_bytes: int) -> Event:
    """Parse one JSON event of at most ``max_bytes`` (Segment's limit is 32 KB).

    Raises ``InvalidEvent`` for everything else.
    """
    if not raw:
        raise InvalidEvent("empty", "The record has no value.")
    if len(raw) > max_bytes:
        raise InvalidEvent(
            "too-large",
            f"The event has {len(raw)} bytes; STREAMS_MAX_EVENT_BYTES allows {max_bytes}.",
        )
    try:
        event = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _unreadable(raw, error) from error
    if type(event) is not dict:
        raise InvalidEvent("not-an-object", f"The event must be a JSON object, not {_name(event)}.")
    # Counting the openers is much cheaper than walking, and enough for nearly all events.
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _deeper_than(event, MAX_DEPTH):
        raise InvalidEvent("too-deep", f"The event is nested more than {MAX_DEPTH} levels deep.")
    return event


def _unreadable(raw: bytes, error: orjson.JSONDecodeError) -> InvalidEvent:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as bad:
        return InvalidEvent("invalid-utf8", f"The event is not UTF-8: byte {bad.start} is wrong.")
    if "depth" in str(error) or "ecursion" in str(error):
        return InvalidEvent("too-deep", f"The event is nested more than {MAX_DEPTH} levels deep.")
    return InvalidEvent("not-json", f"The event is not JSON: {error}.")


def _deeper_than(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)  # type: ignore[attr-defined]
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _name(value: object) -> str:
    if value is None:
        return "null"
    return {list: "an array", str: "a string", bool: "a boolean"}.get(type(value), "a number")
