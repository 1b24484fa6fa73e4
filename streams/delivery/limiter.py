"""How fast a destination is called."""

from __future__ import annotations

from time import monotonic

from aiolimiter import AsyncLimiter

from streams.telemetry.metrics import Metrics


class RateLimiter:
    """At most so many requests a second, and a burst of so many at once after a pause."""

    def __init__(
        self, requests_per_second: float | None, metrics: Metrics, burst: int | None = None
    ) -> None:
        """``requests_per_second`` None: no limit. ``burst`` None: a tenth of a second's worth."""
        self._metrics = metrics
        self._limiter: AsyncLimiter | None = None
        if requests_per_second is not None:
            most = max(requests_per_second / 10, 1.0) if burst is None else burst
            self._limiter = AsyncLimiter(most, most / requests_per_second)

    async def wait(self) -> None:
        """Return when the next request may go."""
        if self._limiter is None or self._limiter.has_capacity():
            if self._limiter is not None:
                await self._limiter.acquire()
            return
        started = monotonic()
        await self._limiter.acquire()
        self._metrics.rate_limited(monotonic() - started)
