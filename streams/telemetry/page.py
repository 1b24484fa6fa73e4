"""docs/metrics.md, made of the metrics themselves: ``make metrics``."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from streams.telemetry.gateway import GatewayMetrics
from streams.telemetry.metrics import AllMetrics, Metrics

_HEAD = """\
# Metrics

At `/metrics`, in Prometheus' text format: the worker's on `STREAMS_WEB_PORT` (6066), the gateway's
on `STREAMS_GATEWAY_PORT` (8088). This page is made from the code by `make metrics`; names are part
of the interface.

Counters and histograms are summed over workers; so are the gauges, each of which counts what is
this worker's own: a partition's lag is told by its owner only. `streams_table_rows` and
`streams_process_*` are best looked at by worker. At rest, summed over workers, this holds exactly:

    streams_events_consumed_total = streams_events_delivered_total
        + streams_events_coalesced_total + streams_events_filtered_total
        + streams_events_duplicate_total + streams_events_dead_lettered_total

With several destinations an event counts once for each, by the label `destination`, and the
equation holds for each. What comes to its end before it is meant for one has the empty name: what
ingest buries or filters and, where there are several, duplicates.

`streams_consumer_lag` is a worker's view: while a partition is paused because too much of it waits,
its end is not looked at. Kafka's own view, which scaling uses, is the group's lag on the brokers.
"""


def page() -> str:
    """The page as Markdown."""
    parts = [_HEAD]
    worker = [
        *(
            (name, kind, ("destination", *labels), text)
            for name, kind, labels, text in _rows(Metrics().registry)
        ),
        *_rows(AllMetrics().process),
    ]
    for title, rows in (("The worker", worker), ("The gateway", _rows(GatewayMetrics().registry))):
        parts.append(
            f"\n## {title}\n\n| name | type | labels | meaning |\n| --- | --- | --- | --- |\n"
        )
        parts += (
            f"| `{name}` | {kind} | {', '.join(labels)} | {meaning} |\n"
            for name, kind, labels, meaning in sorted(rows)
        )
    return "".join(parts)


def _rows(registry: CollectorRegistry) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    labels = {
        name: getattr(collector, "_labelnames", ())
        for name, collector in registry._names_to_collectors.items()
    }
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield name, family.type, labels.get(name, ()), family.documentation


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
