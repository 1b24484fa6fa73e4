"""What a consumer group has taken from a topic of packed events, until it is acknowledged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog

from streams.batching.pending import Pending, Progress, by_partition
from streams.dead_letters.producer import DeadLetters
from streams.dead_letters.record import DeadLetter
from streams.dead_letters.redrive import Redrive
from streams.delivery.seen import SeenTable, digest
from streams.engine import packed
from streams.engine.chunks import Chunk
from streams.engine.tasks import Tasks
from streams.errors import EventError, InvalidEvent
from streams.events import Event, Origin
from streams.identity.rules import put_in
from streams.outcomes import Outcome
from streams.source.decode import decode
from streams.source.ingest import NOTE, PARTITION_HEADER, TOPIC_HEADER
from streams.source.normalise import normalise
from streams.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

ITEM_BITS: Final = 20
"""A position is the record's offset and, in its low bits, the item's place in the record."""

STAGE: Final = "resolve"


@dataclass(slots=True, eq=False)
class Taken:
    """The events of one chunk."""

    partition: int
    items: list[tuple[int, Pending | Event]]
    """With their positions; those of notes are bare events."""
    events: list[Pending]
    """Those of ``items`` that need an outcome here."""
    progress: Progress
    seen: Container[bytes]
    """Digests of those that had their outcome before."""
    unreadable: list[DeadLetter]


class Intake:
    """The events of a packed topic, from chunk to acknowledgement.

    Guarantees: an offset is acknowledged when every event up to it has its outcome, durably;
    what was settled by a worker that loses its partition stays counted.
    """

    def __init__(
        self,
        *,
        seen: SeenTable,
        dead_letters: DeadLetters,
        metrics: Metrics,
        tasks: Tasks,
        consumer: Callable[[], Any],
        on_load: Callable[[int, int], None],
        passes_on: bool = False,
    ) -> None:
        """``consumer`` gives the Faust consumer that chunks are acknowledged to.

        ``on_load(partition, unsettled)`` is told how many events of a partition wait.
        ``passes_on``: others bring the events to their destinations, and know whether what
        is redriven was delivered since.
        """
        self._seen = seen
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._tasks = tasks
        self._consumer = consumer
        self._on_load = on_load
        self._passes_on = passes_on
        self._underway: dict[int, dict[bytes, Pending]] = defaultdict(dict)
        self._unsettled: dict[int, int] = defaultdict(int)
        self._progress: set[Progress] = set()

    def take(self, chunk: Chunk) -> Taken:
        """Read the events of a chunk. Call :meth:`taken` when they are on their way."""
        progress = Progress(
            0,
            on_done=lambda: self._done(chunk, progress),
            is_abandoned=lambda: chunk.abandoned,
        )
        items, unreadable = _read(chunk, progress)
        events = [item for _, item in items if isinstance(item, Pending)]
        progress.expect(len(events) + len(unreadable))
        self._progress.add(progress)
        self._loaded(chunk.partition, len(events))
        seen = self._seen.held(chunk.partition, [event.digest for event in events])
        return Taken(chunk.partition, items, events, progress, seen, unreadable)

    def is_repeated(self, event: Pending, taken: Taken) -> bool:
        """Whether an event's messageId had its outcome before, or is on its way to it."""
        if self._passes_on and event.redrive is not None and event.redrive.is_resolved:
            return False
        underway = self._underway[event.partition]
        if event.digest in underway or event.digest in taken.seen:
            return True
        underway[event.digest] = event
        return False

    def taken(self, taken: Taken) -> None:
        """All events of a chunk are on their way to an outcome."""
        if taken.unreadable:
            self._tasks.start(self._bury(taken.unreadable, taken.progress))
        elif not taken.events:
            taken.progress.finish(0)

    async def _bury(self, unreadable: list[DeadLetter], progress: Progress) -> None:
        await self._dead_letters.bury(*unreadable)
        if not progress.is_abandoned():
            for letter in unreadable:
                self._metrics.outcome(Outcome.DEAD_LETTERED, letter.action, letter.reason)
            progress.finish(len(unreadable))

    def settled(self, events: Sequence[Pending]) -> None:
        """Events have their outcome, durably."""
        for partition, settled in by_partition(events).items():
            underway = self._underway[partition]
            for event in settled:
                # A duplicate is settled while the event that it repeats is still underway.
                if underway.get(event.digest) is event:
                    del underway[event.digest]
            self._loaded(partition, -len(settled))

    def _done(self, chunk: Chunk, progress: Progress) -> None:
        self._tasks.start(self._acknowledge(chunk, progress))

    async def _acknowledge(self, chunk: Chunk, progress: Progress) -> None:
        for confirmation in progress.confirmations:
            await confirmation
        if not chunk.abandoned:
            self._progress.discard(progress)
            self._metrics.consumed(progress.total - progress.passed_on)
            chunk.ack(self._consumer())

    def _loaded(self, partition: int, change: int) -> None:
        self._unsettled[partition] += change
        self._on_load(partition, self._unsettled[partition])

    def unsettled(self) -> int:
        """Events taken and not yet settled."""
        return sum(self._unsettled.values())

    def actions(self) -> Counter[str]:
        """How many of them there are of each action, but for duplicates."""
        underway = self._underway.values()
        return Counter(event.action for events in underway for event in events.values())

    def abandon(self) -> None:
        """Forget everything that is underway: it belongs to another worker now."""
        for progress in self._progress:
            # What was settled stays settled, although its chunk will be read again.
            self._metrics.consumed(progress.total - progress.remaining - progress.passed_on)
        self._progress.clear()
        self._underway.clear()
        self._unsettled.clear()


def _read(
    chunk: Chunk, progress: Progress
) -> tuple[list[tuple[int, Pending | Event]], list[DeadLetter]]:
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
        if len(more) > 1 and more[1]:
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
            if len(more) > 2:
                put_in(event, *more[2:])
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
                json=None if raw is original else raw,
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
