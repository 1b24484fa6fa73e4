"""Whether a destination answers at all, from what its calls come to."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from streams.delivery.sender import Answer, Sender
from streams.destinations.base import Request

AWAY_SECONDS: Final = 10.0
"""A destination that has given nothing but failures for so long is away."""

_SERVER_FAILS: Final = 500


class Reach:
    """Since when no call has been answered by more than a failure of the other side."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failing_since: float | None = None
        self._last = ""

    def saw(self, answer: Answer) -> None:
        """A call ended. A refusal (4xx) is an answer: somebody is there."""
        if 0 < answer.status < _SERVER_FAILS:
            self._failing_since = None
            return
        if self._failing_since is None:
            self._failing_since = self._clock()
        # Not its text, which the other side chose: this is shown to whoever asks.
        self._last = f"status {answer.status}" if answer.status else "no answer"

    def away_because(self) -> str | None:
        """Why the destination is taken to be away; None when it is not."""
        if self._failing_since is None:
            return None
        seconds = self._clock() - self._failing_since
        if seconds < AWAY_SECONDS:
            return None
        return f"every call has failed for {seconds:.0f} s, the last one with {self._last}"


class WatchedSender:
    """A sender that tells ``reach`` what its calls come to."""

    def __init__(self, sender: Sender, reach: Reach) -> None:
        self._sender = sender
        self._reach = reach

    async def send(self, request: Request) -> Answer:
        """See :class:`streams.delivery.sender.Sender`."""
        answer = await self._sender.send(request)
        self._reach.saw(answer)
        return answer

    async def close(self) -> None:
        """See :class:`streams.delivery.sender.Sender`."""
        await self._sender.close()
