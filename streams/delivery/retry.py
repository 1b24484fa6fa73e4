"""When to try again, and for how long: full-jitter exponential backoff, and Retry-After."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import cast

from tenacity import RetryCallState, wait_random_exponential

BASE_SECONDS = 0.5
CAP_SECONDS = 60.0
MAX_RETRY_AFTER_SECONDS = 3600.0
"""Longest that a destination may make us wait with one answer."""

_backoff = wait_random_exponential(multiplier=BASE_SECONDS, max=CAP_SECONDS)


def delay(attempt: int, headers: Mapping[str, str], now: datetime | None = None) -> float:
    """Seconds to wait after failed attempt number ``attempt`` (from 1).

    A random share of 0.5 s * 2^(attempt - 1), at most 60 s; never less than a Retry-After
    (seconds or an HTTP date) asks for.
    """
    jittered = float(_backoff(cast(RetryCallState, SimpleNamespace(attempt_number=attempt))))
    return max(jittered, retry_after(headers.get("retry-after"), now))


def retry_after(value: str | None, now: datetime | None = None) -> float:
    """Seconds that a Retry-After header asks for; 0 when it is absent or unreadable."""
    if value is None:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return 0.0
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    if seconds != seconds:  # noqa: PLR0124 - not a number
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


class RetryClock:
    """Measures what STREAMS_RETRY_MAX_SECONDS bounds: seconds in which calls could be made.

    An outage, a refusal or a Retry-After for all says nothing about an event, so the clock
    stands still meanwhile. Times are seconds of any clock that never goes back.
    """

    def __init__(self) -> None:
        self._stood = 0.0
        self._stopped: float | None = None

    def stop(self, now: float) -> None:
        """Calls cannot be made."""
        if self._stopped is None:
            self._stopped = now

    def go(self, now: float) -> None:
        """Calls can be made."""
        if self._stopped is not None:
            self._stood += now - self._stopped
            self._stopped = None

    def read(self, now: float) -> float:
        """Seconds: only differences mean something."""
        return (now if self._stopped is None else self._stopped) - self._stood
