"""How many calls at once a destination stands."""

from __future__ import annotations

from streams.delivery.limit import MAX_REST_SECONDS, REST_SECONDS, Limit


def test_it_begins_at_the_most() -> None:
    assert Limit(64).calls == 64


def test_too_many_halves_it_once_for_each_round() -> None:
    limit = Limit(64)
    for _ in range(64):
        limit.too_many(started=1, now=2)
    assert limit.calls == 32
    limit.too_many(started=3, now=4)
    assert limit.calls == 16


def test_a_round_of_calls_that_are_taken_is_one_more() -> None:
    limit = Limit(64)
    limit.too_many(started=1, now=2)
    for _ in range(32):
        limit.taken()
    assert 32.9 < limit._value <= 33
    for _ in range(10_000):
        limit.taken()
    assert limit.calls == 64


def test_below_one_there_is_a_rest_that_doubles_while_even_single_calls_are_too_many() -> None:
    limit = Limit(2, draw=lambda: 1.0)
    limit.too_many(started=0, now=1)
    assert limit.calls == 1
    assert limit.rests_until <= 1, "no rest yet"
    rests, now = [], 1.0
    for _ in range(20):
        limit.too_many(started=now, now=now)
        rests.append(limit.rests_until - now)
        now = limit.rests_until
    assert rests[:3] == [REST_SECONDS, 2 * REST_SECONDS, 4 * REST_SECONDS]
    assert set(rests[8:]) == {MAX_REST_SECONDS}
    limit.taken()
    assert limit.calls == 2
    limit.too_many(started=now, now=now)
    limit.too_many(started=now, now=now)
    assert limit.rests_until - now == REST_SECONDS


def test_a_retry_after_is_a_rest_also_of_a_call_made_before_the_last_decrease() -> None:
    limit = Limit(8)
    limit.too_many(started=1, now=2, retry_after=5)
    assert (limit.calls, limit.rests_until) == (4, 7)
    limit.too_many(started=1, now=3, retry_after=10)
    assert (limit.calls, limit.rests_until) == (4, 13)
    limit.too_many(started=1, now=4, retry_after=1)
    assert limit.rests_until == 13, "the longest counts"
