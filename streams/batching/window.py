"""Windows: the events of a partition that are flushed together, by size or by age."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from streams.batching.pending import Pending

Flush = Callable[[int, list[Pending]], None]


class Windows:
    """One open window for each partition.

    ``flush(partition, events)`` is called with the events in order, when a window holds
    ``max_events`` or its first event has waited ``max_seconds``.
    """

    def __init__(self, *, max_events: int, max_seconds: float, flush: Flush) -> None:
        self._max_events = max_events
        self._max_seconds = max_seconds
        self._flush = flush
        self._open: dict[int, list[Pending]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def add(self, partition: int, events: Sequence[Pending]) -> None:
        """Append events of a partition, in order."""
        start = 0
        while start < len(events):
            window = self._open.get(partition)
            if window is None:
                window = self._open[partition] = []
                self._timers[partition] = asyncio.get_running_loop().call_later(
                    self._max_seconds, self.flush, partition
                )
            end = start + self._max_events - len(window)
            window.extend(events[start:end])
            start = end
            if len(window) >= self._max_events:
                self.flush(partition)

    def flush(self, partition: int) -> None:
        """Close the window of a partition now."""
        window = self._open.pop(partition, None)
        if window is not None:
            self._timers.pop(partition).cancel()
            self._flush(partition, window)

    def flush_all(self) -> None:
        """Close all windows now: a stop or a rebalance is near."""
        for partition in list(self._open):
            self.flush(partition)

    def clear(self) -> None:
        """Forget all windows: their partitions belong to another worker."""
        self._open.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
