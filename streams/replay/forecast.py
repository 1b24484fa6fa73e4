"""What a replay would come to, without doing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson

from streams.destinations.base import Destination
from streams.destinations.conversation import calls_of
from streams.errors import PayloadError
from streams.replay.order import Event
from streams.source.integrations import enabled


class Forecast:
    """Counts the calls that events would become.

    At most these: identities, which may add an id or an email, and coalescing, which saves
    calls, are the worker's; so is recognising what was sent already.
    """

    def __init__(self, destinations: Sequence[Destination]) -> None:
        self._destinations = destinations
        self.calls: Counter[str] = Counter()
        """By action."""
        self.events = 0
        self.without_calls: Counter[str] = Counter()
        """Events that nothing would be sent for, by reason."""

    def take(self, events: Sequence[Event]) -> None:
        """Count events."""
        for _, _, raw in events:
            self._take(raw)

    def _take(self, raw: bytes) -> None:
        self.events += 1
        event = orjson.loads(raw)
        wanted_by = [
            destination
            for destination in self._destinations
            if enabled(event.get("integrations"), destination.integration_names)
        ]
        if not wanted_by:
            self.without_calls["integrations"] += 1
            return
        failed = False
        calls = 0
        for destination in wanted_by:
            for action, build in _builders(destination, event):
                try:
                    made = sum(1 for _ in calls_of(build(event)))
                except PayloadError:
                    failed = True
                else:
                    calls += made
                    self.calls[action] += made
        if not calls:
            self.without_calls["invalid" if failed else "no-subscription"] += 1

    def as_object(self, rate: float | None) -> dict[str, Any]:
        """For ``--json``. ``rate``: the limit in events a second."""
        return {
            "events": self.events,
            "calls": {"total": self.calls.total(), **self.calls},
            "withoutCalls": {"total": self.without_calls.total(), **self.without_calls},
            "seconds": None if rate is None else self.events / rate,
        }


def _builders(destination: Destination, event: dict[str, Any]) -> list[tuple[str, Any]]:
    if event["type"] == "delete":
        return [("delete", destination.delete)]
    return [
        (subscription.action, subscription.build)
        for subscription in destination.candidates(event["type"])
        if subscription.matches(event)
    ]
