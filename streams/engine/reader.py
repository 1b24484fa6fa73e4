"""A topic read to its end from outside of the consumer group.

For whoever asks a question: it takes part in nothing, commits nothing, makes no topic, and
works whether workers run or not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from streams.errors import BrokerError

FETCH_BYTES: Final = 4 << 20
"""Of one partition at a time."""
SILENCE_SECONDS: Final = 30.0
"""How long a broker may send nothing before its end was reached."""


class TopicReader:
    """A topic. Use it as an asynchronous context manager.

    ``partitions`` is the number of its partitions, 0 where there is no such topic.
    """

    def __init__(
        self,
        topic: str,
        *,
        on_progress: Callable[[int, int], None] = lambda _done, _total: None,
        silence_seconds: float = SILENCE_SECONDS,
        hears_log: bool = True,
        **client_options: Any,
    ) -> None:
        """``on_progress(done, total)`` is told how many offsets of a reading are behind it.

        ``hears_log``: what the client logs is kept for errors and shown to no one; not in a
        process that has other clients.

        ``client_options`` go to aiokafka's clients (addresses, security).
        """
        self.partitions = 0
        self._topic = topic
        self._on_progress = on_progress
        self._silence_seconds = silence_seconds
        self._options = client_options
        self._consumer: Any = None
        self._hears_log = hears_log
        self._complaints = _Complaints()

    async def __aenter__(self) -> Self:
        """Connect. Raises ``BrokerError``."""
        if self._hears_log:
            self._complaints.listen()
        try:
            self.partitions = (await self._count_partitions([self._topic]))[self._topic]
            if not self.partitions:
                return self
            self._consumer = AIOKafkaConsumer(
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=FETCH_BYTES,
                fetch_max_wait_ms=100,
                **self._options,
            )
            await self._consumer.start()
        except KafkaError as error:
            await self.__aexit__()
            raise self._failure(error) from error
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
        if self._hears_log:
            self._complaints.leave()

    async def partitions_of(self, topics: Iterable[str]) -> dict[str, int]:
        """How many partitions other topics have; 0 where there is none. Raises ``BrokerError``."""
        try:
            return await self._count_partitions(list(topics))
        except KafkaError as error:
            raise self._failure(error) from error

    async def _count_partitions(self, topics: list[str]) -> dict[str, int]:
        # Asking for a topic by its name would make it, where brokers are set so.
        admin = AIOKafkaAdminClient(**self._options)
        try:
            await admin.start()
            existing = set(await admin.list_topics())
            found = [topic for topic in topics if topic in existing]
            described = await admin.describe_topics(found) if found else []
            counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
            return {topic: counts.get(topic, 0) for topic in topics}
        finally:
            await admin.close()

    async def offsets_at(self, seconds: float) -> dict[int, int]:
        """For each partition the first offset that is not older than a time.

        Partitions that hold nothing so new are left out. Raises ``BrokerError``.
        """
        tps = self._all(range(self.partitions))
        try:
            found = await self._consumer.offsets_for_times(
                dict.fromkeys(tps, max(int(seconds * 1000), 0))
            )
        except KafkaError as error:
            raise self._failure(error) from error
        # The embedded broker says -1 where Apache Kafka says nothing.
        return {tp.partition: at.offset for tp, at in found.items() if at and at.timestamp >= 0}

    async def ends(self) -> dict[int, int]:
        """Where each partition ends now. Raises ``BrokerError``."""
        try:
            found = await self._consumer.end_offsets(self._all(range(self.partitions)))
        except KafkaError as error:
            raise self._failure(error) from error
        return {tp.partition: end for tp, end in found.items()}

    async def batches(
        self, partitions: Iterable[int], starts: Mapping[int, int] | None = None
    ) -> AsyncIterator[Sequence[Any]]:
        """The records of some partitions as the client delivers them: some of one at a time.

        From ``starts``, by partition (or their beginning), up to where they end now, and
        perhaps a little further; perhaps from a little before. Those of a partition come in
        their order. Raises ``BrokerError``.
        """
        try:
            async for records in self._read(self._all(partitions), starts or {}):
                yield records
        except KafkaError as error:
            raise self._failure(error) from error

    def _all(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in partitions]

    async def _read(
        self, tps: list[TopicPartition], wanted: Mapping[int, int]
    ) -> AsyncIterator[Sequence[Any]]:
        consumer = self._consumer
        consumer.assign(tps)
        starts = await consumer.beginning_offsets(tps)
        ends = await consumer.end_offsets(tps)
        for tp in tps:
            # The embedded broker says that a topic ends within its last batch: the last
            # record before that brings the batch along.
            latest = max(ends[tp] - 1, starts[tp])
            starts[tp] = min(max(wanted.get(tp.partition, 0), starts[tp]), latest)
            consumer.seek(tp, starts[tp])
        at, total = dict(starts), sum(ends[tp] - starts[tp] for tp in tps)
        left = {tp for tp in tps if starts[tp] < ends[tp]}
        moved = time.monotonic()
        while left:
            for records in (await consumer.getmany(*left, timeout_ms=500)).values():
                yield records
            before = sum(at.values())
            # Not by the records: the last ones may have been compacted away.
            at |= {tp: await consumer.position(tp) for tp in left}
            left = {tp for tp in left if at[tp] < ends[tp]}
            if sum(at.values()) != before:
                moved = time.monotonic()
                self._on_progress(sum(min(at[tp], ends[tp]) - starts[tp] for tp in tps), total)
            elif time.monotonic() - moved > self._silence_seconds:
                tp = min(left)
                raise self._failure(
                    f"{tp.topic}[{tp.partition}] gives nothing after offset {at[tp]}, "
                    f"although it ends at {ends[tp]}"
                )

    def _failure(self, error: KafkaError | str) -> BrokerError:
        said, text = self._complaints.last, str(error)
        if said and isinstance(error, KafkaConnectionError):
            return BrokerError(said)
        return BrokerError(f"{text} ({said})" if said else text)


class _Complaints(logging.Handler):
    """Keeps what the client logs. It says there why it cannot connect, and raises less."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._logger = logging.getLogger("aiokafka")
        self._propagated = self._logger.propagate

    def listen(self) -> None:
        """Hear the client's log, and keep it from whoever else would show it."""
        self._propagated, self._logger.propagate = self._logger.propagate, False
        self._logger.addHandler(self)

    def leave(self) -> None:
        """Give the log back."""
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagated

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()
