"""A chunk: consecutive records of one partition, delivered to an agent as one message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from faust.channels import Channel
from faust.events import Event as FaustEvent
from faust.topics import Topic
from faust.types import TP, ConsumerMessage
from mode.utils.queues import FlowControlEvent, ThrowableQueue

if TYPE_CHECKING:
    from aiokafka.structs import ConsumerRecord

    from streams.engine.app import ChunkApp
    from streams.engine.consumer import ChunkConsumer


class Chunk(ConsumerMessage):  # type: ignore[misc]
    """Up to a thousand records of one partition.

    To Faust it is a message whose offset is that of its last record, so that the
    conductor, the streams and the rebalance code treat it like any other.
    """

    def __init__(self, tp: TP, records: Sequence[ConsumerRecord[Any, Any]], generation: int):
        last = records[-1]
        super().__init__(
            topic=tp.topic,
            partition=tp.partition,
            offset=last.offset,
            timestamp=last.timestamp / 1000.0,
            timestamp_type=last.timestamp_type,
            headers=None,
            key=None,
            value=None,
            checksum=None,
            tp=tp,
            generation_id=generation,
        )
        self.records = records
        self.next_offset: int = last.offset + 1
        self.finished = False
        self.abandoned = False
        """Taken away by a rebalance or a stop: nothing more may be done for it."""

    def on_final_ack(self, consumer: ChunkConsumer) -> bool:
        """Called by Faust when the last stream that holds the chunk has acknowledged it."""
        return consumer.ack(self)


class UndecodedTopic(Topic):  # type: ignore[misc]
    """A topic whose messages are delivered as they are."""

    def _compile_decode(self) -> None:
        # Nothing to decode: the agent sees the records as the client delivered them, so
        # that what does not parse is the agent's to account for, not Faust's to drop.
        self.decode = self._decode

    async def _decode(self, message: Any, *, propagate: bool = False) -> FaustEvent:  # noqa: ARG002
        return FaustEvent(self.app, None, message, None, message)


class ChunkTopic(UndecodedTopic):
    """A topic whose agent receives :class:`Chunk` objects, through ``stream.noack()``."""

    def __init__(self, app: ChunkApp, **options: Any) -> None:
        super().__init__(app, **options)
        app.chunked_topics.update(self.topics)


class ChangelogTopic(UndecodedTopic):
    """A table's changelog: Faust's recovery receives ``recovery.ChangelogChunk`` objects."""

    def __init__(self, app: ChunkApp, **options: Any) -> None:
        super().__init__(app, **options)
        app.chunked_changelogs.update(self.topics)


class LocalChannel(Channel):  # type: ignore[misc]
    """An in-memory channel that a rebalance does not empty.

    Faust clears the queues of channels when partitions move. What is in here belongs to
    chunks that were already started; they must be able to finish while Faust waits.
    """

    _queue: ThrowableQueue | None

    @property
    def queue(self) -> ThrowableQueue:
        """The queue of this subscriber, with a flow control of its own, never suspended."""
        queue = self._queue
        if queue is None:
            queue = self._queue = ThrowableQueue(
                maxsize=self.maxsize or 0,
                flow_control=FlowControlEvent(initially_suspended=False),
            )
        return queue
