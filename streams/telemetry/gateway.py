"""The gateway's metrics: name, type, labels, meaning."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class GatewayMetrics:
    """What the gateway counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._requests = Counter(
            "streams_gateway_requests_total",
            "Requests answered, by what was posted and the status of the answer.",
            ["kind", "status"],
            registry=registry,
        )
        self._events = Counter(
            "streams_gateway_events_total",
            "Events that Kafka confirmed on the source topic, by source and type.",
            ["source", "type"],
            registry=registry,
        )
        self._rejected = Counter(
            "streams_gateway_events_rejected_total",
            "Events that are not valid: refused, or of a batch and confirmed as dead letters.",
            ["source", "reason"],
            registry=registry,
        )
        self._refused = Counter(
            "streams_gateway_refusals_total",
            "Requests that were not taken, by the code of the answer.",
            ["code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "streams_gateway_request_seconds",
            "From the head of a request to its answer, of requests that were stored.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._underway = Gauge(
            "streams_gateway_in_flight",
            "What has been taken in and not been answered: requests, events, bytes.",
            ["what"],
            registry=registry,
        )
        # Memory, processor time, open files and the time of the start.
        ProcessCollector(namespace="streams", registry=registry)
        self._tally: Tally[tuple[Counter, tuple[str, str]]] = Tally()
        self._read_room: Callable[[], dict[str, int]] = dict

    def request(self, kind: str, status: int) -> None:
        """A request was answered."""
        # Tallied here and handed to the registry when it is read: labels are slow to find.
        self._tally[self._requests, (kind, str(status))] += 1

    def stored(self, seconds: float) -> None:
        """A request's events were confirmed so long after its head was read."""
        self._seconds.observe(seconds)

    def event(self, source: str, kind: str) -> None:
        """An event was confirmed."""
        self._tally[self._events, (source, kind)] += 1

    def rejected(self, source: str, reason: str) -> None:
        """An event was not valid."""
        self._rejected.labels(source, reason).inc()

    def refused(self, code: str) -> None:
        """A request was not taken."""
        self._refused.labels(code).inc()

    def watch(self, read_room: Callable[[], dict[str, int]]) -> None:
        """Where to read what is underway."""
        self._read_room = read_room

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        tally, self._tally = self._tally, Tally()
        for (counter, labels), count in tally.items():
            counter.labels(*labels).inc(count)
        for what, number in self._read_room().items():
            self._underway.labels(what).set(number)
        return generate_latest(self.registry)
