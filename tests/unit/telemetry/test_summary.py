"""One line says what a worker did in an interval."""

from __future__ import annotations

from structlog.testing import capture_logs

from streams.outcomes import Outcome
from streams.telemetry.metrics import Metrics
from streams.telemetry.summary import Summary, summary


def test_the_line_has_what_happened_since_the_last_one_and_what_is_so_now() -> None:
    metrics = Metrics()
    metrics.consumed(4)
    metrics.outcome(Outcome.DELIVERED, "track", count=3)
    before = metrics.totals()
    metrics.consumed(3)
    metrics.outcome(Outcome.DELIVERED, "track")
    metrics.outcome(Outcome.DELIVERED, "identify")
    metrics.outcome(Outcome.DEAD_LETTERED, "track", "rejected")
    metrics.window(3)
    for seconds in (0.1, 0.2):
        metrics.request_started()
        metrics.request_ended("track", 200, seconds)
    metrics.retried("track")
    metrics.lag("events", 0, 5)
    metrics.lag("events", 1, 2)
    assert summary(before, metrics.totals()) == {
        "consumed": 3,
        "delivered": 2,
        "coalesced": 0,
        "filtered": 0,
        "duplicate": 0,
        "dead_lettered": 1,
        "windows": 1,
        "calls": 2,
        "retries": 1,
        "call_seconds": 0.15,
        "in_flight": 0,
        "open_calls": 0,
        "lag": 7,
    }


def test_an_interval_in_which_nothing_happened_has_no_line() -> None:
    metrics = Metrics()
    teller = Summary("encharge", metrics.totals)
    with capture_logs() as lines:
        teller.tell()
        metrics.window(2)
        teller.tell()
        teller.tell()
    assert [(line["event"], line["destination"], line["windows"]) for line in lines] == [
        ("worked", "encharge", 1)
    ]
