"""How much may be underway at once, and how much of it from one source."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import TracebackType
from typing import Final

from streams.gateway.answers import RETRY_SOON, Refusal

REQUEST_WEIGHT: Final = 10
"""A request is as much work as so many events, besides those that it has."""


class Room:
    """Bounds what has been taken in and not been answered: requests, events, bytes.

    What does not fit is refused at once (429) instead of waiting: clients try again, and
    memory and latency stay bounded.
    """

    def __init__(self, *, max_events: int, max_bytes: int) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.requests = 0
        self.events = 0
        self.bytes = 0

    def enter(self) -> Share:
        """A request's share of the room, to be used as a context manager."""
        return Share(self)


class Share:
    """What one request occupies until it is answered."""

    __slots__ = ("_room", "bytes", "events")

    def __init__(self, room: Room) -> None:
        self._room = room
        self.events = 0
        self.bytes = 0

    def grow(self, *, events: int = 0, size: int = 0) -> None:
        """Occupy more, or less. Raises ``Refusal`` (429) where there is no room.

        A request that is alone is let in whatever its size, or it never would be.
        """
        room = self._room
        if (
            room.requests > 1
            and (events > 0 or size > 0)
            and (
                room.events + events + REQUEST_WEIGHT * room.requests > room.max_events
                or room.bytes + size > room.max_bytes
            )
        ):
            raise Refusal(
                429, "overloaded", "Too much is underway here; try again.", retry_after=RETRY_SOON
            )
        self.events += events
        self.bytes += size
        room.events += events
        room.bytes += size

    def __enter__(self) -> Share:
        self._room.requests += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        room = self._room
        room.requests -= 1
        room.events -= self.events
        room.bytes -= self.bytes


class Rates:
    """Events a second for each source: a bucket that a second fills, and that may owe.

    A batch is let in when the bucket is not empty, however large it is, and what it takes
    too much is waited for afterwards.
    """

    def __init__(self, per_second: float | None, clock: Callable[[], float]) -> None:
        self._rate = per_second
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def spend(self, source: str, events: int) -> None:
        """Take ``events`` out of a source's bucket. Raises ``Refusal`` (429) when it is empty."""
        rate = self._rate
        if rate is None:
            return
        now = self._clock()
        full = max(rate, 1.0)
        left, then = self._buckets.get(source, (full, now))
        left = min(full, left + (now - then) * rate)
        if left < 1.0:
            self._buckets[source] = (left, now)
            raise Refusal(
                429,
                "rate-limited",
                f"More than {rate:g} events a second from {source}.",
                retry_after=max(1, math.ceil((1.0 - left) / rate)),
            )
        self._buckets[source] = (left - events, now)
