"""The resolved events as a topic: where there are several destinations, each reads it.

Every destination is a consumer group of its own there, with its own windows, lanes and
messageIds, so that one that is dead holds up nobody else (see
docs/adr/0007-destinations-as-groups.md). An event travels as it came, to the byte, with what
resolve found out about it in the header of its item.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from streams.batching.pending import Pending
from streams.delivery.settle import Settlement
from streams.destinations.base import Destination
from streams.engine import packed
from streams.engine.chunks import Chunk
from streams.engine.producer import BatchProducer, Record
from streams.engine.tasks import Tasks
from streams.identity.rules import found_out
from streams.outcomes import Outcome
from streams.routing.intake import STAGE, Intake
from streams.routing.resolve import HandOn
from streams.source.ingest import EVENT, PACK_BYTES, PARTITION_HEADER, TOPIC_HEADER
from streams.source.integrations import enabled


class ResolvedWriter:
    """Puts resolved events on their topic, in order, and settles them in resolve's group."""

    def __init__(
        self, producer: BatchProducer, topic: str, settlement: Settlement, tasks: Tasks
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._settlement = settlement
        self._tasks = tasks

    async def take(self, partition: int, events: Sequence[Pending]) -> None:
        """Hand on events of a partition. Returns when the next may come."""
        fit = [event for event in events if event.error is None]
        for event in events:
            if event.error is not None:
                self._settlement.rejected(event, event.error, stage=STAGE)
        if fit:
            confirmed = await self._producer.send(self._topic, partition, list(_records(fit)))
            self._tasks.start(self._settle(confirmed, fit))

    async def _settle(self, confirmed: object, events: Sequence[Pending]) -> None:
        await confirmed  # type: ignore[misc]
        self._settlement.passed_on(events)


def _records(events: Sequence[Pending]) -> Iterator[Record]:
    """Records of neighbours that were read from one partition of one source topic."""
    for (topic, source_partition), neighbours in groupby(events, attrgetter("source")):
        headers = [
            (TOPIC_HEADER, topic.encode()),
            (PARTITION_HEADER, str(source_partition).encode()),
        ]
        items = map(_item, neighbours)
        for heads, payloads in packed.split(items, PACK_BYTES):
            yield Record(None, packed.pack(heads, payloads), headers)


def _item(event: Pending) -> tuple[packed.Header, bytes]:
    """As ingest writes it, and what was found out."""
    redrive = tuple(event.redrive) if event.redrive else None
    produced_ms = round(event.produced_at * 1000)
    original, payload = 0, event.raw
    if event.json is not None:
        original, payload = len(event.raw), event.json + event.raw
    header = (EVENT, event.lane, event.offset, produced_ms, redrive, original)
    return (*header, *found_out(event.event)), payload


class ResolvedReader:
    """What one destination's group does with a chunk of resolved events."""

    def __init__(
        self,
        *,
        intake: Intake,
        settlement: Settlement,
        destination: Destination,
        hand_on: HandOn,
    ) -> None:
        """``hand_on(partition, events)`` takes the events that the destination has not had."""
        self._intake = intake
        self._settlement = settlement
        self._destination = destination
        self._hand_on = hand_on

    async def take(self, chunk: Chunk) -> None:
        """Hand on the events of a chunk that are this destination's and new to it."""
        if chunk.abandoned:
            return
        taken = self._intake.take(chunk)
        new: list[Pending] = []
        for event in taken.events:
            if self._is_for_another(event):
                self._settlement.not_ours(event)
            elif event.error is not None:
                new.append(event)
            elif not enabled(event.event.get("integrations"), self._destination.integration_names):
                self._settlement.without_call(event, Outcome.FILTERED, "integrations")
            elif self._intake.is_repeated(event, taken):
                self._settlement.without_call(event, Outcome.DUPLICATE)
            else:
                new.append(event)
        self._intake.taken(taken)
        if new:
            await self._hand_on(chunk.partition, new)

    def _is_for_another(self, event: Pending) -> bool:
        """Whether it was redriven for a destination that it had not reached."""
        redrive = event.redrive
        return redrive is not None and redrive.destination not in ("", self._destination.name)
