"""How many calls a destination stands at once: found out by its 429s, as a rule without a clock.

Additive increase, multiplicative decrease: one more for each round of calls that it takes, half
as many when it says that there are too many. Below one there is only waiting: a rest that
doubles for as long as even single calls are too many. A Retry-After is a rest for all.

Times are seconds of any clock that never goes back.
"""

from __future__ import annotations

import random
from collections.abc import Callable

REST_SECONDS = 0.5
MAX_REST_SECONDS = 30.0


class Limit:
    """Between 1 and ``most`` calls at once; begins at ``most``."""

    def __init__(self, most: int, draw: Callable[[], float] = random.random) -> None:
        """``draw`` gives a number from 0 to 1: what rests are jittered by."""
        self._most = most
        self._draw = draw
        self._value = float(most)
        self._cut = float("-inf")
        self._rests = 0
        self.rests_until = float("-inf")
        """Nobody is to be called before."""

    @property
    def calls(self) -> int:
        """How many may be open at once, when there is no rest."""
        return int(self._value)

    def taken(self) -> None:
        """A call was not one too many."""
        self._rests = 0
        if self._value < self._most:
            self._value = min(self._value + 1 / self._value, self._most)

    def too_many(self, started: float, now: float, retry_after: float = 0.0) -> None:
        """A call, begun at ``started``, was answered 429 with so many seconds to wait."""
        self.rests_until = max(self.rests_until, now + retry_after)
        if started < self._cut:
            # It was made under the limit of before: one round is one decrease.
            return
        self._cut = now
        if self._value == 1.0 and not retry_after:
            rest = min(REST_SECONDS * 2**self._rests, MAX_REST_SECONDS)
            self._rests = min(self._rests + 1, 16)
            self.rests_until = max(self.rests_until, now + rest * (0.5 + self._draw() / 2))
        self._value = max(self._value / 2, 1.0)
