"""The head of an event: refused and taken as by reading all of it."""

from __future__ import annotations

import pytest

from streams.errors import InvalidEvent
from streams.source.head import Head, read_head


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (None, "empty"),
        (b"[]", "not-an-object"),
        (b"{", "not-json"),
        (b'{"type":"track","userId":"u","properties":{"a":"\xff"}}', "invalid-utf8"),
        (b'{"type":"track","userId":"u","\xff":1}', "invalid-utf8"),
        (b'{"type":"track","userId":"u","properties":{"a":"\\ud800"}}', "not-json"),
        (b'{"type":"track","userId":"u","a":' + b"[" * 150 + b"]" * 150 + b"}", "too-deep"),
        (b'{"type":"track","userId":"u","a":' + b"[" * 9999 + b"]" * 9999 + b"}", "too-deep"),
        (b'{"type":"track","userId":"u","a":"' + b"x" * 40_000 + b'"}', "too-large"),
        (b'{"userId":"u"}', "no-type"),
        (b'{"type":"buy","userId":"u"}', "unknown-type"),
        (b'{"type":"track"}', "no-ids"),
        (b'{"type":"track","userId":"","anonymousId":null}', "no-ids"),
        (b'{"type":"track","userId":true}', "wrong-type"),
        (b'{"type":"track","userId":"u","properties":[]}', "wrong-type"),
        (b'{"type":"track","userId":"u","timestamp":"yesterday"}', "invalid-timestamp"),
        (b'{"type":"track","userId":"u","sentAt":7}', "invalid-timestamp"),
    ],
)
def test_what_is_no_event_is_refused_with_its_reason(raw: bytes | None, reason: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        read_head(raw, max_bytes=32 * 1024)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":"track","userId":0}',
        b' {"type":"track","anonymousId":"\\u00fc","properties":null,"x":[{"y":{}}]}\n',
        b'{"type":"buy","type":"track","userId":"u"}',
        b'{"type":"track","userId":"u","a":"' + b"{[" * 200 + b'"}',
        b'{"type":"track","userId":"u","timestamp":"2026-11-02"}',
        b'{"type":"track","userId":123456789012345678901234567890}',
    ],
)
def test_what_is_one_is_taken(raw: bytes) -> None:
    assert read_head(raw, max_bytes=32 * 1024).type == "track"


def test_the_options_of_destinations_are_read() -> None:
    raw = b'{"type":"page","userId":"u","integrations":{"All":false,"Encharge":{"a":[1]}}}'
    assert read_head(raw, max_bytes=1024) == Head(
        type="page", userId="u", integrations={"All": False, "Encharge": {"a": [1]}}
    )
