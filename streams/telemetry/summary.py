"""The line in the log that says what a worker did: one for each interval in which it did anything.

Made of the metrics, so that it costs the way of an event nothing, and so that it can hold no
value of an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

import structlog

log = structlog.get_logger(__name__)

INTERVAL_SECONDS: Final = 10.0

_COUNTED: Final = {
    "consumed": "streams_events_consumed_total",
    "delivered": "streams_events_delivered_total",
    "coalesced": "streams_events_coalesced_total",
    "filtered": "streams_events_filtered_total",
    "duplicate": "streams_events_duplicate_total",
    "dead_lettered": "streams_events_dead_lettered_total",
    "windows": "streams_window_events_count",
    "calls": "streams_request_seconds_count",
    "retries": "streams_retries_total",
}
"""What happened in the interval: field and metric."""

_MEANS: Final = {
    "call_seconds": "streams_request_seconds",
    "event_seconds": "streams_end_to_end_seconds",
}
"""Mean of the interval's observations: field and histogram."""

_NOW: Final = {
    "in_flight": "streams_events_in_flight",
    "open_calls": "streams_requests_in_flight",
    "lag": "streams_consumer_lag",
}
"""What is so at its end: field and gauge."""


def summary(
    before: Mapping[str, float], after: Mapping[str, float]
) -> dict[str, int | float] | None:
    """The fields of the line between two readings of the metrics; None when nothing happened."""

    def grown(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    fields: dict[str, int | float] = {name: int(grown(total)) for name, total in _COUNTED.items()}
    if not any(fields.values()):
        return None
    fields |= {
        name: round(grown(f"{histogram}_sum") / count, 4)
        for name, histogram in _MEANS.items()
        if (count := grown(f"{histogram}_count"))
    }
    return fields | {name: int(after.get(gauge, 0.0)) for name, gauge in _NOW.items()}


class Summary:
    """Writes the line."""

    def __init__(self, destination: str, totals: Callable[[], Mapping[str, float]]) -> None:
        """``totals()`` reads the metrics: :meth:`streams.telemetry.metrics.Metrics.totals`."""
        self._destination = destination
        self._totals = totals
        self._before: Mapping[str, float] = {}
        self._since = monotonic()

    def tell(self) -> None:
        """Write the line for the time since the last one, unless nothing happened."""
        after, now = self._totals(), monotonic()
        fields = summary(self._before, after)
        seconds = round(now - self._since, 1)
        self._before, self._since = after, now
        if fields is not None:
            log.info("worked", destination=self._destination, seconds=seconds, **fields)

    async def tell_now_and_then(self) -> None:
        """Write it every ten seconds, for ever."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            self.tell()
