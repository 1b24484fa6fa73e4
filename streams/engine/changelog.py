"""A table's rows as its changelog topic has them, read from outside of the consumer group."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from streams.engine.reader import TopicReader

Take = Callable[[int, bytes, bytes | None], None]
"""``take(partition, key, value)``: a row; None as value is a row that was deleted."""


class Changelog(TopicReader):
    """A changelog topic. Use it as an asynchronous context manager."""

    async def read(self, partitions: Iterable[int], take: Take) -> None:
        """Give every row of some partitions to ``take``, those of a partition in their order.

        Reads up to where the partitions end now, and perhaps a little further. A key comes
        as often as it was written and not compacted. Raises ``BrokerError``.
        """
        async for records in self.batches(partitions):
            for record in records:
                take(record.partition, record.key, record.value)
