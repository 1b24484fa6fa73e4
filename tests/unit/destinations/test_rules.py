"""The rules about statuses are data, and the page says what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

import streams
from streams.destinations.base import Verdict
from streams.destinations.encharge.status import RULES, classify
from streams.destinations.status import Rule
from streams.destinations.usercom import status as usercom

DOCS = Path(streams.__file__).parents[1] / "docs"
MEANS = {
    Verdict.DELIVERED: "delivered",
    Verdict.RETRY: "retry",
    Verdict.REJECTED: "dead letter",
    Verdict.MISCONFIGURED: "configuration error",
}


@pytest.mark.parametrize(("page", "rules"), [("delivery.md", RULES), ("usercom.md", usercom.RULES)])
def test_the_documentation_has_the_rules_as_a_table(page: str, rules: tuple[Rule, ...]) -> None:
    rows = [
        f"| {rule.statuses}{', an HTML page' if rule.page else ''} "
        f"| {MEANS[rule.verdict]} | {rule.why} |"
        for rule in rules
    ]
    table = "\n".join(["| answer | means | because |", "| --- | --- | --- |", *rows])
    assert table in (DOCS / page).read_text(), table


def test_every_rule_decides_something() -> None:
    pages, answers = ("text/html", b"<p>"), ("application/json", b"{}")
    for rule in RULES:
        kind = pages if rule.page else answers
        decided = {status for status in rule.codes() if classify(status, *kind) is rule.verdict}
        assert decided, rule


def test_every_status_of_http_is_in_a_rule() -> None:
    assert set(range(200, 600)) <= {code for rule in RULES for code in rule.codes()}
