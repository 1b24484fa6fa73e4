"""A record that carries many events; their bytes are never looked at."""

from __future__ import annotations

import pytest

from streams.engine import packed


def test_what_is_packed_comes_out_again_in_order() -> None:
    headers = [(0, "person\n", 7), (1, "ü", -1), (0, "", 2**40)]
    payloads = [b"\n\x00\xff", b"", b'{"a": 1}']
    found = list(packed.unpack(packed.pack(headers, payloads)))
    assert found == [(list(h), p) for h, p in zip(headers, payloads, strict=True)]


def test_nothing_packs_to_nothing() -> None:
    assert list(packed.unpack(packed.pack([], []))) == []


def test_headers_and_payloads_belong_together() -> None:
    with pytest.raises(ValueError, match="zip"):
        packed.pack([(1,)], [])


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"no newline",
        b"{}x\n",
        b"not json\n",
        b"[[1]]\n",
        b"[[0, 5]]\nabc",
        b"[]\nabc",
        b"[[0,-1]]\nabc",
    ],
)
def test_what_was_not_packed_is_recognised(value: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        list(packed.unpack(value))


def test_a_truncated_record_is_recognised() -> None:
    whole = packed.pack([(0, "a"), (1, "b")], [b"first", b"second"])
    for end in range(len(whole)):
        with pytest.raises(ValueError, match=r".*"):
            list(packed.unpack(whole[:end]))


def test_split_keeps_groups_below_the_size_and_the_order() -> None:
    items = [((n,), b"x" * 100) for n in range(50)]
    groups = list(packed.split(items, 1000))
    assert [header for headers, _ in groups for header in headers] == [(n,) for n in range(50)]
    assert all(sum(map(len, payloads)) <= 1000 for _, payloads in groups)
    assert len(groups) < 10


def test_an_item_above_the_size_stands_alone() -> None:
    groups = list(packed.split([((0,), b"a"), ((1,), b"x" * 5000), ((2,), b"b")], 1000))
    assert [headers for headers, _ in groups] == [[(0,)], [(1,)], [(2,)]]


def test_nothing_splits_into_nothing() -> None:
    assert list(packed.split([], 1000)) == []
