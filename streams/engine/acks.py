"""Which offsets may be committed.

Faust keeps a set of acknowledged offsets and tolerates gaps in it, which is right for
single records and wrong for chunks: an acknowledgement that arrives out of order could
move the commit past events that are still on their way. Here each partition has a queue
of the chunks that were handed out, and what may be committed ends before the first one
that is not finished.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Acknowledgeable(Protocol):
    """A piece of a partition: finished or not, and the offset that follows it."""

    finished: bool
    next_offset: int


ChunkT = TypeVar("ChunkT", bound=Acknowledgeable)


class AckQueue(Generic[ChunkT]):
    """The chunks of one partition, in the order in which they were read.

    Chunks are compared by identity: one from before a rebalance, acknowledged late, is
    not in the queue any more and moves nothing.
    """

    __slots__ = ("_chunks", "_committable")

    def __init__(self) -> None:
        self._chunks: deque[ChunkT] = deque()
        self._committable: int | None = None

    def __len__(self) -> int:
        """Number of chunks handed out and not yet committable."""
        return len(self._chunks)

    def __iter__(self) -> Iterator[ChunkT]:
        return iter(self._chunks)

    def add(self, chunk: ChunkT) -> None:
        """Remember a chunk that is about to be handed out."""
        self._chunks.append(chunk)

    def holds(self, chunk: ChunkT) -> bool:
        """Whether this very chunk is still waited for."""
        return any(held is chunk for held in self._chunks)

    def committable(self) -> int | None:
        """The offset to commit (the next one to read), or None before the first."""
        while self._chunks and self._chunks[0].finished:
            self._committable = self._chunks.popleft().next_offset
        return self._committable

    def clear(self) -> None:
        """Forget everything: the partition was revoked, or its position was moved."""
        self._chunks.clear()
        self._committable = None
