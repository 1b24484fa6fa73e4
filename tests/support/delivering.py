"""Events through mapping, windows and lanes to a stand-in, over real HTTP and without Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import orjson

from streams.batching.coalesce import coalesce
from streams.batching.pending import Pending
from streams.delivery.deliver import LaneDeliverer
from streams.delivery.limiter import RateLimiter
from streams.delivery.sender import HttpSender
from streams.destinations.encharge import PRESETS, Encharge
from streams.destinations.encharge.actions import ACTIONS
from streams.errors import EventError
from streams.events import Event
from streams.mapping import default_mapping
from streams.telemetry.metrics import Metrics
from tests.support.fakes import Failures, FakeSettlement, eventually, pending

_TAGS: Final = tuple(
    {
        "partnerAction": slug,
        "subscribe": f'type = "track" and event = "{name}"',
        "mapping": {**default_mapping(ACTIONS[slug].fields), "tag": {"@path": "$.properties.tag"}},
    }
    for slug, name in (("addTag", "Tagged"), ("removeTag", "Untagged"))
)
_NO_TAG: Final = 'event != "Tagged" and event != "Untagged"'
SUBSCRIPTIONS: Final = (
    *({**preset, "subscribe": f"{preset['subscribe']} and {_NO_TAG}"} for preset in PRESETS),
    *_TAGS,
)
"""The presets, and tags for two names of tracks."""


@dataclass(slots=True)
class Delivery:
    """A deliverer on its way to one stand-in."""

    encharge: Encharge
    deliverer: LaneDeliverer
    settlement: FakeSettlement
    failures: Failures
    is_coalescing: bool
    taken: int = 0

    def take(self, window: Sequence[tuple[str, Event]]) -> None:
        """Deliver the events of a window: (whose lane, event)."""
        events = [self._mapped(lane, event) for lane, event in window]
        self.taken += len(window)
        if self.is_coalescing:
            events = coalesce(events, self.encharge.merge)
        self.deliverer.take(events)

    async def settled(self) -> list[tuple[str, str]]:
        """(messageId, outcome) of every event taken, when all have one."""
        await eventually(lambda: len(self.settlement.outcomes) >= self.taken or self.failures)
        assert self.failures == []
        return self.settlement.outcomes

    def _mapped(self, lane: str, event: Event) -> Pending:
        fires = [s for s in self.encharge.candidates(event["type"]) if s.matches(event)]
        made = pending(
            event["messageId"],
            lane,
            requests=[None] * len(fires),
            action=fires[0].action,
        )
        made.raw = orjson.dumps(event)
        for place, subscription in enumerate(fires):
            try:
                made.requests[place] = subscription.build(event)
            except EventError as error:
                made.error = error
        return made


@asynccontextmanager
async def delivery(
    url: str, *, key: str, is_coalescing: bool, bulk_size: int, concurrency: int = 8
) -> AsyncIterator[Delivery]:
    """A deliverer to the stand-in at an address. ``bulk_size`` 0: no bulk."""
    settlement, failures, metrics = FakeSettlement(), Failures(), Metrics()
    encharge = Encharge(
        api_key=key, api_url=url, ingest_url=f"{url}/v1", subscriptions=SUBSCRIPTIONS
    )
    unused: list[Any] = []
    deliverer = LaneDeliverer(
        destination=encharge,
        sender=HttpSender(max_connections=concurrency, timeout_seconds=30),
        settlement=settlement,  # type: ignore[arg-type]
        limiter=RateLimiter(None, metrics),
        metrics=metrics,
        tasks=failures.tasks(),
        concurrency=concurrency,
        bulk_size=bulk_size,
        retry_max_seconds=3600,
        circuit_failures=1000,
        may_call=lambda: True,
        on_misconfigured=unused.append,
    )
    try:
        yield Delivery(encharge, deliverer, settlement, failures, is_coalescing)
    finally:
        await deliverer.close()
