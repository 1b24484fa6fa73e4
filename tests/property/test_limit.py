"""Whatever a destination answers, its limit is one that can be used."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.delivery.limit import MAX_REST_SECONDS, Limit

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["taken", "taken", "too many"]),
        st.floats(0, 10),
        st.sampled_from([0.0, 0.0, 3.0, 3600.0]),
    ),
    max_size=200,
)


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 1000), STEPS)
def test_it_stays_between_one_and_the_most_and_every_rest_ends(
    most: int, steps: list[tuple[str, float, float]]
) -> None:
    limit, now = Limit(most), 0.0
    for answer, seconds, wait in steps:
        now += seconds
        before = limit._value
        if answer == "taken":
            limit.taken()
            assert before <= limit._value <= before + 1
        else:
            limit.too_many(now - 1, now, wait)
            assert max(before / 2, 1) <= limit._value <= before
        assert 1 <= limit.calls <= most
        assert limit.rests_until <= now + max(3600.0, MAX_REST_SECONDS)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.integers(1, 200), st.integers(1, 400))
def test_it_finds_what_a_destination_stands_and_stays_near(stands: int, most: int) -> None:
    """In rounds: all calls that are allowed are made at once; those beyond get a 429."""
    limit, made, taken = Limit(most), 0, 0
    for now in range(600):
        calls = limit.calls
        for number in range(calls):
            if number < stands:
                limit.taken()
            else:
                limit.too_many(now, now + 0.5)
        if now >= 300:
            made += calls
            taken += min(calls, stands)
    assert taken >= 0.6 * 300 * min(stands, most), "it is used"
    assert made <= 1.35 * taken + 300, "it is not hammered"
