"""Whether a destination is to be called at all: a circuit breaker, as a rule without a clock.

Closed, calls go through. It opens when so many *people in a row* get no answer or an answer in
the 500s (one person's event that always fails says nothing about the destination), and at once
when the destination refuses us. Open, only a probe goes through, less and less often, until one
is answered.

Times are seconds of any clock that never goes back.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from enum import IntEnum

BASE_SECONDS = 2.0
CAP_SECONDS = 30.0
"""Longest time between two probes: a destination that is back is found soon."""


class State(IntEnum):
    """Of a circuit; the number is the metric's value."""

    CLOSED = 0
    OUTAGE = 1
    """The destination answers nobody."""
    REFUSED = 2
    """It does not take us: a wrong key, for instance."""


class Circuit:
    """Opens after failures of ``failures`` people in a row, or one refusal."""

    def __init__(self, failures: int, draw: Callable[[], float] = random.random) -> None:
        """``draw`` gives a number from 0 to 1: what probes are jittered by."""
        self._failures = failures
        self._draw = draw
        self._failing: set[Hashable] = set()
        self._opened = 0.0
        self._probes = 0
        self._is_probing = False
        self.state = State.CLOSED
        self.probe_at = 0.0
        """When open: from when on the next probe may go."""

    @property
    def is_open(self) -> bool:
        """Whether nothing but probes may be called."""
        return self.state is not State.CLOSED

    def may_probe(self, now: float) -> bool:
        """Whether it is time for a probe, and none is under way."""
        return self.is_open and not self._is_probing and now >= self.probe_at

    def probe(self) -> None:
        """A probe goes."""
        self._is_probing = True

    def unused(self) -> None:
        """The probe was not called after all."""
        self._is_probing = False

    def failed(self, who: Hashable, started: float, now: float) -> None:
        """A call for ``who``, begun at ``started``, had no answer, or one in the 500s."""
        if self.is_open:
            self._wait_longer(started, now)
            return
        self._failing.add(who)
        if len(self._failing) >= self._failures:
            self._open(State.OUTAGE, now)

    def refused(self, started: float, now: float) -> None:
        """The destination does not take us."""
        if self.state is State.REFUSED:
            self._wait_longer(started, now)
        else:
            self._open(State.REFUSED, now)

    def answered(self, started: float, now: float, *, is_final: bool) -> None:
        """A call was answered. ``is_final``: it says what becomes of its event."""
        if not self.is_open:
            if self._failing:
                self._failing.clear()
        elif self.state is State.OUTAGE or (is_final and started >= self._opened):
            # Of a refusal, what was under way before says nothing: it may be of another key.
            self._failing.clear()
            self.state = State.CLOSED
            self._is_probing = False
        else:
            self._wait_longer(started, now)

    def _open(self, state: State, now: float) -> None:
        self.state = state
        self._opened = now
        self._probes = 0
        self._plan(now)

    def _wait_longer(self, started: float, now: float) -> None:
        # Calls that were under way when it opened are no probes.
        if started >= self._opened:
            self._plan(now)

    def _plan(self, now: float) -> None:
        longest = min(BASE_SECONDS * 2**self._probes, CAP_SECONDS)
        self._probes = min(self._probes + 1, 16)
        self._is_probing = False
        self.probe_at = now + longest * (0.5 + self._draw() / 2)
