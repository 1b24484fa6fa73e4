"""Whatever order events come in, each person's leave by time, and none is lost."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from streams.replay.order import ExternalSort, parts

EVENTS = st.lists(
    st.tuples(
        st.integers(-(2**40), 2**52) | st.integers(0, 5),
        st.sampled_from([b"", b"a", b"b", "é".encode()]),
        st.binary(max_size=30),
    ),
    max_size=200,
)


@given(
    events=EVENTS,
    run_bytes=st.integers(1, 3_000),
    block_bytes=st.integers(1, 500),
    fan_in=st.integers(2, 5),
    together=st.integers(1, 50),
)
def test_by_time_and_stable_and_complete(
    events: list[tuple[int, bytes, bytes]],
    run_bytes: int,
    block_bytes: int,
    fan_in: int,
    together: int,
) -> None:
    with ExternalSort(run_bytes=run_bytes, block_bytes=block_bytes, fan_in=fan_in) as order:
        for start in range(0, len(events), together):
            order.add(events[start : start + together])
        ordered = [parts(item) for block in order.blocks() for item in block]
    # Python's own sort is stable.
    assert ordered == sorted(events, key=lambda event: event[0])
    people: dict[bytes, list[int]] = defaultdict(list)
    for moment, person, _ in ordered:
        people[person].append(moment)
    assert all(moments == sorted(moments) for moments in people.values())
