"""A table's rows as its changelog topic has them, read from outside of the consumer group.

For whoever asks a question: it takes part in nothing, commits nothing, makes no topic, and
works whether workers run or not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from streams.errors import BrokerError

FETCH_BYTES: Final = 4 << 20
"""Of one partition at a time."""
SILENCE_SECONDS: Final = 30.0
"""How long a broker may send nothing before its end was reached."""

Take = Callable[[int, bytes, bytes | None], None]
"""``take(partition, key, value)``: a row; None as value is a row that was deleted."""


class Changelog:
    """A changelog topic. Use it as an asynchronous context manager.

    ``partitions`` is the number of its partitions, 0 where there is no such topic.
    """

    def __init__(
        self,
        topic: str,
        *,
        on_progress: Callable[[int, int], None] = lambda _done, _total: None,
        silence_seconds: float = SILENCE_SECONDS,
        **client_options: Any,
    ) -> None:
        """``on_progress(done, total)`` is told how many offsets of a reading are behind it.

        ``client_options`` go to aiokafka's clients (addresses, security).
        """
        self.partitions = 0
        self._topic = topic
        self._on_progress = on_progress
        self._silence_seconds = silence_seconds
        self._options = client_options
        self._consumer: Any = None
        self._complaints = _Complaints()

    async def __aenter__(self) -> Self:
        """Connect. Raises ``BrokerError``."""
        self._complaints.listen()
        try:
            self.partitions = await self._count_partitions()
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
        self._complaints.leave()

    async def _count_partitions(self) -> int:
        # Asking for a topic by its name would make it, where brokers are set so.
        admin = AIOKafkaAdminClient(**self._options)
        try:
            await admin.start()
            if self._topic not in await admin.list_topics():
                return 0
            described = await admin.describe_topics([self._topic])
            return len(described[0]["partitions"])
        finally:
            await admin.close()

    async def read(self, partitions: Iterable[int], take: Take) -> None:
        """Give every row of some partitions to ``take``, those of a partition in their order.

        Reads up to where the partitions end now, and perhaps a little further. A key comes
        as often as it was written and not compacted. Raises ``BrokerError``.
        """
        try:
            await self._read([TopicPartition(self._topic, number) for number in partitions], take)
        except KafkaError as error:
            raise self._failure(error) from error

    async def _read(self, tps: list[TopicPartition], take: Take) -> None:
        consumer = self._consumer
        consumer.assign(tps)
        starts = await consumer.beginning_offsets(tps)
        ends = await consumer.end_offsets(tps)
        for tp in tps:
            consumer.seek(tp, starts[tp])
        at, total = dict(starts), sum(ends[tp] - starts[tp] for tp in tps)
        left = {tp for tp in tps if starts[tp] < ends[tp]}
        moved = time.monotonic()
        while left:
            for tp, records in (await consumer.getmany(*left, timeout_ms=500)).items():
                for record in records:
                    take(tp.partition, record.key, record.value)
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
