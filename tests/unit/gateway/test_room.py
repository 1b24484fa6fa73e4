"""What does not fit is refused at once, and what was taken is given back."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from streams.gateway.answers import Refusal
from streams.gateway.room import Rates, Room


def test_what_does_not_fit_is_refused_and_what_is_answered_makes_room() -> None:
    room = Room(max_events=30, max_bytes=100)  # a request weighs 10
    with room.enter() as first:
        first.grow(events=8, size=50)
        with room.enter() as second:
            for more in ({"events": 3}, {"size": 51}):
                with pytest.raises(Refusal) as caught:
                    second.grow(**more)
                assert (caught.value.status, caught.value.retry_after) == (429, 1)
            second.grow(events=2, size=50)
        assert (room.requests, room.events, room.bytes) == (1, 8, 50)
    assert (room.requests, room.events, room.bytes) == (0, 0, 0)


def test_requests_are_bounded_too() -> None:
    room = Room(max_events=1000, max_bytes=100)
    with ExitStack() as stack:
        for _ in range(90):
            stack.enter_context(room.enter()).grow(events=1)
        with room.enter() as one_too_many, pytest.raises(Refusal):
            one_too_many.grow(events=1)


def test_a_request_that_is_alone_is_let_in_whatever_its_size() -> None:
    room = Room(max_events=1, max_bytes=1)
    with room.enter() as alone:
        alone.grow(events=2500, size=500_000)
    assert (room.requests, room.events, room.bytes) == (0, 0, 0)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_source_has_its_rate_and_another_its_own() -> None:
    clock = Clock()
    rates = Rates(10, clock)
    for _ in range(10):
        rates.spend("a", 1)
    with pytest.raises(Refusal) as caught:
        rates.spend("a", 1)
    assert (caught.value.status, caught.value.code) == (429, "rate-limited")
    rates.spend("b", 1)
    clock.now += 0.11
    rates.spend("a", 1)
    with pytest.raises(Refusal):
        rates.spend("a", 1)


def test_a_batch_is_let_in_and_waited_for_afterwards() -> None:
    clock = Clock()
    rates = Rates(10, clock)
    rates.spend("a", 100)
    with pytest.raises(Refusal) as caught:
        rates.spend("a", 1)
    assert caught.value.retry_after == 10
    clock.now += 9.2
    rates.spend("a", 1)


def test_a_rate_below_one_lets_events_in() -> None:
    clock = Clock()
    rates = Rates(0.5, clock)
    rates.spend("a", 1)
    with pytest.raises(Refusal) as caught:
        rates.spend("a", 1)
    assert caught.value.retry_after == 2
    clock.now += 2
    rates.spend("a", 1)


def test_no_rate_is_no_limit() -> None:
    rates = Rates(None, Clock())
    for _ in range(1000):
        rates.spend("a", 1000)
