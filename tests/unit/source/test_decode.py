"""From bytes to an event, or to the reason why they are none."""

from __future__ import annotations

import pytest

from streams.errors import InvalidEvent
from streams.source.decode import MAX_DEPTH, decode


def reason(raw: bytes | None, max_bytes: int = 1000) -> str:
    with pytest.raises(InvalidEvent) as caught:
        decode(raw, max_bytes=max_bytes)
    assert str(caught.value), "a person reads it in the dead letter"
    return caught.value.reason


def test_a_json_object_is_an_event() -> None:
    assert decode(b'{"type": "track", "n": [1, {}]}', max_bytes=1000) == {
        "type": "track",
        "n": [1, {}],
    }


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"{", "not-json"),
        (b'{"a": 1e400}', "not-json"),
        (b'{"a": "\\ud800"}', "not-json"),
        (b"\x00\x00\x00\x00\x01avro", "not-json"),
        (b'{"a": "\xff"}', "invalid-utf8"),
        (b"[]", "not-an-object"),
        (b'"text"', "not-an-object"),
        (b"null", "not-an-object"),
        (b"7", "not-an-object"),
        (b"true", "not-an-object"),
        (b"[" * 5000 + b"]" * 5000, "too-deep"),
    ],
)
def test_everything_else_has_a_reason(raw: bytes | None, expected: str) -> None:
    assert reason(raw, max_bytes=100_000) == expected


def test_the_size_limit_is_inclusive_and_names_its_setting() -> None:
    raw = b'{"a": "' + b"x" * 20 + b'"}'
    assert decode(raw, max_bytes=len(raw)) == {"a": "x" * 20}
    with pytest.raises(InvalidEvent, match="STREAMS_MAX_EVENT_BYTES"):
        decode(raw, max_bytes=len(raw) - 1)
    assert reason(raw, max_bytes=len(raw) - 1) == "too-large"


def nested(levels: int, opening: bytes, closing: bytes) -> bytes:
    """An event whose deepest container is on level ``levels``; the event itself is the first."""
    return b'{"a":' + opening * (levels - 1) + closing * (levels - 1) + b"}"


@pytest.mark.parametrize("brackets", [(b"[", b"]")])
def test_nesting_is_bounded(brackets: tuple[bytes, bytes]) -> None:
    assert decode(nested(MAX_DEPTH, *brackets), max_bytes=10_000)
    assert reason(nested(MAX_DEPTH + 1, *brackets), max_bytes=10_000) == "too-deep"


def test_a_wide_event_is_not_a_deep_one() -> None:
    raw = b'{"a": [' + b",".join([b"{}"] * 500) + b"]}"
    assert len(decode(raw, max_bytes=10_000)["a"]) == 500


def test_brackets_in_a_text_do_not_count() -> None:
    raw = b'{"a": "' + b"[{" * 500 + b'"}'
    assert decode(raw, max_bytes=10_000)
