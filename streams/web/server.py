"""The worker's web port: is it alive, is it ready, what does it count; and a page to look at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from importlib import resources
from typing import Any, Final

from aiohttp import web

from streams.destinations.base import Destination
from streams.destinations.registry import Configured
from streams.errors import SettingsError
from streams.settings import Settings
from streams.telemetry.metrics import AllMetrics
from streams.web.api import Api

MAX_BODY_BYTES: Final = 1 << 20

FILES: Final = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
"""The page, which is in this package."""

HEADERS: Final = {
    # Nothing from elsewhere, nothing inline, in nobody's frame.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Reason(StrEnum):
    """Why a worker moves no events. `/readyz` and `streams_not_ready` say it in these words."""

    STARTING = "starting"
    STOPPING = "stopping"
    """Draining and committing."""
    KAFKA_JOINING = "kafka-joining"
    """Joining the consumer group, or recovering tables."""
    KAFKA_AWAY = "kafka-away"
    """No broker answers."""
    DESTINATION_AWAY = "destination-away"
    """Events wait for every destination, and every call fails."""
    CONFIGURATION = "configuration"
    """A destination refuses our key."""
    BREAKER = "breaker"
    """Too many events become dead letters."""


class Health:
    """What this worker can say of itself."""

    def __init__(self) -> None:
        self._apps: Sequence[Any] = ()
        self._refused: dict[str, str] = {}
        self._tripped: str | None = None
        self._broker_away: str | None = None
        self._away: Sequence[Callable[[], str | None]] = ()
        self._stopping = False

    def watch(self, apps: Sequence[Any]) -> None:
        """Take the state of Kafka from Faust apps."""
        self._apps = apps

    def watch_destinations(self, away_because: Sequence[Callable[[], str | None]]) -> None:
        """Ask each of these whether its destination is away, and why it is taken to be."""
        self._away = away_because

    def broker_away(self, why: str | None) -> None:
        """No broker answers; None: one does again."""
        self._broker_away = why

    def destination_refuses(self, destination: str, why: str | None) -> None:
        """A destination takes no event from us because of ``why``; None: it does again."""
        if why is None:
            self._refused.pop(destination, None)
        else:
            self._refused[destination] = why

    def breaker_tripped(self, why: str) -> None:
        """Too many events become dead letters: the worker is about to end."""
        self._tripped = why

    def stopping(self) -> None:
        """The worker drains and will be gone soon."""
        self._stopping = True

    def is_alive(self) -> bool:
        """Whether waiting may still help; if not, a restart will."""
        return not any(app.crashed for app in self._apps)

    def not_ready(self) -> dict[Reason, str]:
        """Why this worker moves no events, in words for a person; empty when it does."""
        reasons = {}
        if self._stopping:
            reasons[Reason.STOPPING] = "draining and committing"
        if not self._apps or not all(app.started for app in self._apps):
            reasons[Reason.STARTING] = "connecting to Kafka"
        elif any(app.rebalancing or not app.tables.actives_ready for app in self._apps):
            reasons[Reason.KAFKA_JOINING] = "joining the group or recovering tables"
        if self._broker_away is not None:
            reasons[Reason.KAFKA_AWAY] = self._broker_away
        if self._refused:
            reasons[Reason.CONFIGURATION] = "; ".join(
                f"{name} refuses us, {why}" for name, why in self._refused.items()
            )
        elif (away := self._destinations_away()) is not None:
            reasons[Reason.DESTINATION_AWAY] = away
        if self._tripped is not None:
            reasons[Reason.BREAKER] = self._tripped
        return reasons

    def _destinations_away(self) -> str | None:
        # One that is away holds up nobody else: then the worker moves events.
        found = [away_because() for away_because in self._away]
        return "; ".join(filter(None, found)) if found and all(found) else None

    def not_ready_because(self) -> list[str]:
        """The same as lines that begin with the reason."""
        return [f"{reason}: {text}" for reason, text in self.not_ready().items()]


async def _guard(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _file(name: str, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    text = resources.files(__package__).joinpath(name).read_text("utf-8")

    async def read(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type=content_type)

    return read


@asynccontextmanager
async def serve(
    settings: Settings,
    metrics: AllMetrics,
    health: Health,
    destinations: Sequence[Configured] = (),
    rehearsed: Callable[[], Sequence[Destination]] = list,
) -> AsyncIterator[str]:
    """Serve the page, its API, ``/healthz``, ``/readyz`` and ``/metrics``; gives the address.

    Raises ``SettingsError`` when the port cannot be had.
    """

    async def healthz(_: web.Request) -> web.Response:
        alive = health.is_alive()
        return web.json_response({"alive": alive}, status=200 if alive else 503)

    async def readyz(_: web.Request) -> web.Response:
        reasons = health.not_ready_because()
        return web.json_response(
            {"ready": not reasons, "because": reasons}, status=503 if reasons else 200
        )

    async def read_metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics.text(), headers={"content-type": "text/plain; version=0.0.4"}
        )

    application = web.Application(client_max_size=MAX_BODY_BYTES)
    application.on_response_prepare.append(_guard)
    application.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", read_metrics),
            *(web.get(path, _file(*found)) for path, found in FILES.items()),
            *Api(settings, metrics, destinations, health.not_ready, rehearsed).routes(),
        ]
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    host = settings.streams_web_host
    site = web.TCPSite(runner, host, settings.streams_web_port)
    try:
        try:
            await site.start()
        except OSError as error:
            raise SettingsError(
                f"STREAMS_WEB_PORT: cannot listen on {host}:{settings.streams_web_port}: "
                f"{error.strerror}"
            ) from error
        port = runner.addresses[0][1]
        yield f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104
    finally:
        await runner.cleanup()
