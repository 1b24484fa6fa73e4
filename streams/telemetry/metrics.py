"""Every metric, in one place: name, type, labels, meaning."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.outcomes import Outcome

LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 14400)

# A second time series for each counter, of no use to anyone here.
disable_created_metrics()  # type: ignore[no-untyped-call]


class AllMetrics:
    """The metrics of a worker, each with the label ``destination``.

    An event that several destinations are to have counts once for each. What comes to its
    end before it is meant for one (broken JSON; where there are several, a duplicate) has the
    empty name.
    """

    def __init__(self) -> None:
        self.process = CollectorRegistry()
        """Those that are the process's, and have no such label."""
        self._by_destination: dict[str, Metrics] = {}
        self._refresh: list[Callable[[], None]] = []
        self._not_ready = Gauge(
            "streams_not_ready",
            "1 while the worker moves no events for this reason; /readyz tells more.",
            ["reason"],
            registry=self.process,
        )
        # Memory, processor time, open files and the time of the start.
        ProcessCollector(namespace="streams", registry=self.process)

    def not_ready(self, reason: str, holds: bool) -> None:
        """Whether the worker moves no events for this reason."""
        self._not_ready.labels(reason).set(holds)

    def before_reading(self, refresh: Callable[[], None]) -> None:
        """Have ``refresh`` called before the metrics are read."""
        self._refresh.append(refresh)

    def of(self, destination: str) -> Metrics:
        """The metrics of one destination's events."""
        metrics = self._by_destination.get(destination)
        if metrics is None:
            metrics = self._by_destination[destination] = Metrics()
        return metrics

    def collect(self) -> Iterable[Metric]:
        """All families, each with the samples of every destination."""
        families: dict[str, Metric] = {}
        for destination, metrics in self._by_destination.items():
            for found in metrics.collect_all():
                family = families.get(found.name)
                if family is None:
                    family = Metric(found.name, found.documentation, found.type, found.unit)
                    families[found.name] = family
                family.samples += [
                    sample._replace(labels={"destination": destination, **sample.labels})
                    for sample in found.samples
                ]
        return [*families.values(), *self.process.collect()]

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        for refresh in self._refresh:
            refresh()
        return generate_latest(self)


class Metrics(Collector):
    """The counters of one destination's events.

    At rest, summed over workers, consumed = delivered + coalesced + filtered + duplicate +
    dead-lettered. Consumed is counted from the sizes of chunks, the outcomes one by one,
    so that an event with two outcomes or none breaks the equation.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._consumed = Counter(
            "streams_events_consumed_total",
            "Events taken from the source topic whose outcome this worker brought about.",
            registry=registry,
        )
        self._outcomes = {
            Outcome.DELIVERED: Counter(
                "streams_events_delivered_total",
                "Events that the destination acknowledged.",
                ["action"],
                registry=registry,
            ),
            Outcome.COALESCED: Counter(
                "streams_events_coalesced_total",
                "Events merged into a later one that was delivered.",
                ["action"],
                registry=registry,
            ),
            Outcome.FILTERED: Counter(
                "streams_events_filtered_total",
                "Events that a rule kept back.",
                ["action", "reason"],
                registry=registry,
            ),
            Outcome.DUPLICATE: Counter(
                "streams_events_duplicate_total",
                "Events whose messageId was seen within the dedup horizon.",
                ["action"],
                registry=registry,
            ),
            Outcome.DEAD_LETTERED: Counter(
                "streams_events_dead_lettered_total",
                "Events confirmed in the dead-letter topic.",
                ["action", "reason"],
                registry=registry,
            ),
        }
        self._requests = Histogram(
            "streams_request_seconds",
            "Duration of a call to a destination, by action and status (0: no answer).",
            ["action", "status"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._retries = Counter(
            "streams_retries_total", "Calls that are tried again.", ["action"], registry=registry
        )
        self._limited = Counter(
            "streams_rate_limit_wait_seconds_total",
            "Time spent waiting for the rate limiter.",
            registry=registry,
        )
        self._circuit = Gauge(
            "streams_circuit_state",
            "Whether a destination is called: 0 yes, 1 only probed after an outage, 2 only probed "
            "because it refuses us.",
            registry=registry,
        )
        self._concurrency = Gauge(
            "streams_concurrency_limit",
            "Open calls that a destination is trusted to stand, by its answers.",
            registry=registry,
        )
        self._in_flight = Gauge(
            "streams_requests_in_flight", "Open calls to destinations.", registry=registry
        )
        self._unsettled = Gauge(
            "streams_events_in_flight", "Events taken and not yet settled.", registry=registry
        )
        self._waiting = Gauge(
            "streams_events_waiting",
            "Of the events in flight, those in a window that fills, and those that are delivered "
            "or wait for it, by action.",
            ["action", "stage"],
            registry=registry,
        )
        self._windows = Histogram(
            "streams_window_events",
            "Events in a window when it was flushed.",
            buckets=(1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500),
            registry=registry,
        )
        self._lag = Gauge(
            "streams_consumer_lag",
            "Records of a partition, up to the last one fetched, that are not committed yet.",
            ["topic", "partition"],
            registry=registry,
        )
        self._tables = Gauge(
            "streams_table_rows", "About how many rows a table holds.", ["table"], registry=registry
        )
        self._ignored = Counter(
            "streams_values_ignored_total",
            "Values of delivered or refused events that the destination cannot take, by reason.",
            ["action", "reason"],
            registry=registry,
        )
        self._waited: dict[str, set[str]] = {}
        self._refresh: list[Callable[[], None]] = []
        self._tally: Tally[tuple[Outcome, str, str]] = Tally()
        self._latency_tally = [0] * (len(LATENCY_BUCKETS) + 1)
        self._latency_sum = 0.0
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The histogram that is observed once for each event: too often for the library's."""
        counts = accumulate(self._latency_tally)
        bounds = (*(str(float(bound)) for bound in LATENCY_BUCKETS), "+Inf")
        yield HistogramMetricFamily(
            "streams_end_to_end_seconds",
            "From the event's Kafka timestamp to its acknowledgement by the destination.",
            buckets=list(zip(bounds, counts, strict=True)),
            sum_value=self._latency_sum,
        )

    # -- events

    def consumed(self, count: int) -> None:
        """``count`` events of a chunk are accounted for."""
        self._consumed.inc(count)

    def outcome(self, outcome: Outcome, action: str, reason: str = "", count: int = 1) -> None:
        """``count`` events came to an outcome. ``reason`` only where the outcome has one."""
        # Tallied here and handed to the registry when it is read: labels are slow to find.
        self._tally[outcome, action, reason] += count

    def latencies(self, produced_at: Iterable[float]) -> None:
        """Events produced at these times (seconds since 1970) are acknowledged now."""
        now = time.time()
        tally, total = self._latency_tally, 0.0
        for produced in produced_at:
            seconds = now - produced
            if seconds < 0:
                seconds = 0.0
            total += seconds
            tally[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self._latency_sum += total

    def unsettled(self, count: int) -> None:
        """Events taken and not yet settled, over all partitions."""
        self._unsettled.set(count)

    def waiting(self, stage: str, actions: Mapping[str, int]) -> None:
        """How many events of each action wait at a stage. An action left out has none."""
        for action in self._waited.setdefault(stage, set()) | actions.keys():
            self._waiting.labels(action, stage).set(actions.get(action, 0))
        self._waited[stage].update(actions)

    def window(self, events: int) -> None:
        """A window was flushed."""
        self._windows.observe(events)

    # -- calls

    def request_started(self) -> None:
        """A call to a destination was made."""
        self._in_flight.inc()

    def request_ended(self, action: str, status: int, seconds: float) -> None:
        """A call was answered with ``status``, or not at all (0)."""
        self._in_flight.dec()
        self._requests.labels(action, str(status)).observe(seconds)

    def retried(self, action: str) -> None:
        """A call will be tried again."""
        self._retries.labels(action).inc()

    def ignored(self, action: str, reasons: Mapping[str, int]) -> None:
        """Values were left out of what was sent for an event."""
        for reason, count in reasons.items():
            self._ignored.labels(action, reason).inc(count)

    def rate_limited(self, seconds: float) -> None:
        """A call waited for the rate limiter."""
        self._limited.inc(seconds)

    def circuit(self, state: int) -> None:
        """The state of a destination's circuit (:class:`streams.delivery.circuit.State`)."""
        self._circuit.set(state)

    def concurrency_limit(self, calls: int) -> None:
        """How many calls to a destination may be open."""
        self._concurrency.set(calls)

    # -- state

    def lag(self, topic: str, partition: int, records: int) -> None:
        """How far a partition's commit is behind its end."""
        self._lag.labels(topic, str(partition)).set(records)

    def forget_lag(self) -> None:
        """Partitions moved: those that are gone must not be reported any more."""
        self._lag.clear()

    def table_rows(self, table: str, rows: int) -> None:
        """About how many rows a table holds."""
        self._tables.labels(table).set(rows)

    def before_reading(self, refresh: Callable[[], None]) -> None:
        """Have ``refresh`` called before the metrics are read."""
        self._refresh.append(refresh)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        self._bring_up_to_date()
        return generate_latest(self.registry)

    def collect_all(self) -> Iterable[Metric]:
        """All families, as they are now."""
        self._bring_up_to_date()
        return self.registry.collect()

    def totals(self) -> dict[str, float]:
        """The value of each sample by name, summed over its labels."""
        self._bring_up_to_date()
        sums: dict[str, float] = {}
        for family in self.registry.collect():
            for sample in family.samples:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums

    def _bring_up_to_date(self) -> None:
        for refresh in self._refresh:
            refresh()
        tally, self._tally = self._tally, Tally()
        for (outcome, action, reason), count in tally.items():
            counter = self._outcomes[outcome]
            labels = (action, reason) if "reason" in counter._labelnames else (action,)
            counter.labels(*labels).inc(count)
