"""Windows: the events of a partition that are flushed together, by size or by age."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import attrgetter

from streams.batching.pending import Pending

Flush = Callable[[int, list[Pending]], None]

_raw = attrgetter("raw")


@dataclass(slots=True)
class _Window:
    timer: asyncio.TimerHandle
    events: list[Pending] = field(default_factory=list)
    bytes: int = 0


class Windows:
    """One open window for each partition.

    ``flush(partition, events)`` is called with the events in order, when a window holds
    ``max_events``, or ``max_bytes`` of them as they were read, or its first event has waited
    ``max_seconds``.
    """

    def __init__(
        self, *, max_events: int, max_bytes: int, max_seconds: float, flush: Flush
    ) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._flush = flush
        self._open: dict[int, _Window] = {}

    def add(self, partition: int, events: Sequence[Pending]) -> None:
        """Append events of a partition, in order."""
        # bytes_before[n] is what the first n of them come to.
        bytes_before = [0, *accumulate(map(len, map(_raw, events)))]
        start = 0
        while start < len(events):
            window = self._open.get(partition)
            if window is None:
                timer = asyncio.get_running_loop().call_later(
                    self._max_seconds, self.flush, partition
                )
                window = self._open[partition] = _Window(timer)
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

    def flush(self, partition: int) -> None:
        """Close the window of a partition now."""
        window = self._open.pop(partition, None)
        if window is not None:
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
