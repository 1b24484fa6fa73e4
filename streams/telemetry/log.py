"""Logs: structlog everywhere, JSON unless a person watches."""

from __future__ import annotations

import logging
import sys

import structlog

from streams.settings import LogFormat

_LIBRARIES = {
    # Faust logs tables and the like at info that say nothing to an operator.
    "faust": logging.WARNING,
    "mode": logging.WARNING,
    # So do the services of this program that Faust starts and stops.
    "streams.engine": logging.WARNING,
    "streams.delivery.seen": logging.WARNING,
    "aiokafka": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "aiohttp.access": logging.WARNING,
}


def configure(level: str, log_format: LogFormat | None) -> None:
    """Send structlog's and the libraries' logs to standard error in one form."""
    console = log_format is LogFormat.CONSOLE if log_format is not None else sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor
    if console:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        shared.append(structlog.processors.StackInfoRenderer())
    else:
        renderer = structlog.processors.JSONRenderer()
        shared.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    debugging = level == "debug"
    for name, quiet in _LIBRARIES.items():
        logging.getLogger(name).setLevel(logging.DEBUG if debugging else quiet)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
