"""``streams worker``."""

from __future__ import annotations

import structlog

from streams import app as application
from streams import settings as settings_module
from streams.cli.run import run
from streams.cli.validate import load
from streams.telemetry import log

HELP = """Run the pipeline: Kafka topic -> per-action streams -> Encharge.

Stops on SIGTERM or Ctrl-C, after draining and committing.

Example: ENCHARGE_API_KEY=... KAFKA_BOOTSTRAP_SERVERS=kafka:9092 streams worker
"""


def settings_help() -> str:
    """The settings with defaults and meanings, for ``--help``."""
    rows = settings_module.describe()
    lines = [f"{name} = {default}: {meaning}." for name, default, meaning in rows]
    return "Settings (environment variables):\n\n" + "\n\n".join(lines)


def worker() -> None:
    """See ``HELP``."""
    settings, _ = load()
    log.configure(settings.streams_log_level, settings.streams_log_format)
    for name in settings_module.unknown():
        structlog.get_logger(__name__).warning(
            "unknown setting ignored", name=name, meant=settings_module.meant_by(name)
        )
    run(lambda stop: application.run(settings, stop=stop))
