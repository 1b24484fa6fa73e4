"""To the topic: every record confirmed, or the whole request refused and safe to repeat.

Records wait in a line for each partition. One batch of a line is underway at a time, and what
gathers meanwhile is the next: the slower the broker, the larger the batches, and order is that
of arrival.

A request whose records are not all confirmed in time is refused (503). What of it was still in
line is taken out. What Kafka may yet write is remembered by messageId: when the client sends it
again, it is waited for instead of written twice.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol

import structlog

from streams.engine.producer import Record
from streams.engine.tasks import Tasks
from streams.errors import BrokerError, TooLargeError
from streams.gateway.answers import RETRY_LATER, Refusal

log = structlog.get_logger(__name__)

BATCH_BYTES: Final = 512 * 1024
"""A batch is closed at this size of keys and values."""

REMEMBERED: Final = 100_000
"""Records of refused requests that are remembered; older ones are left to the worker's dedup."""

GIVE_UP_SECONDS: Final = 30.0
"""When Kafka has refused everything for so long, waiting does not help."""

_RECORD_OVERHEAD: Final = 64
_NOTHING: Final = Record(None, None)


class Producer(Protocol):
    """What is used of :class:`streams.engine.producer.BatchProducer`."""

    async def send(self, topic: str, partition: int, records: Sequence[Record]) -> Awaitable[int]:
        """Hand over records; the result is done once they are confirmed."""


class Message(NamedTuple):
    """A record, where it goes, and how to know it again (None: not at all)."""

    topic: str
    partition: int
    record: Record
    identity: tuple[str, str] | None


class _State(Enum):
    WAITING = auto()
    UNDERWAY = auto()
    CONFIRMED = auto()
    REFUSED = auto()


class _Ticket:
    """A request's wait for all of its records."""

    __slots__ = ("future", "is_abandoned", "left")

    def __init__(self, count: int) -> None:
        self.left = count
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_abandoned = False

    def one_is_done(self) -> None:
        self.left -= 1
        if not self.left and not self.future.done():
            self.future.set_result(None)

    def fail(self, error: BrokerError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Entry:
    """A record on its way."""

    __slots__ = ("message", "others", "state", "ticket")

    def __init__(self, message: Message, ticket: _Ticket) -> None:
        self.message = message
        self.ticket = ticket
        self.state = _State.WAITING
        self.others: list[_Ticket] = []
        """Later requests with the same record."""

    def forget_record(self) -> None:
        """It is written: what remains is that it is."""
        self.message = self.message._replace(record=_NOTHING)


class Outbox:
    """The lines of all partitions."""

    def __init__(self, producer: Producer, *, confirm_seconds: float) -> None:
        """``confirm_seconds``: how long a request waits for Kafka."""
        self._producer = producer
        self._patience = confirm_seconds
        self._lines: dict[tuple[str, int], _Line] = {}
        self._remembered: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._clock = asyncio.get_running_loop().time
        self._tasks = Tasks(self._crash)
        self._failing_since: float | None = None
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when only a restart will help."""

    async def store(self, messages: Sequence[Message]) -> None:
        """Returns once every record is confirmed. Raises ``Refusal``: then none is acknowledged."""
        known = [self._known(message) for message in messages]
        lines = [self._line(message) for message in messages]
        for line, entry in zip(lines, known, strict=True):
            # Nothing is put in line where nothing moves.
            if line.is_stuck() and (entry is None or entry.state is not _State.CONFIRMED):
                raise self._unavailable()
        ticket = _Ticket(len(messages))
        entries: list[_Entry] = []
        for message, line, entry in zip(messages, lines, known, strict=True):
            if entry is None:
                made = _Entry(message, ticket)
                entries.append(made)
                line.append(made)
            elif entry.state is _State.CONFIRMED:
                ticket.one_is_done()
            else:
                entry.others.append(ticket)
        try:
            async with asyncio.timeout(self._patience):
                await ticket.future
        except TimeoutError:
            self._abandon(ticket, entries)
            raise self._unavailable() from None
        except TooLargeError as error:
            self._abandon(ticket, entries)
            raise Refusal(413, "too-large", f"Kafka takes no record so large: {error}") from None
        except BrokerError as error:
            self._abandon(ticket, entries)
            raise self._unavailable(str(error)) from None
        except BaseException:
            self._abandon(ticket, entries)
            raise

    def is_stuck(self) -> bool:
        """Whether a partition has confirmed nothing for longer than a request waits."""
        return any(line.is_stuck() for line in self._lines.values())

    async def close(self) -> None:
        """End the lines. What is underway is Kafka's."""
        await self._tasks.cancel()

    def _known(self, message: Message) -> _Entry | None:
        if not self._remembered or message.identity is None:
            return None
        entry = self._remembered.get(message.identity)
        if entry is None or entry.state in (_State.REFUSED, _State.WAITING):
            return None
        return entry

    def _line(self, message: Message) -> _Line:
        place = message.topic, message.partition
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = _Line(self._send, self._clock, self._patience)
            self._tasks.start(line.run())
        return line

    def _abandon(self, ticket: _Ticket, entries: Sequence[_Entry]) -> None:
        ticket.is_abandoned = True
        ticket.future.cancel()
        for entry in entries:
            identity = entry.message.identity
            if identity is None or entry.state not in (_State.UNDERWAY, _State.CONFIRMED):
                continue
            if entry.state is _State.CONFIRMED:
                entry.forget_record()
            self._remembered[identity] = entry
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    async def _send(self, entries: Sequence[_Entry]) -> None:
        """Produce a batch and tell whoever waits."""
        topic, partition = entries[0].message[:2]
        try:
            confirmed = await self._producer.send(
                topic, partition, [entry.message.record for entry in entries]
            )
            await confirmed
        except TooLargeError as error:
            if len(entries) > 1:
                # One of them is too large, or all of them together: the rest must go on.
                for entry in entries:
                    await self._send([entry])
                return
            _fail(entries, error)
        except BrokerError as error:
            log.error("kafka refuses events", topic=topic, partition=partition, error=str(error))
            self._note_failure(error)
            _fail(entries, error)
        else:
            self._failing_since = None
            for entry in entries:
                entry.state = _State.CONFIRMED
                entry.ticket.one_is_done()
                for other in entry.others:
                    other.one_is_done()
                if entry.ticket.is_abandoned:
                    entry.forget_record()

    def _note_failure(self, error: BrokerError) -> None:
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > GIVE_UP_SECONDS:
            self._crash(error)

    def _crash(self, error: BaseException) -> None:
        if not self.broken.done():
            self.broken.set_exception(error)

    @staticmethod
    def _unavailable(why: str = "") -> Refusal:
        text = "Kafka does not confirm; nothing is lost if this is sent again."
        return Refusal(
            503, "unavailable", f"{text} ({why})" if why else text, retry_after=RETRY_LATER
        )


def _fail(entries: Sequence[_Entry], error: BrokerError) -> None:
    for entry in entries:
        entry.state = _State.REFUSED
        entry.ticket.fail(error)
        for other in entry.others:
            other.fail(error)


class _Line:
    """The records of one partition, in the order of arrival."""

    def __init__(
        self,
        send: Callable[[Sequence[_Entry]], Awaitable[None]],
        clock: Callable[[], float],
        patience: float,
    ) -> None:
        self._send = send
        self._clock = clock
        self._patience = patience
        self._waiting: deque[_Entry] = deque()
        self._wake = asyncio.Event()
        self._busy_since: float | None = None

    def append(self, entry: _Entry) -> None:
        self._waiting.append(entry)
        self._wake.set()

    def is_stuck(self) -> bool:
        since = self._busy_since
        return since is not None and self._clock() - since > self._patience

    async def run(self) -> None:
        """Send batch after batch, for ever."""
        while True:
            batch = self._next_batch()
            if not batch:
                self._wake.clear()
                await self._wake.wait()
                continue
            self._busy_since = self._clock()
            try:
                await self._send(batch)
            finally:
                self._busy_since = None

    def _next_batch(self) -> list[_Entry]:
        batch: list[_Entry] = []
        size = 0
        waiting = self._waiting
        while waiting:
            entry = waiting[0]
            if not entry.ticket.is_abandoned:
                record = entry.message.record
                size += len(record.value or b"") + len(record.key or b"") + _RECORD_OVERHEAD
                if batch and size > BATCH_BYTES:
                    break
                entry.state = _State.UNDERWAY
                batch.append(entry)
            waiting.popleft()
        return batch
