"""How long a worker may believe that its partitions are still its own.

A worker that is stopped for longer than its session (a suspended machine, a debugger) is taken
for dead, and its partitions go to others. When it goes on, the first thing it would do is send
what it had ready: rows of tables that others have changed since. Kafka does not refuse them. So
the worker notices the gap in its own time before it sends anything, and ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

RENEWALS: Final = 10
"""In the time that a lease lasts."""


class Lease:
    """Holds for as long as this process runs without a gap of ``seconds``; then never again."""

    def __init__(self, seconds: float, on_lost: Callable[[float], None]) -> None:
        """``on_lost(gap)`` is called once, with the seconds that are missing."""
        self._seconds = seconds
        self._on_lost = on_lost
        self._renewed = monotonic()
        self._is_lost = False

    def holds(self) -> bool:
        """Whether the partitions are still this worker's, as far as its clock can tell."""
        gap = monotonic() - self._renewed
        if gap > self._seconds and not self._is_lost:
            self._is_lost = True
            self._on_lost(gap)
        return not self._is_lost

    async def keep(self) -> None:
        """Renew it, until it is lost or this is cancelled."""
        self._renewed = monotonic()
        while self.holds():
            self._renewed = monotonic()
            await asyncio.sleep(self._seconds / RENEWALS)
