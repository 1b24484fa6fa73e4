"""What the page shows live: the metrics, sorted by where an event is. No personal data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from prometheus_client.core import Metric

OUTCOMES: Final = ("delivered", "coalesced", "filtered", "duplicate", "dead_lettered")

_COUNTS: Final = {
    "streams_events_consumed_total": "consumed",
    "streams_events_in_flight": "inFlight",
    "streams_requests_in_flight": "openCalls",
    "streams_concurrency_limit": "callLimit",
    "streams_circuit_state": "circuit",
    "streams_retries_total": "retries",
    "streams_rate_limit_wait_seconds_total": "limitedSeconds",
    "streams_end_to_end_seconds_sum": "latencySum",
}
"""Samples that are summed over their labels but ``destination``."""

_OUTCOMES: Final = {f"streams_events_{outcome}_total": outcome for outcome in OUTCOMES}


def destinations(families: Iterable[Metric]) -> list[dict[str, Any]]:
    """Each destination's part of the metrics; the empty name has what is not meant for one yet.

    ``actions`` has, by action, the counts of outcomes and ``waiting`` by stage; ``reasons`` has,
    by outcome, the counts of reasons; ``calls`` counts by status; ``lag`` by topic; ``latency``
    is a histogram: [upper bound in seconds or null, count up to there].
    """
    found: dict[str, dict[str, Any]] = {}
    for family in families:
        for sample in family.samples:
            name = sample.labels.get("destination")
            if name is not None:
                entry = found.setdefault(name, _empty(name))
                _put(entry, sample.name, sample.labels, sample.value)
    return [found[name] for name in sorted(found)]


def _empty(name: str) -> dict[str, Any]:
    return {
        "name": name,
        **dict.fromkeys(_COUNTS.values(), 0.0),
        "outcomes": dict.fromkeys(OUTCOMES, 0.0),
        "actions": defaultdict(lambda: {**dict.fromkeys(OUTCOMES, 0.0), "waiting": {}}),
        "reasons": defaultdict(lambda: defaultdict(float)),
        "calls": defaultdict(float),
        "lag": defaultdict(float),
        "latency": [],
    }


def _put(entry: dict[str, Any], name: str, labels: Mapping[str, str], value: float) -> None:
    if name in _COUNTS:
        entry[_COUNTS[name]] += value
    elif name in _OUTCOMES:
        outcome = _OUTCOMES[name]
        entry["outcomes"][outcome] += value
        entry["actions"][labels["action"]][outcome] += value
        if "reason" in labels:
            entry["reasons"][outcome][labels["reason"]] += value
    elif name in _SPECIAL:
        _SPECIAL[name](entry, labels, value)


def _waiting(entry: dict[str, Any], labels: Mapping[str, str], value: float) -> None:
    entry["actions"][labels["action"]]["waiting"][labels["stage"]] = value


def _calls(entry: dict[str, Any], labels: Mapping[str, str], value: float) -> None:
    entry["calls"][labels["status"]] += value


def _lag(entry: dict[str, Any], labels: Mapping[str, str], value: float) -> None:
    entry["lag"][labels["topic"]] += value


def _latency(entry: dict[str, Any], labels: Mapping[str, str], value: float) -> None:
    bound = labels["le"]
    entry["latency"].append([None if bound == "+Inf" else float(bound), value])


_SPECIAL: Final[Mapping[str, Callable[[dict[str, Any], Mapping[str, str], float], None]]] = {
    "streams_events_waiting": _waiting,
    "streams_request_seconds_count": _calls,
    "streams_consumer_lag": _lag,
    "streams_end_to_end_seconds_bucket": _latency,
}
