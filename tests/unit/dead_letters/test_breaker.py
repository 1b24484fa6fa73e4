"""The breaker judges a share of a window, and needs a sample before it does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.dead_letters.breaker import Breaker, Trip


def test_it_trips_at_the_share_and_names_the_commonest_reason() -> None:
    breaker = Breaker(share=0.5, events=6, seconds=60)
    breaker.passed(3, now=0)
    assert breaker.failed("rejected", now=1) is None
    assert breaker.failed("internal-error", now=1) is None
    trip = breaker.failed("rejected", now=2)
    assert trip == Trip(letters=3, events=6, reason="rejected", of_reason=2)
    assert breaker.trip is trip


def test_a_few_letters_are_no_sample() -> None:
    breaker = Breaker(share=0.1, events=100, seconds=60)
    assert all(breaker.failed("rejected", now=0) is None for _ in range(99))
    assert breaker.failed("rejected", now=0) is not None


def test_a_small_share_of_many_does_not_trip() -> None:
    breaker = Breaker(share=0.5, events=10, seconds=60)
    for n in range(1000):
        breaker.passed(2, now=n / 100)
        assert breaker.failed("rejected", now=n / 100) is None


def test_what_is_older_than_the_window_counts_no_more() -> None:
    breaker = Breaker(share=0.5, events=10, seconds=60)
    for n in range(9):
        assert breaker.failed("rejected", now=n) is None
    assert breaker.failed("rejected", now=1000) is None
    # Nor do old successes hide what happens now.
    breaker = Breaker(share=0.5, events=10, seconds=60)
    breaker.passed(1_000_000, now=0)
    trips = [breaker.failed("rejected", now=1000) for _ in range(10)]
    assert trips[-1] == Trip(10, 10, "rejected", 10)
    assert trips[:-1] == [None] * 9


def test_once_tripped_it_stays_so_and_counts_nothing_more() -> None:
    breaker = Breaker(share=1, events=1, seconds=1)
    trip = breaker.failed("rejected", now=0)
    breaker.passed(1000, now=1)
    assert breaker.failed("other", now=1000) is trip is not None


def test_a_share_of_zero_turns_it_off() -> None:
    breaker = Breaker(share=0, events=1, seconds=60)
    assert all(breaker.failed("rejected", now=0) is None for _ in range(1000))


def test_the_explanation_is_one_line_that_names_the_setting() -> None:
    said = Trip(3, 6, "rejected", 2).explain(last="Encharge answered 422.", share=0.5, seconds=300)
    assert said.startswith(
        "STREAMS_DLQ_BREAKER_SHARE=0.5: 3 of 6 events within 300 s could not be delivered, "
        "2 of them as rejected; the last one: Encharge answered 422. The worker stops"
    )
    assert "\n" not in said


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 20)), max_size=200),
    st.floats(0.1, 1),
    st.integers(1, 20),
)
def test_it_agrees_with_counting_the_window_but_for_a_slice(
    steps: list[tuple[bool, float]], share: float, least: int
) -> None:
    breaker = Breaker(share=share, events=least, seconds=60)
    now, seen = 0.0, []
    for is_letter, pause in steps:
        now += pause
        seen.append((now, is_letter))
        if not is_letter:
            breaker.passed(1, now)
            continue
        tripped = breaker.failed("r", now) is not None

        def judged(seconds: float, at: float = now) -> bool:
            inside = [letter for when, letter in seen if when > at - seconds]
            return len(inside) >= least and sum(inside) >= share * len(inside)

        # A slice ends as a whole: what counts is between the window and one slice more or less.
        lengths = [60 - 3, 60, *(now - when for when, _ in seen if 57 <= now - when <= 60)]
        if tripped:
            assert any(judged(length + 1e-9) for length in lengths)
            return
        assert not all(judged(length + 1e-9) for length in lengths)
