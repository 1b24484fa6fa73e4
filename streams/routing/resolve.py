"""The second stage: who each event belongs to, and which actions it takes.

Reads the person-keyed stage topic. Recognises duplicates, learns and applies identities,
picks the subscriptions that fire, and hands the events of a chunk to their per-action
streams. When those have mapped them, the chunk's events go on in their original order
(see docs/adr/0003-order-across-actions.md).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

import orjson
import structlog

from streams.batching.pending import Pending, Progress, by_partition
from streams.dead_letters.producer import DeadLetters
from streams.dead_letters.record import DeadLetter
from streams.dead_letters.redrive import Redrive
from streams.delivery.seen import SeenTable, digest
from streams.delivery.settle import Settlement
from streams.destinations.base import Destination, Request, Subscription
from streams.engine import packed
from streams.engine.chunks import Chunk
from streams.engine.tables import ChunkTable
from streams.engine.tasks import Tasks
from streams.errors import EventError, InvalidEvent
from streams.events import Event, Origin
from streams.identity.rules import Identities
from streams.outcomes import Outcome
from streams.source.decode import decode
from streams.source.ingest import NOTE, PARTITION_HEADER, TOPIC_HEADER
from streams.source.normalise import normalise
from streams.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

ITEM_BITS: Final = 20
"""A position is the record's offset and, in its low bits, the item's place in the record."""

STAGE: Final = "resolve"
DELETE: Final = "delete"


@dataclass(slots=True, eq=False)
class Batch:
    """The events of one chunk that need calls, while their per-action streams map them."""

    partition: int
    identities: Identities
    seen: Container[bytes]
    """Digests of those that were delivered before."""
    events: list[Pending] = field(default_factory=list)
    streams: int = 0
    """Per-action streams that still have to map their share."""


@dataclass(slots=True, eq=False)
class Share:
    """What one per-action stream has to map of a batch."""

    batch: Batch
    events: list[tuple[Pending, int, Callable[[Event], Request]]] = field(default_factory=list)
    """(event, place among its requests, how to build the request)"""


class ActionStream(Protocol):
    """A per-action stream: a Faust channel."""

    async def put(self, value: Any) -> None:
        """Queue a share."""


class Resolve:
    """Dedupe, resolve identities, route.

    Guarantees: within a partition, events go on in the order of the stage topic; what an
    event taught is durable before the event is settled.
    """

    def __init__(
        self,
        *,
        destination: Destination,
        identities: ChunkTable,
        seen: SeenTable,
        streams: Mapping[str, ActionStream],
        submit: Callable[[int, Sequence[Pending]], None],
        settlement: Settlement,
        dead_letters: DeadLetters,
        metrics: Metrics,
        tasks: Tasks,
        consumer: Callable[[], Any],
        on_load: Callable[[int, int], None],
    ) -> None:
        """``submit(partition, events)`` takes mapped events, in order.

        ``consumer`` gives the Faust consumer that chunks are acknowledged to.
        ``on_load(partition, unsettled)`` is told how many events of a partition wait.
        """
        self._destination = destination
        self._identities = identities
        self._seen = seen
        self._streams = streams
        self._submit = submit
        self._settlement = settlement
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._tasks = tasks
        self._consumer = consumer
        self._on_load = on_load
        self._resolved: dict[int, Identities] = {}
        self._underway: dict[int, dict[bytes, Pending]] = defaultdict(dict)
        self._unsettled: dict[int, int] = defaultdict(int)
        self._batches: dict[int, deque[Batch]] = defaultdict(deque)
        self._progress: set[Progress] = set()

    # -- a chunk comes in

    async def take(self, chunk: Chunk) -> None:
        """Resolve and route the events of a chunk."""
        if chunk.abandoned:
            return
        partition = chunk.partition
        progress = Progress(
            0,
            on_done=lambda: self._done(chunk, progress),
            is_abandoned=lambda: chunk.abandoned,
        )
        items, unreadable = _read(chunk, progress)
        pending = [item for _, item in items if isinstance(item, Pending)]
        progress.expect(len(pending) + len(unreadable))
        self._progress.add(progress)
        self._loaded(partition, len(pending))
        identities = self._identities_of(chunk)
        identities.prepare(
            [event.event for event in pending], partial(self._identities.get_many, partition)
        )
        seen = self._seen.held(partition, [event.digest for event in pending])
        batch = Batch(partition, identities, seen)
        shares: dict[str, Share] = {}
        for position, item in items:
            if isinstance(item, Pending):
                self._route(item, position, batch, shares)
            else:
                identities.learn_broadcast(item, position)
        if writes := identities.take_writes():
            progress.confirmations.append(self._identities.write(partition, writes))
        if unreadable:
            self._tasks.start(self._bury(unreadable, progress))
        elif not pending:
            progress.finish(0)
        await self._hand_on(batch, shares)

    def _route(
        self, pending: Pending, position: int, batch: Batch, shares: dict[str, Share]
    ) -> None:
        if pending.error is not None:
            batch.events.append(pending)
            return
        event, underway = pending.event, self._underway[pending.partition]
        if pending.digest in underway or pending.digest in batch.seen:
            # What it taught, it taught the first time; since then others may have. But what
            # a deletion made forget, an event that was read again may have taught again.
            if event["type"] == DELETE:
                batch.identities.learn_broadcast(event, position)
            self._settlement.without_call(pending, Outcome.DUPLICATE)
            return
        if pending.redrive is None:
            batch.identities.resolve(event, position)
        else:
            batch.identities.resolve_late(
                event,
                position,
                is_learned=pending.redrive.is_resolved,
                user=pending.redrive.user,
            )
        fires = self._firing(pending)
        underway[pending.digest] = pending
        if not fires and pending.error is None:
            self._settlement.filtered(pending)
            return
        batch.events.append(pending)
        pending.requests = [None] * len(fires)
        if fires:
            pending.action = fires[0].action
        for place, subscription in enumerate(fires):
            share = shares.get(subscription.action)
            if share is None:
                share = shares[subscription.action] = Share(batch)
            share.events.append((pending, place, subscription.build))

    def _firing(self, pending: Pending) -> list[Subscription]:
        event = pending.event
        if event["type"] == DELETE:
            return [Subscription(DELETE, DELETE, bool, self._destination.delete)]
        try:
            return [s for s in self._destination.candidates(event["type"]) if s.matches(event)]
        except Exception as error:
            log.exception("trigger failed", origin=str(pending.origin))
            pending.error = EventError("internal-error", f"{type(error).__name__}: {error}")
            return []

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

    async def _hand_on(self, batch: Batch, shares: Mapping[str, Share]) -> None:
        if not batch.events:
            return
        batch.streams = len(shares)
        self._batches[batch.partition].append(batch)
        for action, share in shares.items():
            await self._streams[action].put(share)
        self._submit_mapped(batch.partition)

    async def _bury(self, unreadable: list[DeadLetter], progress: Progress) -> None:
        await self._dead_letters.bury(*unreadable)
        if not progress.is_abandoned():
            for letter in unreadable:
                self._metrics.outcome(Outcome.DEAD_LETTERED, letter.action, letter.reason)
            progress.finish(len(unreadable))

    # -- a per-action stream has mapped its share

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

    # -- an event is settled

    def settled(self, events: Sequence[Pending]) -> None:
        """Events have their outcome, durably."""
        for partition, settled in by_partition(events).items():
            underway = self._underway[partition]
            for pending in settled:
                # A duplicate is settled while the event that it repeats is still underway.
                if underway.get(pending.digest) is pending:
                    del underway[pending.digest]
            self._loaded(partition, -len(settled))

    def _done(self, chunk: Chunk, progress: Progress) -> None:
        self._tasks.start(self._acknowledge(chunk, progress))

    async def _acknowledge(self, chunk: Chunk, progress: Progress) -> None:
        for confirmation in progress.confirmations:
            await confirmation
        if not chunk.abandoned:
            self._progress.discard(progress)
            self._metrics.consumed(progress.total)
            chunk.ack(self._consumer())

    def _loaded(self, partition: int, change: int) -> None:
        self._unsettled[partition] += change
        self._on_load(partition, self._unsettled[partition])

    def unsettled(self) -> int:
        """Events taken and not yet settled."""
        return sum(self._unsettled.values())

    def abandon(self) -> None:
        """Forget everything that is underway: it belongs to another worker now."""
        for progress in self._progress:
            # What was settled stays settled, although its chunk will be read again.
            self._metrics.consumed(progress.total - progress.remaining)
        self._progress.clear()
        self._resolved.clear()
        self._underway.clear()
        self._unsettled.clear()
        self._batches.clear()


def _read(
    chunk: Chunk, progress: Progress
) -> tuple[list[tuple[int, Pending | Event]], list[DeadLetter]]:
    """The events of a chunk with their positions; those of notes are bare."""
    items: list[tuple[int, Pending | Event]] = []
    unreadable: list[DeadLetter] = []
    for record in chunk.records:
        try:
            # All of a record or nothing: what is buried must not go on as well.
            items.extend(_read_record(record, progress))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            unreadable.append(
                DeadLetter(
                    raw=record.value,
                    origin=Origin(record.topic, record.partition, record.offset),
                    stage=STAGE,
                    reason="unreadable-stage-record",
                    text=f"Only this program writes to {record.topic}, but not this: {error}",
                    key=record.key,
                    produced_at=record.timestamp / 1000,
                    action="invalid",
                )
            )
    return items, unreadable


def _read_record(record: Any, progress: Progress) -> list[tuple[int, Pending | Event]]:
    headers = dict(record.headers)
    source = headers[TOPIC_HEADER].decode(), int(headers[PARTITION_HEADER])
    topic, source_partition = source
    partition, position = record.partition, record.offset << ITEM_BITS
    items: list[tuple[int, Pending | Event]] = []
    for (kind, lane, offset, timestamp, *more), payload in packed.unpack(record.value):
        error = None
        redrive = Redrive(*more[0]) if more and more[0] else None
        raw = original = payload
        if len(more) > 1:
            # The event, and behind it what it was on the source topic (streams.source.ingest).
            raw, original = payload[: -more[1]], payload[-more[1] :]
        try:
            event = orjson.loads(raw)
            normalise(event, topic, source_partition, offset, timestamp / 1000)
        except Exception as failure:
            if kind == NOTE:
                # Where it is an event it has its outcome.
                position += 1
                continue
            error = _explain(raw, Origin(topic, source_partition, offset), failure)
            event = {"type": "invalid", "messageId": f"{topic}-{source_partition}-{offset}"}
        if kind != NOTE:
            event = Pending(
                event,
                original,
                source,
                offset,
                lane,
                partition,
                digest(event["messageId"]),
                timestamp / 1000,
                progress,
                event["type"],
                [],
                error,
                redrive=redrive,
            )
        items.append((position, event))
        position += 1
    return items


def _explain(raw: bytes, origin: Origin, failure: Exception) -> EventError:
    try:
        decode(raw, max_bytes=len(raw))
    except InvalidEvent as error:
        # What ingest skips (streams.source.head) may still be no JSON.
        return error
    # Ingest has validated it, so this is a mistake of ours: the event's end, not the
    # partition's.
    log.error("event cannot be read", origin=str(origin), exc_info=failure)
    return EventError("internal-error", f"{type(failure).__name__}: {failure}")
