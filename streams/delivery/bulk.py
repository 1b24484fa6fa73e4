"""Bulk: the requests of several people as one, where the destination has such a call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from streams.delivery.lanes import Call, Lane
from streams.destinations.base import Destination, Request

GATHER_SECONDS = 0.02
"""How long a request that comes alone waits for others. A window's come all at once."""


class Bulk:
    """Gathers lanes whose next requests can go together, and lines up a call for them.

    A lane in it waits for the call's answer as for that of any other call, so its person's
    order holds. A call for one only is made as what it would be without bulk.
    """

    def __init__(self, destination: Destination, size: int, put: Callable[[Call], None]) -> None:
        """At most ``size`` people in a call; below two, there is no bulk."""
        self._destination = destination
        self._size = size
        self._put = put
        self._lanes: list[Lane] = []
        self._parts: list[Any] = []
        self._timer: asyncio.TimerHandle | None = None

    def takes(self, lane: Lane, request: Request) -> bool:
        """Gather a lane, if its next request can go with others."""
        if self._size < 2 or lane.waiting[0].is_alone or lane.conversation() is not None:
            return False
        part = self._destination.part(request)
        if part is None:
            return False
        self._lanes.append(lane)
        self._parts.append(part)
        if len(self._lanes) >= self._size:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)
        return True

    def flush(self) -> None:
        """Line up what was gathered."""
        lanes, parts = self._lanes, self._parts
        self.clear()
        if lanes:
            self._put(self._call(lanes, parts))

    def clear(self) -> None:
        """Forget what was gathered."""
        self._lanes, self._parts = [], []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def halves(self, call: Call) -> tuple[Call, Call]:
        """A bulk call that was not accepted as two, to find who is at fault."""
        middle = len(call.lanes) // 2
        return (
            self._call(call.lanes[:middle], call.parts[:middle]),
            self._call(call.lanes[middle:], call.parts[middle:]),
        )

    def _call(self, lanes: Sequence[Lane], parts: Sequence[Any]) -> Call:
        if len(lanes) > 1:
            return Call(self._destination.bulk(parts), lanes, parts)
        [lane] = lanes
        request = lane.request()
        assert request is not None  # noqa: S101 - its part was gathered
        return Call(request, lanes)
