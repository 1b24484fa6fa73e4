"""docs/metrics.md says what the code counts."""

from __future__ import annotations

from pathlib import Path

from streams.telemetry.page import page

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"

PROMISED = (
    "streams_events_consumed_total",
    "streams_events_delivered_total",
    "streams_events_coalesced_total",
    "streams_events_filtered_total",
    "streams_events_duplicate_total",
    "streams_events_dead_lettered_total",
    "streams_request_seconds",
    "streams_retries_total",
    "streams_rate_limit_wait_seconds_total",
    "streams_requests_in_flight",
    "streams_window_events",
    "streams_consumer_lag",
    "streams_table_rows",
    "streams_end_to_end_seconds",
)
"""What operators' own dashboards may rely on."""


def test_the_page_is_made_from_the_code() -> None:
    assert PAGE.read_text("utf-8") == page(), "make metrics"


def test_what_was_promised_is_there() -> None:
    text = page()
    assert [name for name in PROMISED if f"| `{name}` |" not in text] == []


def test_every_metric_says_what_it_means_and_how_it_is_broken_down() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > len(PROMISED)
    assert all(line.rstrip(" |").endswith(".") for line in rows)
    assert "| `streams_request_seconds` | histogram | destination, action, status |" in page()
