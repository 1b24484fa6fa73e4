"""Logs: structlog everywhere, JSON unless a person watches."""

from __future__ import annotations

import logging
import sys
import traceback

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
    debugging = level == "debug"
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # The message of an exception may hold a value of an event: only for who asks for it.
        structlog.processors.format_exc_info
        if debugging
        else structlog.processors.ExceptionRenderer(_without_messages),
    ]
    renderer: structlog.typing.Processor
    if console:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        shared.append(structlog.processors.StackInfoRenderer())
    else:
        renderer = structlog.processors.JSONRenderer()
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


def _without_messages(exc_info: structlog.typing.ExcInfo) -> str:
    """The classes of an exception and of its causes, and where each was raised."""
    lines: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None:
        lines += traceback.format_tb(error.__traceback__)
        lines.append(f"{type(error).__qualname__} (its text: STREAMS_LOG_LEVEL=debug)\n")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "".join(lines).rstrip()
