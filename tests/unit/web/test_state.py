"""What the page shows live is what the metrics say."""

from __future__ import annotations

import time

import orjson

from streams.outcomes import Outcome
from streams.telemetry.metrics import AllMetrics
from streams.web.state import OUTCOMES, destinations


def test_every_outcome_is_shown() -> None:
    assert set(OUTCOMES) == {outcome.value for outcome in Outcome}


def test_each_figure_is_in_its_place_by_destination() -> None:
    every = AllMetrics()
    metrics, other = every.of("encharge"), every.of("")
    metrics.consumed(7)
    metrics.outcome(Outcome.DELIVERED, "track", count=4)
    metrics.outcome(Outcome.DEAD_LETTERED, "track", "rejected", count=2)
    metrics.outcome(Outcome.DEAD_LETTERED, "page", "rejected")
    metrics.unsettled(5)
    metrics.waiting("window", {"track": 3})
    metrics.waiting("delivery", {"track": 1, "page": 1})
    metrics.request_started()
    metrics.request_ended("track", 200, 0.1)
    metrics.request_ended("page", 200, 0.1)
    metrics.request_started()
    metrics.request_started()
    metrics.request_started()
    metrics.retried("track")
    metrics.circuit(1)
    metrics.concurrency_limit(8)
    metrics.lag("source", 0, 10)
    metrics.lag("source", 1, 5)
    metrics.latencies([time.time() + 10])
    other.outcome(Outcome.DEAD_LETTERED, "invalid", "not-json")
    early, found = orjson.loads(orjson.dumps(destinations(every.collect())))
    assert (early["name"], found["name"]) == ("", "encharge")
    assert early["outcomes"]["dead_lettered"] == 1
    assert (found["consumed"], found["inFlight"], found["openCalls"]) == (7, 5, 2)
    assert (found["retries"], found["circuit"], found["callLimit"]) == (1, 1, 8)
    assert found["outcomes"]["delivered"] == 4
    assert found["actions"]["track"]["dead_lettered"] == 2
    assert found["actions"]["track"]["waiting"] == {"window": 3, "delivery": 1}
    assert found["actions"]["page"]["waiting"]["delivery"] == 1
    assert found["reasons"] == {"dead_lettered": {"rejected": 3}}
    assert found["calls"] == {"200": 2}
    assert found["lag"] == {"source": 15}
    assert found["latency"][0] == [0.01, 1]
    assert found["latency"][-1] == [None, 1]


def test_who_waits_no_more_is_counted_no_more() -> None:
    every = AllMetrics()
    every.of("encharge").waiting("window", {"track": 3})
    every.of("encharge").waiting("window", {"page": 1})
    [found] = destinations(every.collect())
    assert {name: each["waiting"]["window"] for name, each in found["actions"].items()} == {
        "track": 0,
        "page": 1,
    }
