"""What Encharge's answers mean.

Encharge documents few statuses (no 429, for one), so most rules are HTTP's own. An HTML page
comes from a wrong path or from an outage, never from the API. 403 is also what the Ingest API
answers to a plan that does not include it ("Segment Actions", help.encharge.io): no event's
fault. The rules are tried in order; the first that applies decides.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from streams.destinations.base import Verdict


@dataclass(frozen=True, slots=True)
class Rule:
    """``statuses`` of HTTP that mean ``verdict``; if ``page``, only with an HTML page."""

    statuses: Container[int]
    verdict: Verdict
    page: bool = False


RULES: Final = (
    Rule(range(200, 300), Verdict.RETRY, page=True),
    Rule(range(200, 300), Verdict.DELIVERED),
    Rule(range(300, 400), Verdict.MISCONFIGURED),
    Rule({404}, Verdict.MISCONFIGURED, page=True),
    Rule({401, 402, 403, 407}, Verdict.MISCONFIGURED),
    Rule({408, 425, 429}, Verdict.RETRY),
    Rule(range(400, 500), Verdict.REJECTED),
)


def classify(status: int, content_type: str, body: bytes) -> Verdict:
    """The verdict on an answer. 5xx, and what is no HTTP status at all, may pass: RETRY."""
    page = _is_page(content_type, body)
    for rule in RULES:
        if status in rule.statuses and (page or not rule.page):
            return rule.verdict
    return Verdict.RETRY


def _is_page(content_type: str, body: bytes) -> bool:
    return content_type.lower().startswith("text/html") or body.lstrip()[:1] == b"<"
