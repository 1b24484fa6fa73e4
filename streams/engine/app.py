"""A Faust app with the engine in place of the stock consumer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faust
import structlog

from streams.engine.consumer import ChunkTransport

log = structlog.get_logger(__name__)


class ChunkApp(faust.App):  # type: ignore[misc]
    """A Faust app whose chunked topics are delivered a thousand records at a time."""

    def __init__(self, *args: Any, drain_seconds: float, **options: Any) -> None:
        """``drain_seconds``: how long a stop or a rebalance waits for what was started."""
        self.chunked_topics: set[str] = set()
        self.chunked_changelogs: set[str] = set()
        self.drain_seconds = drain_seconds
        self._on_drain: list[Callable[[], None]] = []
        self._on_abandon: list[Callable[[], None]] = []
        super().__init__(*args, **options)

    def _new_transport(self) -> ChunkTransport:
        return ChunkTransport(self.conf.broker_consumer, self)

    async def _on_agent_error(self, agent: Any, error: BaseException) -> None:
        # Faust would go on with the next message, and what this one stood for would be
        # committed with it or hold up its partition for ever. Stop: what is not
        # committed is read again.
        log.error("agent failed", agent=agent.name, exc_info=error)
        await self.crash(error)

    def when_draining(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when started chunks should finish soon."""
        self._on_drain.append(callback)

    def when_abandoned(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when unfinished chunks no longer belong to this worker."""
        self._on_abandon.append(callback)

    def on_drain(self) -> None:
        """Called by the consumer; see :meth:`when_draining`."""
        for callback in self._on_drain:
            callback()

    def on_abandon(self) -> None:
        """Called by the consumer; see :meth:`when_abandoned`."""
        for callback in self._on_abandon:
            callback()
