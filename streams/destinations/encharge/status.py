"""What Encharge's answers mean: docs/delivery.md has these rules as a table.

Encharge documents few statuses (no 429, for one), so most rules are HTTP's own. An HTML page
comes from a wrong path or from an outage, never from the API. 403 is also what the Ingest API
answers to a plan that does not include it ("Segment Actions", help.encharge.io): no event's
fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streams.destinations.base import Verdict


@dataclass(frozen=True, slots=True)
class Rule:
    """HTTP ``statuses``, such as ``2xx`` or ``408 429``, that mean ``verdict``, and why.

    With ``page`` only when the answer is an HTML page.
    """

    statuses: str
    verdict: Verdict
    why: str
    page: bool = False

    def codes(self) -> frozenset[int]:
        """The statuses one by one."""
        return frozenset().union(*map(_codes, self.statuses.split()))


def _codes(pattern: str) -> range:
    if pattern.endswith("xx"):
        hundred = int(pattern[0]) * 100
        return range(hundred, hundred + 100)
    return range(int(pattern), int(pattern) + 1)


RULES: Final = (
    Rule("2xx", Verdict.RETRY, "it is not the API that answers", page=True),
    Rule("2xx", Verdict.DELIVERED, "it was taken"),
    Rule("3xx", Verdict.MISCONFIGURED, "`ENCHARGE_API_URL` or `ENCHARGE_INGEST_URL` is wrong"),
    Rule("404", Verdict.MISCONFIGURED, "so is the path, then", page=True),
    Rule("401 402 403 407", Verdict.MISCONFIGURED, "the key is wrong, or not in the plan"),
    Rule("408 425 429", Verdict.RETRY, "too slow, too early, too many"),
    Rule("4xx", Verdict.REJECTED, "the event is refused for good"),
    Rule("5xx", Verdict.RETRY, "it is out of order"),
)
"""Tried in this order; the first that applies decides. What is in none may pass: RETRY."""

_COMPILED: Final = [(rule.codes(), rule.page, rule.verdict) for rule in RULES]


def classify(status: int, content_type: str, body: bytes) -> Verdict:
    """The verdict on an answer."""
    is_page = content_type.lower().startswith("text/html") or body.lstrip()[:1] == b"<"
    for codes, page, verdict in _COMPILED:
        if status in codes and (is_page or not page):
            return verdict
    return Verdict.RETRY
