"""The worker's web port: is it alive, is it ready, what does it count."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

from aiohttp import web

from streams.errors import SettingsError
from streams.settings import Settings
from streams.telemetry.metrics import Metrics


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
    """Events wait, and every call fails."""
    CONFIGURATION = "configuration"
    """The destination refuses our key."""
    BREAKER = "breaker"
    """Too many events become dead letters."""


class Health:
    """What this worker can say of itself."""

    def __init__(self) -> None:
        self._app: Any = None
        self._refused: str | None = None
        self._tripped: str | None = None
        self._broker_away: str | None = None
        self._destination_away: Callable[[], str | None] = lambda: None
        self._stopping = False

    def watch(self, app: Any) -> None:
        """Take the state of Kafka from a Faust app."""
        self._app = app

    def watch_destination(self, away_because: Callable[[], str | None]) -> None:
        """Ask this whether the destination is away, and why it is taken to be."""
        self._destination_away = away_because

    def broker_away(self, why: str | None) -> None:
        """No broker answers; None: one does again."""
        self._broker_away = why

    def destination_refuses(self, why: str | None) -> None:
        """The destination takes no event from us because of ``why``; None: it does again."""
        self._refused = why

    def breaker_tripped(self, why: str) -> None:
        """Too many events become dead letters: the worker is about to end."""
        self._tripped = why

    def stopping(self) -> None:
        """The worker drains and will be gone soon."""
        self._stopping = True

    def is_alive(self) -> bool:
        """Whether waiting may still help; if not, a restart will."""
        return self._app is None or not self._app.crashed

    def not_ready(self) -> dict[Reason, str]:
        """Why this worker moves no events, in words for a person; empty when it does."""
        reasons = {}
        if self._stopping:
            reasons[Reason.STOPPING] = "draining and committing"
        if self._app is None or not self._app.started:
            reasons[Reason.STARTING] = "connecting to Kafka"
        elif self._app.rebalancing or not self._app.tables.actives_ready:
            reasons[Reason.KAFKA_JOINING] = "joining the group or recovering tables"
        if self._broker_away is not None:
            reasons[Reason.KAFKA_AWAY] = self._broker_away
        if self._refused is not None:
            reasons[Reason.CONFIGURATION] = (
                "the destination refuses us, check ENCHARGE_API_KEY and ENCHARGE_WRITE_KEY "
                f"({self._refused})"
            )
        elif (away := self._destination_away()) is not None:
            reasons[Reason.DESTINATION_AWAY] = away
        if self._tripped is not None:
            reasons[Reason.BREAKER] = self._tripped
        return reasons

    def not_ready_because(self) -> list[str]:
        """The same as lines that begin with the reason."""
        return [f"{reason}: {text}" for reason, text in self.not_ready().items()]


@asynccontextmanager
async def serve(settings: Settings, metrics: Metrics, health: Health) -> AsyncIterator[str]:
    """Serve ``/healthz``, ``/readyz`` and ``/metrics``; gives the address.

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

    application = web.Application()
    application.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", read_metrics),
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
