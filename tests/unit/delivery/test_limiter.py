"""How fast a destination is called."""

from __future__ import annotations

import asyncio

from streams.delivery.limiter import RateLimiter
from streams.telemetry.metrics import Metrics
from tests.support.fakes import samples


async def passed(limiter: RateLimiter, seconds: float) -> int:
    """How many requests go in some time."""
    count = 0

    async def go() -> None:
        nonlocal count
        while True:
            await limiter.wait()
            count += 1
            await asyncio.sleep(0)

    going = [asyncio.ensure_future(go()) for _ in range(4)]
    await asyncio.sleep(seconds)
    for task in going:
        task.cancel()
    await asyncio.gather(*going, return_exceptions=True)
    return count


async def test_without_a_limit_nothing_waits() -> None:
    metrics = Metrics()
    limiter = RateLimiter(None, metrics)
    async with asyncio.timeout(5):
        for _ in range(10_000):
            await limiter.wait()
    assert "streams_rate_limit_wait_seconds_total" not in samples(metrics)


async def test_the_rate_is_kept_with_a_small_burst_and_the_wait_is_counted() -> None:
    metrics = Metrics()
    # 100 a second: at most a burst of 10 and 20 more in 0.2 s.
    assert 10 <= await passed(RateLimiter(100, metrics), 0.2) <= 31
    assert samples(metrics)["streams_rate_limit_wait_seconds_total"] > 0


async def test_a_rate_below_one_lets_the_first_request_go() -> None:
    assert await passed(RateLimiter(0.5, Metrics()), 0.02) == 1


async def test_a_burst_is_as_large_as_asked_for() -> None:
    limiter = RateLimiter(2, Metrics(), burst=7)
    assert await passed(limiter, 0.02) == 7
