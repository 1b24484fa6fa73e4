"""Whether so many events die that something must be wrong with us rather than with them."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NamedTuple


class Trip(NamedTuple):
    """Why the breaker tripped."""

    letters: int
    events: int
    reason: str
    """The commonest one ..."""
    of_reason: int
    """... and how many letters have it."""

    def explain(self, *, share: float, seconds: float, last: str = "") -> str:
        """For a person. ``last`` is the text of the letter that was one too many.

        It may hold values of the event: not for whoever asks.
        """
        end = f"; the last one: {last.rstrip('.')}" if last else ""
        return (
            f"STREAMS_DLQ_BREAKER_SHARE={share:g}: {self.letters} of {self.events} events within "
            f"{seconds:g} s could not be delivered, {self.of_reason} of them as {self.reason}{end}"
            ". The worker stops: what is not settled is not committed, and is read again at the "
            "next start"
        )


@dataclass(slots=True)
class _Slice:
    """The events of a share of the window."""

    began: float
    events: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


SLICES = 20
"""A window slides in steps of this share of it."""


class Breaker:
    """Judges the share of dead letters among the events of a sliding window.

    Times are given in seconds, of any clock that never goes back. Once tripped, it stays so.
    """

    def __init__(self, *, share: float, events: int, seconds: float) -> None:
        """Trips at ``share`` (0: never) of at least ``events`` events within ``seconds``."""
        self._share = share
        self._least = events
        self._seconds = seconds
        self._slices: deque[_Slice] = deque()
        self._events = 0
        self._reasons: Counter[str] = Counter()
        self.trip: Trip | None = None

    def passed(self, count: int, now: float) -> None:
        """So many events were taken by the destination."""
        if self._share and count:
            self._slice(now).events += count
            self._events += count

    def failed(self, reason: str, now: float) -> Trip | None:
        """An event is about to be buried. Gives why that must not be; None if it may."""
        if not self._share or self.trip is not None:
            return self.trip
        current = self._slice(now)
        current.events += 1
        current.reasons[reason] += 1
        self._events += 1
        self._reasons[reason] += 1
        letters = self._reasons.total()
        if self._events >= self._least and letters >= self._share * self._events:
            [(commonest, count)] = self._reasons.most_common(1)
            self.trip = Trip(letters, self._events, commonest, count)
        return self.trip

    def _slice(self, now: float) -> _Slice:
        slices = self._slices
        while slices and slices[0].began <= now - self._seconds:
            gone = slices.popleft()
            self._events -= gone.events
            self._reasons -= gone.reasons
        if not slices or slices[-1].began <= now - self._seconds / SLICES:
            slices.append(_Slice(now))
        return slices[-1]
