"""How far a consumer group is behind on some topics, asked from outside of it."""

from __future__ import annotations

from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.errors import BrokerError


class GroupLag:
    """The offsets of a group. Use it as an asynchronous context manager.

    It joins nothing and commits nothing. The embedded broker cannot answer
    (``streams/dev/broker.py``).
    """

    def __init__(self, group: str, **client_options: Any) -> None:
        """``client_options`` go to aiokafka's clients (addresses, security)."""
        self._group = group
        self._options = client_options
        self._admin: Any = None
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        """Connect. Raises ``BrokerError``."""
        try:
            self._admin = AIOKafkaAdminClient(**self._options)
            await self._admin.start()
            self._consumer = AIOKafkaConsumer(
                group_id=None, enable_auto_commit=False, **self._options
            )
            await self._consumer.start()
        except KafkaError as error:
            await self.__aexit__()
            raise BrokerError(f"cannot ask for offsets: {error}") from error
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
        if self._admin is not None:
            await self._admin.close()

    async def look(self, *topics: str) -> dict[str, tuple[int, int] | None]:
        """(end, committed) of each topic, summed over its partitions.

        None for a topic of which the group has read nothing, or that does not exist. A
        partition that it has read nothing of counts from its beginning.
        """
        try:
            committed = await self._admin.list_consumer_group_offsets(self._group)
            known = [topic for topic in topics if any(tp.topic == topic for tp in committed)]
            described = await self._admin.describe_topics(known) if known else []
            tps = [
                TopicPartition(topic["topic"], partition["partition"])
                for topic in described
                for partition in topic["partitions"]
            ]
            ends = await self._consumer.end_offsets(tps) if tps else {}
            unread = [tp for tp in tps if tp not in committed or committed[tp].offset < 0]
            starts = await self._consumer.beginning_offsets(unread) if unread else {}
        except KafkaError as error:
            raise BrokerError(f"cannot ask for the offsets of {self._group}: {error}") from error
        found: dict[str, tuple[int, int] | None] = dict.fromkeys(topics)
        for topic in known:
            own = [tp for tp in tps if tp.topic == topic]
            at = [starts[tp] if tp in starts else committed[tp].offset for tp in own]
            found[topic] = sum(ends[tp] for tp in own), sum(at)
        return found
