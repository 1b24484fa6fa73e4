"""Whatever is packed comes out again; whatever is split is neither lost nor reordered."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine import packed

HEADERS = st.tuples(st.integers(0, 1), st.text(max_size=6), st.integers(-(2**53), 2**53))
ITEMS = st.lists(st.tuples(HEADERS, st.binary(max_size=40)), max_size=12)
always = settings(derandomize=True, deadline=None)


@always
@given(ITEMS)
def test_roundtrip(items: list[tuple[packed.Header, bytes]]) -> None:
    value = packed.pack([header for header, _ in items], [payload for _, payload in items])
    assert [(tuple(header), payload) for header, payload in packed.unpack(value)] == items


@always
@given(ITEMS, st.integers(1, 500))
def test_split(items: list[tuple[packed.Header, bytes]], size: int) -> None:
    groups = list(packed.split(items, size))
    assert [item for group in groups for item in zip(*group, strict=True)] == items
    assert all(len(payloads) == 1 or sum(map(len, payloads)) <= size for _, payloads in groups)
    assert all(payloads for _, payloads in groups)


@always
@given(st.binary(max_size=60) | st.binary(max_size=30).map(lambda tail: b"[[0,1]]\n" + tail))
def test_what_was_not_packed_raises_what_resolve_expects(value: bytes) -> None:
    try:
        items = list(packed.unpack(value))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return
    assert sum(len(payload) for _, payload in items) <= len(value)
