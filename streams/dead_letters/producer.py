"""Puts dead letters on their topic."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence

import structlog

from streams.dead_letters.record import DeadLetter
from streams.engine.producer import BatchProducer, Record
from streams.errors import TooLargeError

log = structlog.get_logger(__name__)


class DeadLetters:
    """The dead-letter topic."""

    def __init__(self, producer: BatchProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def bury(self, *letters: DeadLetter) -> None:
        """Produce dead letters; returns when they are confirmed. Raises ``BrokerError``.

        Letters of one person go to one partition, in order. Where the topic takes less
        than the source topic does, a letter that is too large keeps the beginning of its
        value, and says so.
        """
        for letter in letters:
            log.warning(
                "dead letter",
                origin=str(letter.origin),
                stage=letter.stage,
                reason=letter.reason,
                action=letter.action or None,
                status=letter.status or None,
            )
        try:
            await self._produce(letters)
        except TooLargeError:
            for letter in letters:
                await self._bury_alone(letter)

    async def _bury_alone(self, letter: DeadLetter) -> None:
        """As one of several that were refused together, of which it may be the one at fault."""
        try:
            await self._produce([letter])
        except TooLargeError:
            log.warning(
                "dead letter is too large for its topic",
                topic=self._topic,
                origin=str(letter.origin),
            )
            await self._produce([letter.truncated()])

    async def _produce(self, letters: Sequence[DeadLetter]) -> None:
        partitions = await self._producer.partitions(self._topic)
        records: dict[int, list[Record]] = defaultdict(list)
        for letter in letters:
            record = letter.record()
            records[zlib.crc32(record.key or b"") % partitions].append(record)
        await self._confirmed(records)

    async def _confirmed(self, records: dict[int, list[Record]]) -> None:
        sent: Sequence[object] = [
            await self._producer.send(self._topic, partition, batch)
            for partition, batch in records.items()
        ]
        for confirmation in sent:
            await confirmation  # type: ignore[misc]
