"""What HTTP answers mean, as data that destinations share.

Few APIs document every status, so most rules are HTTP's own. An HTML page comes from a wrong
path or from an outage, never from an API.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


def http_rules(*, urls: str, keys: str) -> tuple[Rule, ...]:
    """Tried in this order; the first that applies decides. What is in none may pass: RETRY.

    ``urls`` and ``keys`` say why an answer means that these settings are wrong.
    """
    return (
        Rule("2xx", Verdict.RETRY, "it is not the API that answers", page=True),
        Rule("2xx", Verdict.DELIVERED, "it was taken"),
        Rule("3xx", Verdict.MISCONFIGURED, urls),
        Rule("404", Verdict.MISCONFIGURED, "so is the path, then", page=True),
        Rule("401 402 403 407", Verdict.MISCONFIGURED, keys),
        Rule("408 425 429", Verdict.RETRY, "too slow, too early, too many"),
        Rule("4xx", Verdict.REJECTED, "the event is refused for good"),
        Rule("5xx", Verdict.RETRY, "it is out of order"),
    )


Classify = Callable[[int, str, bytes], Verdict]
"""``classify(status, content_type, body)``: the verdict on an answer."""


def classifier(rules: Sequence[Rule]) -> Classify:
    """The function that decides by ``rules``."""
    compiled = [(rule.codes(), rule.page, rule.verdict) for rule in rules]

    def classify(status: int, content_type: str, body: bytes) -> Verdict:
        is_page = content_type.lower().startswith("text/html") or body.lstrip()[:1] == b"<"
        for codes, page, verdict in compiled:
            if status in codes and (is_page or not page):
                return verdict
        return Verdict.RETRY

    return classify
