"""The first stage: from the source topic to the person-keyed stage topic.

Takes records with whatever key their producer chose, in any order of people, and hands
on what is a Segment event, keyed by person. What is not becomes a dead letter here, with
its neighbours unaffected.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import defaultdict, deque
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from streams.dead_letters.producer import DeadLetters
from streams.dead_letters.record import DeadLetter
from streams.dead_letters.redrive import Place, Redrive
from streams.dead_letters.redrive import read as read_redrive
from streams.engine import packed
from streams.engine.chunks import Chunk
from streams.engine.packed import Header
from streams.engine.producer import BatchProducer, Record
from streams.engine.tasks import Tasks
from streams.errors import InvalidEvent
from streams.events import SOURCE_HEADER, STAMP_BYTES, Origin
from streams.identity.rules import BROADCAST
from streams.outcomes import Outcome
from streams.source.head import read_head
from streams.source.integrations import enabled
from streams.source.normalise import default_id, person_key
from streams.source.unpack import Unpacker
from streams.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

SourcePartition = tuple[str, int]

STAGE: Final = "ingest"
CHUNKS_AHEAD: Final = 8
"""Chunks whose confirmation may be outstanding."""
PACK_BYTES: Final = 256 * 1024
"""Size of a stage record that carries several events."""

EVENT: Final = 0
"""Item of a stage record: an event of this partition's people."""
NOTE: Final = 1
"""Item of a stage record: an event that another partition delivers, to be known here too."""

MAX_ITEM_BYTES: Final = 900_000
"""Largest item that carries the original value besides the event: it must fit into a record."""

TOPIC_HEADER: Final = "source.topic"
PARTITION_HEADER: Final = "source.partition"


@dataclass(slots=True)
class _Taken:
    """What the records of a chunk come to."""

    items: dict[int, list[tuple[Header, bytes]]] = field(default_factory=lambda: defaultdict(list))
    """Stage items by partition."""
    letters: list[DeadLetter] = field(default_factory=list)
    filtered: list[str] = field(default_factory=list)
    """Types of the events that are not meant for the destination."""


class _Unpacked:
    """An event that was in a record, as if it were a record itself."""

    def __init__(self, record: Any, value: bytes, original: bytes | None = None) -> None:
        """``original``: the record's value, if it held no other event."""
        self.topic, self.partition, self.offset = _origin(record)
        self.timestamp, self.key, self.headers = record.timestamp, record.key, record.headers
        self.value = value
        self.original = original


class Ingest:
    """Decode, validate, filter, re-key.

    Guarantees: the events of one source partition keep their order in each stage
    partition; a chunk is acknowledged when all of its events are confirmed there or in
    the dead-letter topic.
    """

    def __init__(
        self,
        *,
        producer: BatchProducer,
        stage_topic: str,
        partitions: int,
        max_event_bytes: int,
        integrations: Sequence[frozenset[str]],
        dead_letters: DeadLetters,
        metrics: Metrics,
        tasks: Tasks,
        consumer: Any,
        unpacker: Unpacker,
    ) -> None:
        """``integrations``: the names that each destination goes by.

        ``consumer`` gives the Faust consumer that chunks are acknowledged to.
        """
        self._producer = producer
        self._stage_topic = stage_topic
        self._partitions = partitions
        self._max_event_bytes = max_event_bytes
        self._integrations = integrations
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._tasks = tasks
        self._consumer = consumer
        self._unpacker = unpacker
        self._room = asyncio.Semaphore(CHUNKS_AHEAD)
        self._held: dict[SourcePartition, deque[Chunk]] = {}
        """Chunks of partitions that wait for a schema."""

    async def take(self, chunk: Chunk) -> None:
        """Hand on the records of a chunk. Returns when the next chunk may come.

        A partition whose schemas have to be fetched waits for them by itself, paused.
        """
        if chunk.tp in self._held:
            self._held[chunk.tp].append(chunk)
        elif missing := self._missing(chunk):
            self._held[chunk.tp] = held = deque([chunk])
            self._consumer().pause_partitions({chunk.tp})
            self._tasks.start(self._release(chunk.tp, held, missing))
        else:
            await self._hand_on(chunk)

    def _missing(self, chunk: Chunk) -> set[int]:
        return self._unpacker.missing(record.value for record in chunk.records)

    async def _release(self, tp: SourcePartition, held: deque[Chunk], missing: set[int]) -> None:
        while held:
            chunk = held[0]
            if not chunk.abandoned:
                await self._unpacker.fetch(missing)
                await self._hand_on(chunk)
            held.popleft()
            missing = self._missing(held[0]) if held else set()
        if self._held.get(tp) is held:
            del self._held[tp]
            self._consumer().resume_partitions({tp})

    def abandon(self) -> None:
        """Forget what waits: it belongs to another worker now."""
        self._held.clear()

    async def _hand_on(self, chunk: Chunk) -> None:
        taken = _Taken()
        self._sort(chunk.records, taken)
        await self._room.acquire()
        if chunk.abandoned:
            # Its next owner sends it, and what comes after it: this would be out of order.
            self._room.release()
            return
        try:
            sent = await self._send(chunk, taken.items)
        except BaseException:
            self._room.release()
            raise
        self._tasks.start(self._finish(chunk, sent, taken.letters, taken.filtered))

    def _sort(self, records: Iterable[Any], taken: _Taken, *, unpacked: bool = False) -> None:
        """Put records where they belong. ``unpacked``: they are ``_Unpacked`` ones."""
        items, letters = taken.items, taken.letters
        max_bytes, partitions = self._max_event_bytes, self._partitions
        for record in records:
            raw = record.value
            late = read_redrive(record.headers) if record.headers else None
            try:
                # The client's part of it was measured before more was written into it.
                added = (
                    STAMP_BYTES if unpacked or (record.headers and (late or _source(record))) else 0
                )
                head = read_head(raw, max_bytes=max_bytes + added)
                key = person_key(head.anonymousId, head.userId)
                home = partition_of(key, partitions)
            except InvalidEvent as error:
                self._sort(self._unpacked(record, error, late, letters), taken, unpacked=True)
                continue
            except Exception as error:
                letters.append(_dead_letter(record, _internal(record, error), late))
                continue
            if head.integrations is not None and not self._is_wanted(head.integrations):
                taken.filtered.append(head.type)
                continue
            if late is not None or unpacked:
                items[home].append(_unusual(record, key, late))
                if late is not None and late[0].is_resolved:
                    # Of an alias or a deletion every partition has heard at its time.
                    continue
            else:
                items[home].append(((EVENT, key, record.offset, record.timestamp), raw))
            if head.type in BROADCAST:
                # Every partition may hold events under the id that it is about. Sent with
                # them, in their order, it is known to each exactly from where it happened.
                note = ((NOTE, key, record.offset, record.timestamp), raw)
                for partition in range(partitions):
                    if partition != home:
                        items[partition].append(note)

    def _unpacked(
        self,
        record: Any,
        failure: InvalidEvent,
        late: tuple[Redrive, Place] | None,
        letters: list[DeadLetter],
    ) -> list[_Unpacked]:
        """The events in a record that is none as it stands; what is none goes to ``letters``."""
        origin = late[1].origin if late else _origin(record)
        try:
            found = self._unpacker.events(record.value, failure, default_id(*origin))
        except InvalidEvent as error:
            letters.append(_dead_letter(record, error, late))
            return []
        except Exception as error:
            letters.append(_dead_letter(record, _internal(record, error), late))
            return []
        if len(found) == 1:
            [(_, event)] = found
            if isinstance(event, InvalidEvent):
                letters.append(_dead_letter(record, event, late))
                return []
            return [_Unpacked(record, event, record.value)]
        events = []
        for raw, event in found:
            if isinstance(event, InvalidEvent):
                # The others go on: only this one is to be sent through again.
                letters.append(_dead_letter(_Unpacked(record, raw), event, late))
            else:
                events.append(_Unpacked(record, event))
        return events

    def _is_wanted(self, integrations: dict[str, Any]) -> bool:
        return any(enabled(integrations, names) for names in self._integrations)

    async def _send(
        self, chunk: Chunk, items: dict[int, list[tuple[Header, bytes]]]
    ) -> Sequence[Awaitable[int]]:
        headers = [
            (TOPIC_HEADER, chunk.topic.encode()),
            (PARTITION_HEADER, str(chunk.partition).encode()),
        ]
        return await asyncio.gather(
            *(
                self._producer.send(self._stage_topic, partition, list(_packed(part, headers)))
                for partition, part in items.items()
            )
        )

    async def _finish(
        self,
        chunk: Chunk,
        sent: Sequence[Awaitable[int]],
        letters: list[DeadLetter],
        filtered: list[str],
    ) -> None:
        try:
            if letters:
                await self._dead_letters.bury(*letters)
            for confirmation in sent:
                await confirmation
        finally:
            self._room.release()
        if chunk.abandoned:
            return
        # What was handed on is counted where its outcome is known.
        self._metrics.consumed(len(letters) + len(filtered))
        for letter in letters:
            self._metrics.outcome(Outcome.DEAD_LETTERED, letter.action, letter.reason)
        for action in filtered:
            self._metrics.outcome(Outcome.FILTERED, action, "integrations")
        chunk.ack(self._consumer())


def partition_of(key: str, partitions: int) -> int:
    """The stage partition of a person."""
    return zlib.crc32(key.encode()) % partitions


def _packed(
    items: Iterable[tuple[Header, bytes]], headers: Sequence[tuple[str, bytes]]
) -> Iterable[Record]:
    for heads, payloads in packed.split(items, PACK_BYTES):
        yield Record(None, packed.pack(heads, payloads), headers)


def _origin(record: Any) -> Origin:
    return Origin(record.topic, record.partition, record.offset)


def _source(record: Any) -> str:
    """The source that the gateway names; empty for what came another way."""
    for name, value in record.headers:
        if name == SOURCE_HEADER:
            return str(value, "utf-8", "replace") if value else ""
    return ""


def _unusual(record: Any, key: str, late: tuple[Redrive, Place] | None) -> tuple[Header, bytes]:
    """The item of an event that is redriven, or was something else on the source topic."""
    offset, timestamp, redrive = record.offset, record.timestamp, None
    if late is not None:
        # Another try of an event that others have overtaken.
        redrive, place = late
        if place.origin[:2] == (record.topic, record.partition):
            # A messageId or a timestamp that is made from these stays what it was.
            offset, timestamp = place.origin.offset, place.produced_ms
    header = EVENT, key, offset, timestamp, redrive and tuple(redrive)
    original = getattr(record, "original", None)
    if original is None or len(record.value) + len(original) > MAX_ITEM_BYTES:
        return header, record.value
    # A dead letter further on is to hold what the producer sent.
    return (*header, len(original)), record.value + original


def _internal(record: Any, error: Exception) -> InvalidEvent:
    log.error("event cannot be read", origin=str(_origin(record)), exc_info=error)
    return InvalidEvent("internal-error", f"{type(error).__name__}: {error}")


def _dead_letter(
    record: Any, error: InvalidEvent, late: tuple[Redrive, Place] | None
) -> DeadLetter:
    redrive, place = late or (None, Place(_origin(record), record.timestamp))
    return DeadLetter(
        raw=record.value,
        origin=place.origin,
        stage=STAGE,
        reason=error.reason,
        text=str(error),
        key=record.key,
        produced_at=place.produced_ms / 1000,
        action="invalid",
        source=_source(record),
        redrive=redrive,
        is_resolved=redrive is not None and redrive.is_resolved,
        user=redrive and redrive.user,
    )
