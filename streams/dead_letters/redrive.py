"""What a redriven record says of itself, from the dead letter back through the pipeline.

A redriven record is the original one, to the byte, at another offset and another time. So
its headers carry what the new place would make false: where and when the event was first
read, which messageId and timestamp may depend on, and whose event it was then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from streams.events import Origin

Headers = Sequence[tuple[str, bytes]]

PREFIX = "dlq."
ID = "dlq.id"


class Redrive(NamedTuple):
    """One more try of an event that was a dead letter."""

    tries: int
    """How often it has been redriven, this time included."""
    letter: str
    """The dead letter that it was: ``partition@offset``."""
    is_resolved: bool = False
    """Whether the event was resolved before: what it teaches, it taught then."""
    user: str | None = None
    """If so, the userId that the event had after it was resolved."""
    destination: str = ""
    """The one that it did not reach; empty where it was to reach all."""


class Place(NamedTuple):
    """Where and when an event was first read."""

    origin: Origin
    produced_ms: int


def headers(redrive: Redrive, place: Place) -> list[tuple[str, bytes]]:
    """The headers of a redriven record."""
    found = {
        "id": redrive.letter,
        "redriven": str(redrive.tries),
        "topic": place.origin.topic,
        "partition": str(place.origin.partition),
        "offset": str(place.origin.offset),
        "produced-at": str(place.produced_ms),
        "resolved": "1" if redrive.is_resolved else "",
        "user-id": redrive.user or "",
        "destination": redrive.destination,
    }
    return [(PREFIX + name, text.encode()) for name, text in found.items() if text]


def read(found: Iterable[tuple[str, Any]]) -> tuple[Redrive, Place] | None:
    """What the headers of a source record say; None if it is not a redriven one.

    Anyone may write headers: what is not as :func:`headers` writes it counts for nothing.
    """
    for name, _ in found:
        if name == ID:
            break
    else:
        return None
    texts = dict(found)
    try:
        place = Place(
            Origin(
                texts["dlq.topic"].decode(),
                int(texts["dlq.partition"]),
                int(texts["dlq.offset"]),
            ),
            int(texts["dlq.produced-at"]),
        )
        user = texts.get("dlq.user-id")
        redrive = Redrive(
            int(texts["dlq.redriven"]),
            texts[ID].decode(),
            texts.get("dlq.resolved") == b"1",
            None if user is None else user.decode(),
            texts.get("dlq.destination", b"").decode(),
        )
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    # What goes on is written as JSON, and its time made into a date.
    in_range = 0 <= place.origin.offset < 2**63 and 0 <= place.produced_ms < 2**47
    return (redrive, place) if in_range and 0 < redrive.tries < 2**31 else None
