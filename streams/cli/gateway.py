"""``streams gateway``."""

from __future__ import annotations

import structlog
import typer

from streams import settings as settings_module
from streams.cli.run import run
from streams.telemetry import log

HELP = """Serve Segment's HTTP Tracking API and write the events to the source topic.

Point any Segment library, Make, or curl at it; docs/gateway.md says how. An event is answered
200 once Kafka has confirmed it, and never before. Stops on SIGTERM or Ctrl-C, after answering
what was taken in.

Example: STREAMS_WRITE_KEYS=my-key:website KAFKA_BOOTSTRAP_SERVERS=kafka:9092 streams gateway
"""


def gateway(
    is_open: bool = typer.Option(
        False, "--open", help="Take events from anyone, whatever the write key."
    ),
) -> None:
    """See ``HELP``."""
    from streams.gateway import run as application

    settings = settings_module.load()
    log.configure(settings.streams_log_level, settings.streams_log_format)
    for name in settings_module.unknown():
        structlog.get_logger(__name__).warning(
            "unknown setting ignored", name=name, meant=settings_module.meant_by(name)
        )
    run(lambda stop: application.run(settings, stop=stop, is_open=is_open))
