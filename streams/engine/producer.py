"""Batches of records whose confirmation is awaited.

``await topic.send()`` in Faust only enqueues, and a failed produce is logged while the
commit goes on. Here every send returns a future that is done when all in-sync replicas
have the records; whoever acknowledges waits for it first.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    UnknownError,
)

from streams.errors import BrokerError, TooLargeError

TOO_LARGE = (MessageSizeTooLargeError, RecordTooLargeError, RecordListTooLargeError)

log = structlog.get_logger(__name__)


class Record(NamedTuple):
    """One record to produce. ``timestamp`` in milliseconds, None for the broker's choice."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int | None = None


class BatchProducer:
    """An idempotent Kafka producer that works in batches and never gives up on one.

    Guarantees: the records of one partition arrive in the order of the calls, once each,
    for as long as the process lives; a broker that is away is waited for.
    """

    def __init__(
        self,
        *,
        max_batch_bytes: int,
        may_send: Callable[[], bool] = lambda: True,
        **client_options: Any,
    ) -> None:
        """``max_batch_bytes``: largest batch, below the broker's ``message.max.bytes``.

        ``may_send()`` is asked before every request to the broker; once it says no, what is
        left is not sent any more (:mod:`streams.engine.lease`).
        ``client_options`` go to :class:`aiokafka.AIOKafkaProducer` (addresses, security).
        """
        self._options = {
            **client_options,
            "acks": "all",
            "max_batch_size": max_batch_bytes,
            "max_request_size": 2 * max_batch_bytes,
        }
        self._may_send = may_send
        self._is_over = asyncio.Event()
        self._client: AIOKafkaProducer | None = None
        self.is_idempotent = True
        """Whether the broker supports what Apache Kafka does; the embedded one does not."""
        self._turns: dict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def start(self) -> None:
        """Connect. Raises ``BrokerError`` when no broker answers."""
        try:
            client = await self._connect(enable_idempotence=True)
        except UnknownError:
            # What the embedded broker answers; Apache Kafka has had this since 0.11.
            log.warning("this broker has no idempotent producer: a retry may repeat records")
            self.is_idempotent = False
            client = await self._connect(enable_idempotence=False)
        # A batch that has waited long for a leader is dropped by the client, although it
        # could go on waiting; dropping one would reorder a person's events.
        client._message_accumulator._batch_ttl = math.inf
        self._guard(client._sender)
        self._client = client

    def _guard(self, sender: Any) -> None:
        send = sender._send_produce_req

        async def send_if_it_may(*request: Any) -> None:
            if self._may_send():
                await send(*request)
            else:
                # An error would be taken for one of the broker's, to be tried again.
                await self._is_over.wait()

        sender._send_produce_req = send_if_it_may

    async def _connect(self, *, enable_idempotence: bool) -> AIOKafkaProducer:
        client = AIOKafkaProducer(**self._options, enable_idempotence=enable_idempotence)
        try:
            await client.start()
        except KafkaError as error:
            await client.stop()
            if isinstance(error, UnknownError):
                raise
            raise BrokerError(f"cannot reach Kafka: {error}") from error
        return client

    async def stop(self) -> None:
        """Send what is buffered, if it may be sent, and disconnect."""
        if self._client is not None:
            client, self._client = self._client, None
            if self._may_send():
                await client.stop()
            else:
                # As its own `stop`, but for sending what is left.
                client._closed = True
                self._is_over.set()
                await client._sender.close()
                await client.client.close()

    def _started(self) -> AIOKafkaProducer:
        if self._client is None:
            raise BrokerError("the producer is not started")
        return self._client

    async def partitions(self, topic: str) -> int:
        """Number of partitions of a topic. Raises ``BrokerError`` when the broker does not say."""
        client = self._started()
        try:
            return len(await client.partitions_for(topic))
        except KafkaError as error:
            raise BrokerError(
                f"cannot tell the partitions of {topic}: {type(error).__name__}: {error}"
            ) from error

    async def reaches_a_broker(self, *, within: float) -> bool:
        """Whether a broker answers a question within so many seconds."""
        try:
            async with asyncio.timeout(within):
                return bool(await self._started().client.force_metadata_update())
        except TimeoutError:
            return False

    async def send(self, topic: str, partition: int, records: Sequence[Record]) -> Awaitable[int]:
        """Hand over records; the result is the offset of the last one, once confirmed.

        Returns once the client has taken them, so that a slow broker slows the caller.
        The result raises ``BrokerError`` when the broker refuses them for good.
        """
        client = self._started()
        pending: list[tuple[Awaitable[Any], int]] = []
        async with self._turns[topic, partition]:
            batch = client.create_batch()
            append = batch.append
            for key, value, headers, timestamp in records:
                # aiokafka takes a list only. One that is shared by all need not be copied.
                own = headers if type(headers) is list else list(headers)
                if append(key=key, value=value, timestamp=timestamp, headers=own) is None:
                    pending.append(await self._submit(batch, topic, partition))
                    batch = client.create_batch()
                    append = batch.append
                    append(key=key, value=value, timestamp=timestamp, headers=own)
            pending.append(await self._submit(batch, topic, partition))
        return asyncio.ensure_future(_confirmed(pending, topic, partition))

    async def _submit(self, batch: Any, topic: str, partition: int) -> tuple[Awaitable[Any], int]:
        client = self._started()
        count = batch.record_count()
        batch.close()
        while True:
            try:
                future: Awaitable[Any] = await client.send_batch(batch, topic, partition=partition)
            except KafkaTimeoutError:
                # The batch before this one has not left yet: wait on, in order.
                continue
            return future, count


async def _confirmed(
    pending: Sequence[tuple[Awaitable[Any], int]], topic: str, partition: int
) -> int:
    last = -1
    try:
        for batch, count in pending:
            last = (await batch).offset + count - 1
    except KafkaError as error:
        kind = TooLargeError if isinstance(error, TOO_LARGE) else BrokerError
        raise kind(
            f"Kafka refused records for {topic}[{partition}]: {type(error).__name__}: {error}"
        ) from error
    return last
