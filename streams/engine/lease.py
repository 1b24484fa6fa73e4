"""How long a worker may believe that its partitions are still its own.

A process that stands still for longer than its session (a suspended machine, a debugger) is
taken for dead, and its partitions go to others. When it goes on, the first thing it would do is
send what it had ready: rows of tables that others have changed since. Kafka does not refuse
them. So the worker notices the gap in its own time before it sends anything, and ends. A guest
whose clock was stopped along with it cannot notice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

RENEWALS: Final = 10
"""In the time that a lease lasts."""


def now() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where the system has one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Lease:
    """Holds for as long as this process runs without a gap of ``seconds``; then never again."""

    def __init__(self, seconds: float, on_lost: Callable[[float], None]) -> None:
        """``on_lost(gap)`` is called once, with the seconds that are missing."""
        self._seconds = seconds
        self._on_lost = on_lost
        self._renewed = now()
        self._is_lost = False
        self._ended = threading.Event()

    def holds(self) -> bool:
        """Whether the partitions are still this worker's, as far as its clock can tell."""
        gap = now() - self._renewed
        if gap > self._seconds and not self._is_lost:
            self._is_lost = True
            self._on_lost(gap)
        return not self._is_lost

    def keep(self) -> None:
        """Renew it from now on, until it is lost or :meth:`end` is called.

        In a thread, as the heartbeats are: an event loop that is busy is not silent.
        """
        self._renewed = now()
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def _keep(self) -> None:
        while self.holds() and not self._ended.is_set():
            self._renewed = now()
            self._ended.wait(self._seconds / RENEWALS)

    def end(self) -> None:
        """Renew it no more."""
        self._ended.set()
