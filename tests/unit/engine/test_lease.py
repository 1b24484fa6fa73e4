"""A worker that was silent for too long sends nothing any more."""

from __future__ import annotations

import time

import pytest

from streams.engine import lease as module
from streams.engine.lease import Lease


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(module, "now", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_it_holds_for_its_time_and_is_lost_after_it_once_and_for_ever(clock: Clock) -> None:
    gaps: list[float] = []
    lease = Lease(10, gaps.append)
    clock.now += 10
    assert lease.holds()
    clock.now += 1
    assert not lease.holds()
    clock.now -= 11
    assert not lease.holds()
    assert gaps == [11]


def test_it_is_renewed_while_the_process_runs(clock: Clock) -> None:
    gaps: list[float] = []
    lease = Lease(0.05, gaps.append)
    lease.keep()
    for _ in range(5):
        clock.now += 0.04
        time.sleep(0.02)
    assert lease.holds()
    # Whoever asks first after a silence, the keeper or the producer, hears of it.
    clock.now += 1
    assert not lease.holds()
    time.sleep(0.02)
    assert len(gaps) == 1


def test_it_is_not_renewed_after_its_end(clock: Clock) -> None:
    lease = Lease(0.05, lambda _: None)
    lease.keep()
    lease.end()
    time.sleep(0.02)
    clock.now += 1
    assert not lease.holds()
