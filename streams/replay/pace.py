"""How fast to go: the rate that was asked for, and what waits at the workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

BLOCK: Final = 8_000
"""Events handed over at a time where there is no limit."""
BLOCKS_PER_SECOND: Final = 10


class Pace:
    """A rate in events a second; None for no limit. Time that was lost is not made up for."""

    def __init__(self, rate: float | None, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._next = clock()

    @property
    def block(self) -> int:
        """How many events to hand over at a time."""
        if self._rate is None:
            return BLOCK
        return min(max(int(self._rate / BLOCKS_PER_SECOND), 1), BLOCK)

    def wait(self, count: int) -> float:
        """Seconds to wait before ``count`` events are handed over; they count from then."""
        if self._rate is None:
            return 0.0
        now = self._clock()
        start = max(self._next, now)
        self._next = start + count / self._rate
        return start - now


@dataclass(frozen=True, slots=True)
class Offsets:
    """Where the topics of a pipeline end and what its workers have settled, over partitions."""

    source_end: int
    source_committed: int
    stage_end: int = 0
    stage_committed: int = 0


class Waiting:
    """How many events of the source topic wait at the workers, from offsets alone.

    A record of the stage topic carries many events. How many is seen from here: while the
    workers' position on the source topic went from one place to another, the stage topic
    grew by so many records. What was there before the first look counts a record as one.
    """

    def __init__(self) -> None:
        # (stage_end, source_committed), both growing
        self._seen: deque[tuple[int, int]] = deque()

    def look(self, now: Offsets) -> int:
        """Take a look; gives the number of events that are not settled."""
        seen = self._seen
        if not seen or now.stage_end > seen[-1][0]:
            seen.append((now.stage_end, now.source_committed))
        else:
            # Nothing was written for it: filtered events, for instance.
            seen[-1] = (seen[-1][0], now.source_committed)
        while len(seen) > 1 and seen[1][0] <= now.stage_committed:
            seen.popleft()
        return max(now.source_end - self._settled(now.stage_committed), 0)

    def _settled(self, stage_committed: int) -> int:
        stage, source = self._seen[0]
        if stage_committed <= stage or len(self._seen) == 1:
            return source - max(stage - stage_committed, 0)
        later_stage, later_source = self._seen[1]
        share = (stage_committed - stage) / (later_stage - stage)
        return int(source + share * (later_source - source))
