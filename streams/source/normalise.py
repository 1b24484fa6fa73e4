"""One shape for what different clients send (the quirks are those of real clients)."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from streams.events import Event
from streams.moments import iso, parse

_ID_FIELDS = ("userId", "anonymousId", "previousId", "groupId", "messageId")


def normalise(event: Event, topic: str, partition: int, offset: int, produced_at: float) -> None:
    """Bring a validated event into one shape, in place.

    ``topic``, ``partition`` and ``offset`` are the source record's; ``produced_at``, its
    Kafka timestamp in seconds since 1970, is the time of last resort. Deterministic: the
    same record always gives the same event.
    """
    for name in _ID_FIELDS:
        value = event.get(name)
        if value is not None:
            if type(value) is not str:
                event[name] = number_text(value)
            elif not value:
                event[name] = None
    if event.get("messageId") is None:
        # From the record's coordinates, so that reading the record again gives the same id.
        event["messageId"] = default_id(topic, partition, offset)
    if event.get("timestamp") is None:
        event["timestamp"] = happened_at(event, produced_at)
    if event["type"] == "identify" and event.get("traits") is None:
        # rudder-sdk-python moves the traits of an identify into the context.
        context = event.get("context")
        if context is not None and type(context.get("traits")) is dict:
            event["traits"] = context["traits"]


def default_id(topic: str, partition: int, offset: int) -> str:
    """The messageId of an event that brings none, from the source record's coordinates."""
    return f"kafka-{topic}-{partition}-{offset}"


def person_key(anonymous_id: str | float | None, user_id: str | float | None) -> str:
    """The key under which an event is ordered and its identity kept: the device first.

    A device's events meet in one partition before and after its user logs in; events
    with only a userId meet in that user's. Raises ``ValueError`` without an id.
    """
    value = user_id if anonymous_id is None or anonymous_id == "" else anonymous_id
    if value is None or value == "":
        raise ValueError("an event without ids has no person")
    return value if type(value) is str else number_text(value)  # type: ignore[arg-type]


def number_text(value: float) -> str:
    # As JavaScript prints it: 7.0 and 7 are one number there, and so one id.
    return str(int(value)) if value == int(value) else repr(value)


def happened_at(event: Event, produced_at: float) -> str:
    """When it happened: `spec/common.md`, timestamp = receivedAt - (sentAt - originalTimestamp)."""
    original, sent, received = (
        parse(value) if (value := event.get(name)) is not None else None
        for name in ("originalTimestamp", "sentAt", "receivedAt")
    )
    if original is not None and sent is not None and received is not None:
        with suppress(OverflowError):  # before the year 1 or after 9999
            return iso(received - (sent - original))
    for moment in (original, received):
        if moment is not None:
            with suppress(OverflowError):
                return iso(moment)
    return iso(datetime.fromtimestamp(produced_at, UTC))
