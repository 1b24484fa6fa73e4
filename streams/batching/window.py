"""Windows: the events of a partition that are flushed together, by size or by age."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import attrgetter
from typing import Final

from streams.batching.pending import Pending

Flush = Callable[[int, list[Pending]], None]

_raw = attrgetter("raw")


@dataclass(slots=True)
class _Window:
    timer: asyncio.TimerHandle
    events: list[Pending] = field(default_factory=list)
    bytes: int = 0


GOLDEN: Final = 0.618033988749895
"""Multiples of it, without their whole part, lie apart, however many there are."""


class Windows:
    """One open window for each partition.

    ``flush(partition, events)`` is called with the events in order, when a window holds
    ``max_events``, or ``max_bytes`` of them as they were read, or its first event has waited
    ``max_seconds``. Where events come all the time, partitions take turns: windows that end
    together would wait for each other's calls.
    """

    def __init__(
        self, *, max_events: int, max_bytes: int, max_seconds: float, flush: Flush
    ) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._flush = flush
        self._open: dict[int, _Window] = {}
        self._flushed_at: dict[int, float] = {}

    def add(self, partition: int, events: Sequence[Pending]) -> None:
        """Append events of a partition, in order."""
        # bytes_before[n] is what the first n of them come to.
        bytes_before = [0, *accumulate(map(len, map(_raw, events)))]
        start = 0
        while start < len(events):
            window = self._open.get(partition)
            if window is None:
                window = self._open[partition] = self._opened(partition)
            full_at = bytes_before[start] + self._max_bytes - window.bytes
            end = min(
                start + self._max_events - len(window.events),
                bisect_left(bytes_before, full_at, lo=start + 1),
                len(events),
            )
            window.events.extend(events[start:end])
            window.bytes += bytes_before[end] - bytes_before[start]
            start = end
            if len(window.events) >= self._max_events or window.bytes >= self._max_bytes:
                self.flush(partition)

    def _opened(self, partition: int) -> _Window:
        loop = asyncio.get_running_loop()
        now, seconds = loop.time(), self._max_seconds
        if now - self._flushed_at.get(partition, -seconds) < seconds:
            # The one before has only just gone. This one ends at its partition's turn.
            turn = partition * GOLDEN % 1 * seconds
            seconds -= (now - turn) % seconds
        return _Window(loop.call_at(now + seconds, self.flush, partition))

    def flush(self, partition: int) -> None:
        """Close the window of a partition now."""
        window = self._open.pop(partition, None)
        if window is not None:
            self._flushed_at[partition] = asyncio.get_running_loop().time()
            window.timer.cancel()
            self._flush(partition, window.events)

    def flush_all(self) -> None:
        """Close all windows now: a stop or a rebalance is near."""
        for partition in list(self._open):
            self.flush(partition)

    def actions(self) -> Counter[str]:
        """How many events of each action are in open windows."""
        return Counter(event.action for window in self._open.values() for event in window.events)

    def clear(self) -> None:
        """Forget all windows: their partitions belong to another worker."""
        for window in self._open.values():
            window.timer.cancel()
        self._open.clear()
        self._flushed_at.clear()
