"""Which actions an event takes at a destination, in per-action streams and in order again."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog

from streams.batching.pending import Pending
from streams.delivery.settle import Settlement
from streams.destinations.base import Conversation, Destination, Request, Subscription
from streams.errors import EventError
from streams.events import Event

log = structlog.get_logger(__name__)

DELETE: Final = "delete"


@dataclass(slots=True, eq=False)
class Batch:
    """Events that need calls, while their per-action streams map them."""

    partition: int
    events: list[Pending] = field(default_factory=list)
    streams: int = 0
    """Per-action streams that still have to map their share."""


@dataclass(slots=True, eq=False)
class Share:
    """What one per-action stream has to map of a batch."""

    batch: Batch
    events: list[tuple[Pending, int, Callable[[Event], Request | Conversation]]] = field(
        default_factory=list
    )
    """(event, place among its requests, how to build the request)"""


class ActionStream(Protocol):
    """A per-action stream: a Faust channel."""

    async def put(self, value: Any) -> None:
        """Queue a share."""


class Route:
    """Pick subscriptions, split by action, and put together again.

    Guarantees: within a partition, events go on in the order in which they came (see
    docs/adr/0003-order-across-actions.md).
    """

    def __init__(
        self,
        *,
        destination: Destination,
        streams: Mapping[str, ActionStream],
        submit: Callable[[int, Sequence[Pending]], None],
        settlement: Settlement,
    ) -> None:
        """``submit(partition, events)`` takes mapped events, in order."""
        self._destination = destination
        self._streams = streams
        self._submit = submit
        self._settlement = settlement
        self._batches: dict[int, deque[Batch]] = defaultdict(deque)

    async def take(self, partition: int, events: Sequence[Pending]) -> None:
        """Route resolved events of a partition, in order."""
        batch = Batch(partition)
        shares: dict[str, Share] = {}
        for event in events:
            self._route(event, batch, shares)
        if not batch.events:
            return
        batch.streams = len(shares)
        self._batches[partition].append(batch)
        for action, share in shares.items():
            await self._streams[action].put(share)
        self._submit_mapped(partition)

    def _route(self, pending: Pending, batch: Batch, shares: dict[str, Share]) -> None:
        fires = () if pending.error is not None else self._firing(pending)
        if not fires and pending.error is None:
            self._settlement.filtered(pending)
            return
        batch.events.append(pending)
        if fires:
            pending.requests = [None] * len(fires)
            pending.action = fires[0].action
        for place, subscription in enumerate(fires):
            share = shares.get(subscription.action)
            if share is None:
                share = shares[subscription.action] = Share(batch)
            share.events.append((pending, place, subscription.build))

    def _firing(self, pending: Pending) -> Sequence[Subscription]:
        event = pending.event
        if event["type"] == DELETE:
            return [Subscription(DELETE, DELETE, bool, self._destination.delete)]
        try:
            return [s for s in self._destination.candidates(event["type"]) if s.matches(event)]
        except Exception as error:
            log.exception("trigger failed", origin=str(pending.origin))
            pending.error = EventError("internal-error", f"{type(error).__name__}: {error}")
            return ()

    def mapped(self, share: Share) -> None:
        """A per-action stream is done with its share of a batch."""
        share.batch.streams -= 1
        self._submit_mapped(share.batch.partition)

    def _submit_mapped(self, partition: int) -> None:
        # A batch can be mapped before the one in front of it, when that one has a share in
        # a busier stream. It waits: events leave in the order in which they came.
        queue = self._batches[partition]
        while queue and queue[0].streams == 0:
            self._submit(partition, queue.popleft().events)

    def abandon(self) -> None:
        """Forget what is being mapped: it belongs to another worker now."""
        self._batches.clear()
