from __future__ import annotations

import pytest

from streams.destinations.base import Verdict
from streams.destinations.encharge import Encharge

JSON = ("application/json", b'{"error": "text"}')
PAGE = ("text/html; charset=utf-8", b"<!doctype html>")
classify = Encharge(api_key="k").classify


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DELIVERED),
        (204, Verdict.DELIVERED),
        (301, Verdict.MISCONFIGURED),
        (400, Verdict.REJECTED),
        (401, Verdict.MISCONFIGURED),
        (402, Verdict.MISCONFIGURED),
        (403, Verdict.MISCONFIGURED),
        (404, Verdict.REJECTED),
        (407, Verdict.MISCONFIGURED),
        (408, Verdict.RETRY),
        (413, Verdict.REJECTED),
        (422, Verdict.REJECTED),
        (425, Verdict.RETRY),
        (429, Verdict.RETRY),
        (500, Verdict.RETRY),
        (503, Verdict.RETRY),
        (599, Verdict.RETRY),
        (0, Verdict.RETRY),
        (101, Verdict.RETRY),
    ],
)
def test_answers_of_the_api(status: int, verdict: Verdict) -> None:
    assert classify(status, *JSON) is verdict


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.RETRY),
        (400, Verdict.REJECTED),
        (403, Verdict.MISCONFIGURED),
        (404, Verdict.MISCONFIGURED),
        (502, Verdict.RETRY),
    ],
)
def test_pages_in_place_of_an_answer(status: int, verdict: Verdict) -> None:
    assert classify(status, *PAGE) is verdict


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("Text/HTML", b""), ("", b"<html>"), ("application/json", b"\n <html>")],
)
def test_how_a_page_is_told(content_type: str, body: bytes) -> None:
    assert classify(200, content_type, body) is Verdict.RETRY


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b"ok"])
def test_how_an_answer_is_told(body: bytes) -> None:
    assert classify(200, "", body) is Verdict.DELIVERED
