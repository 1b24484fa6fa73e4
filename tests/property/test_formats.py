"""Dates and times: the quick way says yes to nothing that the rule does not."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.mapping import formats

USUAL = "2026-01-31T09:00:00.000Z"
SPOILT = st.tuples(
    st.integers(0, len(USUAL) - 1), st.sampled_from([*"0123459-+:.,TWZz \u0662\ud800", ""])
)


@settings(deadline=None, max_examples=1000)
@given(
    st.lists(SPOILT, max_size=5),
    st.datetimes().map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z"),
)
def test_date_times(spoilt: list[tuple[int, str]], text: str) -> None:
    for place, char in spoilt:
        text = text[:place] + char + text[place + 1 :]
    assert formats.is_date_time(text) is formats._is_full(text)
