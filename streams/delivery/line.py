"""The line in which calls wait for a caller."""

from __future__ import annotations

import asyncio
from collections import deque

from streams.delivery.lanes import Call


class Line:
    """Hands calls out in order, to at most ``allowed`` callers at once."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        self._idle: deque[asyncio.Future[Call]] = deque()
        self._busy = 0
        self._allowed = 0
        self._is_granted = False

    def allow(self, callers: int) -> None:
        """From now on at most so many callers have a call. Those that have one finish it."""
        self._allowed = callers
        self._hand_out()

    def grant_probe(self) -> None:
        """Hand out one call more than is allowed, now or as soon as there is one."""
        self._is_granted = True
        self._hand_out()

    def withdraw_probe(self) -> bool:
        """Take a grant back. False: there was none, or it is used."""
        was_granted, self._is_granted = self._is_granted, False
        return was_granted

    def put(self, call: Call, *, first: bool = False) -> None:
        """Line up a call, at the end or at the head."""
        (self._calls.appendleft if first else self._calls.append)(call)
        self._hand_out()

    async def get(self) -> Call:
        """The next call, when a caller may have it. To be followed by :meth:`done`."""
        idle: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        self._idle.append(idle)
        self._hand_out()
        return await idle

    def done(self) -> None:
        """A caller is through with its call."""
        self._busy -= 1
        self._hand_out()

    def clear(self) -> None:
        """Forget all calls that wait."""
        self._calls.clear()

    def _hand_out(self) -> None:
        while self._calls and self._idle and (self._busy < self._allowed or self._is_granted):
            idle = self._idle.popleft()
            if idle.cancelled():
                continue
            call = self._calls.popleft()
            call.is_probe = self._busy >= self._allowed
            if call.is_probe:
                self._is_granted = False
            self._busy += 1
            idle.set_result(call)
