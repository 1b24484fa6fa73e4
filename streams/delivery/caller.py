"""One call: counted, timed, and waited for at the end."""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic

from streams.delivery.sender import Answer, Sender
from streams.destinations.base import Request
from streams.telemetry.metrics import Metrics


class Caller:
    """Makes calls through a sender and knows which are open."""

    def __init__(self, sender: Sender, metrics: Metrics) -> None:
        self._sender = sender
        self._metrics = metrics
        self._open = 0
        self._quiet = asyncio.Event()

    async def call(self, request: Request, action: str) -> Answer:
        """The answer, or that there was none.

        Raises ``TypeError`` or ``ValueError`` if the request cannot be written as JSON.
        """
        started = monotonic()
        self._metrics.request_started()
        self._open += 1
        status = 0
        try:
            answer = await self._sender.send(request)
            status = answer.status
        finally:
            self._open -= 1
            if not self._open:
                self._quiet.set()
            self._metrics.request_ended(action, status, monotonic() - started)
        return answer

    async def answered(self, *, within: float) -> None:
        """Return when no call is open, or after ``within`` seconds."""
        if self._open:
            self._quiet.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._quiet.wait(), within)

    async def close(self) -> None:
        """Release connections."""
        await self._sender.close()
