"""The counters' names and the equation between them are part of the interface."""

from __future__ import annotations

import time

import pytest

from streams.outcomes import Outcome
from streams.telemetry.metrics import Metrics
from tests.support.fakes import samples


def test_each_outcome_has_its_counter() -> None:
    metrics = Metrics()
    metrics.consumed(10)
    metrics.outcome(Outcome.DELIVERED, "track", count=3)
    metrics.outcome(Outcome.COALESCED, "identify", count=2)
    metrics.outcome(Outcome.FILTERED, "page", "integrations")
    metrics.outcome(Outcome.DUPLICATE, "track", count=2)
    metrics.outcome(Outcome.DEAD_LETTERED, "track", "rejected", count=2)
    found = samples(metrics)
    assert found["streams_events_consumed_total"] == 10
    assert found["streams_events_delivered_total{action=track}"] == 3
    assert found["streams_events_coalesced_total{action=identify}"] == 2
    assert found["streams_events_filtered_total{action=page,reason=integrations}"] == 1
    assert found["streams_events_duplicate_total{action=track}"] == 2
    assert found["streams_events_dead_lettered_total{action=track,reason=rejected}"] == 2
    outcomes = ("delivered", "coalesced", "filtered", "duplicate", "dead_lettered")
    assert sum(found[f"streams_events_{name}_total"] for name in outcomes) == 10


def test_reading_twice_counts_once() -> None:
    metrics = Metrics()
    metrics.outcome(Outcome.DELIVERED, "track")
    samples(metrics)
    assert samples(metrics)["streams_events_delivered_total"] == 1
    metrics.outcome(Outcome.DELIVERED, "track")
    assert samples(metrics)["streams_events_delivered_total"] == 2


def test_every_name_starts_with_the_program_s() -> None:
    metrics = Metrics()
    text = metrics.text().decode()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert names
    assert all(name.startswith("streams_") for name in names)


def test_calls_are_measured_by_action_and_status_and_counted_while_open() -> None:
    metrics = Metrics()
    metrics.request_started()
    metrics.request_started()
    assert samples(metrics)["streams_requests_in_flight"] == 2
    metrics.request_ended("track", 200, 0.01)
    metrics.request_ended("track", 0, 30.0)
    metrics.retried("track")
    metrics.rate_limited(1.5)
    found = samples(metrics)
    assert found["streams_request_seconds_count{action=track,status=200}"] == 1
    assert found["streams_request_seconds_count{action=track,status=0}"] == 1
    assert found["streams_retries_total{action=track}"] == 1
    assert found["streams_rate_limit_wait_seconds_total"] == 1.5
    assert "streams_requests_in_flight" not in found


def test_an_event_from_the_future_has_no_negative_latency() -> None:
    metrics = Metrics()
    metrics.latencies([time.time() + 3600])
    found = samples(metrics)
    assert found["streams_end_to_end_seconds_count"] == 1
    assert "streams_end_to_end_seconds_sum" not in found


def test_what_is_refreshed_is_read_at_the_moment_of_reading() -> None:
    metrics = Metrics()
    state = {"rows": 1}
    metrics.before_reading(lambda: metrics.table_rows("seen", state["rows"]))
    state["rows"] = 7
    assert samples(metrics)["streams_table_rows{table=seen}"] == 7


def test_the_lag_of_a_partition_that_is_gone_is_not_reported() -> None:
    metrics = Metrics()
    metrics.lag("events", 0, 5)
    metrics.lag("events", 1, 5)
    metrics.forget_lag()
    metrics.lag("events", 1, 4)
    found = samples(metrics)
    assert found["streams_consumer_lag{partition=1,topic=events}"] == 4
    assert "streams_consumer_lag{partition=0,topic=events}" not in found


def test_two_workers_in_one_process_do_not_share_counters() -> None:
    one, other = Metrics(), Metrics()
    one.consumed(1)
    one.window(5)
    one.unsettled(3)
    assert samples(one)["streams_window_events_count"] == 1
    assert samples(other) == {}


@pytest.mark.parametrize("outcome", list(Outcome))
def test_no_outcome_is_forgotten(outcome: Outcome) -> None:
    metrics = Metrics()
    metrics.outcome(outcome, "track", "why")
    assert samples(metrics)[f"streams_events_{outcome.value}_total"] == 1
