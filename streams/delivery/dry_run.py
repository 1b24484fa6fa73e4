"""Delivery without calls (``STREAMS_DRY_RUN``)."""

from __future__ import annotations

from collections.abc import Iterable

from streams.batching.pending import Pending
from streams.delivery.deliver import STAGE
from streams.delivery.settle import Settlement


class DryRun:
    """Settles every event as if its call had succeeded: a ``Deliverer``."""

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement

    def take(self, events: Iterable[Pending]) -> None:
        """See :class:`~streams.delivery.deliver.Deliverer`."""
        delivered = []
        for event in events:
            if event.error is not None:
                self._settlement.rejected(event, event.error, stage=STAGE)
            else:
                delivered.append(event)
        self._settlement.delivered(*delivered)

    def abandon(self) -> None:
        """Nothing is under way."""

    def halt(self) -> None:
        """No call is made anyway."""

    async def answered(self, *, within: float) -> None:
        """No call is open."""

    async def close(self) -> None:
        """There is nothing to close."""
