"""What Segment's own runtime answered, and what we answer.

``cases.ndjson.gz`` holds 1,624 answers of npm `@segment/actions-core` 3.170.0 with the Encharge
destination of segmentio/action-destinations: events through the presets, deletions, random
mappings and random triggers, in the form that ``streams explain`` reads. Of an error, only
that there is one is compared.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from streams.destinations.base import Request
from streams.destinations.encharge import Encharge
from streams.errors import PayloadError

CASES = [
    json.loads(line)
    for line in gzip.decompress(
        Path(__file__).with_name("cases.ndjson.gz").read_bytes()
    ).splitlines()
]
WITH_PRESETS = Encharge(api_key="the-key", parity=True)
HEADERS = {
    "X-Encharge-Token": "the-key",
    "Content-Type": "application/json",
    "X-Segment-Actions": "1",
}


def test_the_corpus_is_whole() -> None:
    assert len(CASES) == 1624


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_same_answer(case: dict[str, Any]) -> None:
    before = as_text(case)
    requests, error = answer(case)
    made = [{"method": r.method, "url": r.url, "body": r.body} for r in requests]
    # As text, because 1 and True are equal in Python but not in JSON.
    assert as_text(made) == as_text(case["expect"]["requests"])
    assert (error is None) == (case["expect"]["error"] is None), error
    assert all(request.headers == HEADERS for request in requests)
    assert as_text(case) == before


def answer(case: dict[str, Any]) -> tuple[list[Request], str | None]:
    """The requests, and the first error: one subscription's error does not stop the others."""
    encharge = WITH_PRESETS
    if "subscriptions" in case:
        encharge = Encharge(api_key="the-key", subscriptions=case["subscriptions"], parity=True)
    event = case["event"]
    if case.get("op") == "delete":
        try:
            return [encharge.delete(event)], None
        except PayloadError:
            # Nobody is named. Segment sends nothing then, and sees no error in it.
            return [], None
    requests, errors = [], []
    for subscription in encharge.subscriptions:
        if subscription.matches(event):
            try:
                requests.append(subscription.build(event))
            except PayloadError as error:
                errors.append(str(error))
    return requests, errors[0] if errors else None


def as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
