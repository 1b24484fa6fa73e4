"""When to try again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from streams.delivery import retry
from streams.delivery.retry import MAX_RETRY_AFTER_SECONDS, RetryClock, delay, retry_after

NOW = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("attempt", "most"), [(1, 0.5), (2, 1), (3, 2), (7, 32), (8, 60), (500, 60)]
)
def test_the_wait_is_a_random_share_of_a_doubling_bound(attempt: int, most: float) -> None:
    waits = [delay(attempt, {}) for _ in range(300)]
    assert 0 <= min(waits) < most / 4
    assert most * 3 / 4 < max(waits) <= most


def test_an_attempt_number_of_any_size_is_no_error() -> None:
    assert delay(100_000, {}) <= 60


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("7", 7),
        ("1.5", 1.5),
        ("0", 0),
        ("-5", 0),
        ("nan", 0),
        ("soon", 0),
        ("", 0),
        ("Mon, 02 Nov 2026 08:00:30 GMT", 30),
        ("Mon, 02 Nov 2026 08:00:30 -0000", 30),
        ("Mon, 02 Nov 2026 10:00:30 +0200", 30),
        ("Mon, 02 Nov 2026 07:00:00 GMT", 0),
        ("inf", MAX_RETRY_AFTER_SECONDS),
        ("99999999", MAX_RETRY_AFTER_SECONDS),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_SECONDS),
        ("Mon, 99 Nov 2026 08:00:30 GMT", 0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(value: str | None, seconds: float) -> None:
    assert retry_after(value, NOW) == seconds


def test_the_wait_is_never_shorter_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def backoff(_: Any) -> float:
        return 3.0

    monkeypatch.setattr(retry, "_backoff", backoff)
    assert delay(1, {"retry-after": "10"}) == 10
    assert delay(1, {"retry-after": "1"}) == 3
    assert delay(1, {"retry-after": "Mon, 02 Nov 2026 08:00:30 GMT"}, NOW) == 30


def test_the_clock_of_retrying_stands_still_while_calls_cannot_be_made() -> None:
    clock = RetryClock()
    start = clock.read(100)
    clock.go(101)
    clock.stop(103)
    clock.stop(110)
    assert clock.read(120) - start == 3
    clock.go(150)
    assert clock.read(150) - start == 3
    assert clock.read(152) - start == 5
