"""The dead-letter topic, for people: what is in it, and sending it through again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from streams.dead_letters.letter import Letter, LetterId, Mark, read
from streams.dead_letters.selection import Collected, Selection
from streams.engine.producer import BatchProducer, Record
from streams.engine.reader import TopicReader
from streams.errors import BrokerError, StreamsError, TooLargeError
from streams.settings import Settings, at_fault

BATCH_BYTES: Final = 4 << 20
"""Letters are redriven and marked in groups of about this size."""
BATCH_LETTERS: Final = 500
MAX_RECORD_BYTES: Final = 900_000
"""Largest batch produced: below the 1 MiB that brokers accept unless told otherwise."""


@asynccontextmanager
async def opened(settings: Settings, **options: Any) -> AsyncIterator[TopicReader]:
    """The dead-letter topic, connected. ``options`` go to :class:`TopicReader`.

    Raises ``StreamsError`` when there is no such topic, and ``BrokerError``, each naming the
    setting to look at.
    """
    try:
        async with TopicReader(
            settings.dlq_topic, **options, **settings.kafka_client_options()
        ) as reader:
            if not reader.partitions:
                raise StreamsError(
                    f"STREAMS_DLQ_TOPIC={settings.dlq_topic}: there is no such topic, or this "
                    f"client may not see it (STREAMS_APP_ID={settings.streams_app_id})"
                )
            yield reader
    except BrokerError as error:
        raise BrokerError(f"{at_fault(settings, str(error))}: {error}") from error


class Archive:
    """Reads the dead-letter topic from outside of any group."""

    def __init__(self, reader: TopicReader) -> None:
        """``reader`` is of the dead-letter topic, and connected."""
        self._reader = reader

    async def collect(self, selection: Selection, *, values: bool = False) -> Collected:
        """The letters of a selection, without their values unless asked for.

        A letter's marks come after it in its partition, so reading goes on to the end.
        """
        starts: dict[int, int] = {}
        partitions = set(range(self._reader.partitions))
        if selection.since is not None:
            starts = await self._reader.offsets_at(selection.since / 1000)
            partitions &= starts.keys()
        if selection.ids:
            first: dict[int, int] = {}
            for id in selection.ids:
                first[id.partition] = min(id.offset, first.get(id.partition, id.offset))
            partitions &= first.keys()
            starts = {p: max(first[p], starts.get(p, 0)) for p in partitions}
        return await self._collect(selection, sorted(partitions), starts, values=values)

    async def _collect(
        self,
        selection: Selection,
        partitions: Sequence[int],
        starts: Mapping[int, int],
        *,
        values: bool,
    ) -> Collected:
        collected = Collected(selection)
        async for records in self._reader.batches(partitions, starts):
            for record in records:
                if record.offset < starts.get(record.partition, 0):
                    continue
                found = read(record)
                if isinstance(found, Letter) and not values:
                    found = found.without_value()
                collected.take(found)
        return collected

    async def newest(self, count: int) -> Collected:
        """The letters among the newest ``count`` records of each partition, without values."""
        ends = await self._reader.ends()
        starts = {partition: max(end - count, 0) for partition, end in ends.items()}
        return await self._collect(Selection(), sorted(ends), starts, values=False)

    async def values(self, letters: Iterable[Letter]) -> AsyncIterator[list[Letter]]:
        """The same letters with their values, some at a time; a partition's in its order."""
        wanted: dict[int, dict[int, Letter]] = defaultdict(dict)
        for letter in letters:
            wanted[letter.id.partition][letter.id.offset] = letter
        starts = {partition: min(offsets) for partition, offsets in wanted.items()}
        batch: list[Letter] = []
        size = 0
        async for records in self._reader.batches(sorted(wanted), starts):
            for record in records:
                known = wanted[record.partition].pop(record.offset, None)
                found = read(record) if known is not None else None
                if known is None or not isinstance(found, Letter):
                    continue
                batch.append(found.redriven(known.redriven_ms))
                size += found.size
                if len(batch) >= BATCH_LETTERS or size >= BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
            if not any(wanted.values()):
                break
        if batch:
            yield batch


@dataclass(slots=True)
class Plan:
    """What would be redriven, and what not, and why."""

    letters: list[Letter] = field(default_factory=list)
    refused: list[tuple[Letter, str]] = field(default_factory=list)
    """Letters that cannot be redriven, with the reasons."""
    before: list[Letter] = field(default_factory=list)
    """Letters that were redriven before."""


def plan(letters: Iterable[Letter], partitions: dict[str, int], *, again: bool) -> Plan:
    """Sort out what can be redriven. ``partitions``: how many each topic has, 0 for none.

    Letters that were redriven before are left out unless ``again``.
    """
    made = Plan()
    for letter in letters:
        topic, partition, _ = letter.origin
        why_not = letter.why_not()
        if letter.redriven_ms and not again:
            made.before.append(letter)
        elif why_not is not None:
            made.refused.append((letter, why_not))
        elif partition >= partitions.get(topic, 0):
            made.refused.append((letter, f"gone: there is no {topic}[{partition}] any more"))
        else:
            made.letters.append(letter)
    return made


class Redriver:
    """Sends letters through again: to the partition they came from, each with a mark.

    The mark is written when the record is confirmed. A crash in between leaves a letter
    that was redriven without its mark; if it is redriven again, it is a duplicate.
    """

    def __init__(self, producer: BatchProducer, dlq_topic: str) -> None:
        self._producer = producer
        self._dlq_topic = dlq_topic

    async def redrive(self, letters: Sequence[Letter]) -> list[tuple[Letter, str]]:
        """Produce letters that have their values, in order; gives those that were refused.

        Raises ``BrokerError`` when Kafka refuses for another reason than the size.
        """
        sources: dict[tuple[str, int], list[Letter]] = defaultdict(list)
        for letter in letters:
            sources[letter.origin.topic, letter.origin.partition].append(letter)
        refused = []
        for (topic, partition), group in sources.items():
            try:
                await self._produce(topic, partition, group)
            except TooLargeError:
                # What was taken before the one at fault is a duplicate the second time.
                for letter in group:
                    try:
                        await self._produce(topic, partition, [letter])
                    except TooLargeError:
                        refused.append((letter, f"too large: {topic} takes no {letter.size} bytes"))
        return refused

    async def _produce(self, topic: str, partition: int, letters: Sequence[Letter]) -> None:
        records = [Record(x.key, x.value, x.next_headers()) for x in letters]
        await (await self._producer.send(topic, partition, records))
        marks: dict[int, list[Record]] = defaultdict(list)
        for letter in letters:
            marks[letter.id.partition].append(
                Record(str(letter.id).encode(), b"redriven", Mark.headers(letter.id))
            )
        for number, marked in marks.items():
            await (await self._producer.send(self._dlq_topic, number, marked))


async def redrive_all(
    archive: Archive, settings: Settings, letters: Sequence[Letter]
) -> tuple[int, list[tuple[Letter, str]]]:
    """Redrive letters that :func:`plan` lets pass; gives how many were, and the refused.

    Raises ``BrokerError``.
    """
    producer = BatchProducer(max_batch_bytes=MAX_RECORD_BYTES, **settings.kafka_client_options())
    await producer.start()
    try:
        redriver = Redriver(producer, settings.dlq_topic)
        refused: list[tuple[Letter, str]] = []
        done = 0
        async for batch in archive.values(letters):
            refused += await redriver.redrive(batch)
            done += len(batch)
        return done - len(refused), refused
    finally:
        await producer.stop()


def by_reason(refused: Iterable[tuple[Letter, str]]) -> Counter[str]:
    """Refused letters by the word that their reason begins with."""
    return Counter(why.partition(":")[0] for _, why in refused)


def missing(ids: Iterable[LetterId], letters: Iterable[Letter]) -> list[LetterId]:
    """The ids that no letter has."""
    return sorted(set(ids) - {letter.id for letter in letters})
