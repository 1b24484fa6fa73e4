"""What Encharge's answers mean: docs/delivery.md has these rules as a table.

Encharge documents few statuses (no 429, for one). 403 is also what the Ingest API answers to a
plan that does not include it ("Segment Actions", help.encharge.io): no event's fault.
"""

from __future__ import annotations

from typing import Final

from streams.destinations.status import classifier, http_rules

RULES: Final = http_rules(
    urls="`ENCHARGE_API_URL` or `ENCHARGE_INGEST_URL` is wrong",
    keys="the key is wrong, or not in the plan",
)

classify: Final = classifier(RULES)
