"""The second stage: who each event belongs to.

Reads the person-keyed stage topic. Recognises duplicates, learns and applies identities, and
hands the events on: to the one destination's :mod:`streams.routing.route`, or where there are
several to a topic that each of them reads (:mod:`streams.routing.resolved`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any

from streams.batching.pending import Pending
from streams.delivery.settle import Settlement
from streams.engine.chunks import Chunk
from streams.engine.tables import ChunkTable
from streams.errors import EventError
from streams.identity.rules import Identities
from streams.outcomes import Outcome
from streams.routing.intake import ITEM_BITS, Intake
from streams.routing.route import DELETE

HandOn = Callable[[int, Sequence[Pending]], Awaitable[None]]


class Resolve:
    """Dedupe, and resolve identities.

    Guarantees: within a partition, events go on in the order of the stage topic; what an
    event taught is durable before the event is settled.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        identities: ChunkTable,
        settlement: Settlement,
        hand_on: HandOn,
        destinations: Collection[str],
        consumer: Callable[[], Any],
    ) -> None:
        """``hand_on(partition, events)`` takes resolved events, in order.

        ``destinations``: the names of those that there are. ``consumer`` gives the Faust
        consumer that knows what is committed.
        """
        self._intake = intake
        self._identities = identities
        self._settlement = settlement
        self._hand_on = hand_on
        self._destinations = destinations
        self._consumer = consumer
        self._resolved: dict[int, Identities] = {}

    async def take(self, chunk: Chunk) -> None:
        """Resolve the events of a chunk and hand them on."""
        if chunk.abandoned:
            return
        partition, taken = chunk.partition, self._intake.take(chunk)
        identities = self._identities_of(chunk)
        identities.prepare(
            [event.event for event in taken.events], partial(self._identities.get_many, partition)
        )
        resolved: list[Pending] = []
        for position, item in taken.items:
            if not isinstance(item, Pending):
                identities.learn_broadcast(item, position)
            elif item.error is not None or self._is_for_nobody(item):
                resolved.append(item)
            elif self._intake.is_repeated(item, taken):
                # What it taught, it taught the first time; since then others may have. But what
                # a deletion made forget, an event that was read again may have taught again.
                if item.event["type"] == DELETE:
                    identities.learn_broadcast(item.event, position)
                self._settlement.without_call(item, Outcome.DUPLICATE)
            else:
                self._resolve(item, position, identities)
                resolved.append(item)
        if writes := identities.take_writes():
            taken.progress.confirmations.append(self._identities.write(partition, writes))
        self._intake.taken(taken)
        if resolved:
            await self._hand_on(partition, resolved)

    def _resolve(self, pending: Pending, position: int, identities: Identities) -> None:
        redrive = pending.redrive
        if redrive is None:
            identities.resolve(pending.event, position)
        else:
            identities.resolve_late(
                pending.event, position, is_learned=redrive.is_resolved, user=redrive.user
            )

    def _is_for_nobody(self, pending: Pending) -> bool:
        """Whether it was redriven for a destination that there is no more. Then says so."""
        name = pending.redrive.destination if pending.redrive is not None else ""
        if name in ("", *self._destinations):
            return False
        pending.error = EventError(
            "unknown-destination",
            f"It was a dead letter of {name}, and there is no destination of that name. Give one "
            "that name in STREAMS_CONFIG and redrive this letter",
        )
        return True

    def _identities_of(self, chunk: Chunk) -> Identities:
        partition = chunk.partition
        identities = self._resolved.get(partition)
        if identities is None:
            identities = self._resolved[partition] = Identities(
                self._identities.reader(partition), self._identities.scanner(partition)
            )
        committed = self._consumer()._committed_offset.get(chunk.tp)
        if committed is not None:
            identities.horizon = (committed << ITEM_BITS) - 1
        return identities

    def abandon(self) -> None:
        """Forget what was kept ready of the tables: others write them now."""
        self._resolved.clear()
