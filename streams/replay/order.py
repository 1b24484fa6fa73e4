"""Putting any number of events in order of time, in a bounded amount of memory.

An external merge sort. What does not fit into memory is written to a temporary file as a
run, in order, in blocks; the runs are merged block by block. An item is one ``bytes`` that
begins with what it is sorted by, so that comparing two is comparing bytes:

    8 bytes  moment, microseconds since 1970, shifted so that all are positive
    8 bytes  number of the item: those of one moment keep the order of their arrival
    2 bytes  length of the key
    key, then the value
"""

from __future__ import annotations

import hashlib
import struct
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from streams.errors import StreamsError

RUN_BYTES: Final = 32 << 20
"""Memory that the items of a run may take."""
BLOCK_BYTES: Final = 192 << 10
"""What is read of a run at a time while merging."""
FAN_IN: Final = 64
"""Runs merged at a time; as many blocks are in memory then."""

_HEAD: Final = struct.Struct(">QQH")
LENGTH: Final = 16
"""Where an item has the length of its key."""
START: Final = _HEAD.size
"""Where its key begins."""

_PACK: Final = _HEAD.pack
_SHIFT: Final = 1 << 62
_OVERHEAD: Final = 100
"""Bytes that Python takes for an item beyond its content, and a little."""
_TOGETHER: Final = 1_000
_LENGTH: Final = struct.Struct("<I")


Event = tuple[int, bytes, bytes]
"""Its moment, its person's key, and its bytes."""


class ExternalSort:
    """Takes items in any order, gives them back by time. Use it as a context manager.

    Guarantees: items of one moment keep the order in which they were added, and nothing is
    lost. The files have no names where the system allows that, so a crash leaves nothing.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        run_bytes: int = RUN_BYTES,
        block_bytes: int = BLOCK_BYTES,
        fan_in: int = FAN_IN,
    ) -> None:
        """``directory``: for the temporary files; None for the system's."""
        self._directory = directory
        self._run_bytes = run_bytes
        self._block_bytes = block_bytes
        self._fan_in = fan_in
        self._items: list[bytes] = []
        self._size = 0
        # Runs of level n + 1 are fan_in merged runs of level n.
        self._levels: list[list[IO[bytes]]] = [[]]
        self._hash = hashlib.sha256()
        self.count = 0
        """Items added."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for level in self._levels:
            for run in level:
                run.close()
        self._items = []

    def add(self, events: Sequence[Event]) -> None:
        """Add items, which stay in memory together at first.

        Raises ``StreamsError`` when there is no room on the disk.
        """
        items = [
            _PACK(moment + _SHIFT, number, len(key)) + key + value
            for number, (moment, key, value) in enumerate(events, self.count)
        ]
        self.count += len(items)
        self._items += items
        self._size += sum(map(len, items)) + _OVERHEAD * len(items)
        if self._size >= self._run_bytes:
            self._spill()

    def digest(self) -> str:
        """What was added so far, in short: the same items in the same order give the same."""
        so_far = self._hash.copy()
        # As a spill would have it.
        self._digest(so_far, sorted(self._items))
        return so_far.hexdigest()

    @staticmethod
    def _digest(so_far: Any, items: list[bytes]) -> None:
        for start in range(0, len(items), _TOGETHER):
            so_far.update(b"".join(items[start : start + _TOGETHER]))

    def blocks(self) -> Iterator[list[bytes]]:
        """All items in order, in lists. Nothing may be added afterwards."""
        self._items.sort()
        memory = [self._items] if self._items else []
        while True:
            # The oldest first; few are left in the end whatever went in.
            runs = [run for level in self._levels for run in level]
            if len(runs) <= self._fan_in:
                break
            self._merge_level(max(range(len(self._levels)), key=lambda n: len(self._levels[n])))
        try:
            yield from merged([iter(memory), *map(_blocks, runs)])
        except OSError as error:
            raise self._failed(error) from error

    def _spill(self) -> None:
        self._items.sort()
        self._digest(self._hash, self._items)
        self._keep(0, [self._items])
        self._items, self._size = [], 0

    def _keep(self, level: int, lists: Iterable[list[bytes]]) -> None:
        if level == len(self._levels):
            self._levels.append([])
        try:
            run = tempfile.TemporaryFile(  # noqa: SIM115 - closed at the end of the block
                prefix="streams-replay-", dir=self._directory, buffering=0
            )
            self._levels[level].append(run)
            self._write(run, lists)
        except OSError as error:
            raise self._failed(error) from error
        if len(self._levels[level]) > self._fan_in:
            self._merge_level(level)

    def _merge_level(self, level: int) -> None:
        runs, self._levels[level] = self._levels[level], []
        try:
            self._keep(level + 1, merged([_blocks(run) for run in runs]))
        finally:
            for run in runs:
                run.close()

    def _write(self, run: IO[bytes], lists: Iterable[list[bytes]]) -> None:
        for items in lists:
            ends = list(accumulate(map(len, items)))
            start, so_far = 0, 0
            while start < len(items):
                end = max(bisect_right(ends, so_far + self._block_bytes, start), start + 1)
                _write_all(run, _packed(items[start:end]))
                start, so_far = end, ends[end - 1]

    def _failed(self, error: OSError) -> StreamsError:
        where = self._directory or tempfile.gettempdir()
        return StreamsError(f"--temp-dir {where}: {error.strerror or error}")


def parts(item: bytes) -> Event:
    """What was added as an item (:mod:`streams.replay.produce` does without the moment)."""
    moment, _, length = _HEAD.unpack_from(item)
    end = START + length
    return moment - _SHIFT, item[START:end], item[end:]


def merged(runs: Iterable[Iterator[list[bytes]]]) -> Iterator[list[bytes]]:
    """Lists of items, in order over all of them, from runs of which each is in order.

    What is not above the smallest of the blocks' last items can go: what comes later in any
    run is above. It is put in order by Python's own sort, which merges what is in order
    already several times faster than a heap does in Python.
    """
    # [items, start, the rest of the run]
    heads: list[tuple[list[bytes], int, Iterator[list[bytes]]]] = [
        (block, 0, run) for run in runs if (block := next(run, None))
    ]
    while heads:
        bound = min(block[-1] for block, _, _ in heads)
        ready: list[bytes] = []
        left: list[tuple[list[bytes], int, Iterator[list[bytes]]]] = []
        for block, start, run in heads:
            if block[start] > bound:
                left.append((block, start, run))
                continue
            end = bisect_right(block, bound, start)
            ready += block[start:end]
            if end < len(block):
                left.append((block, end, run))
            elif following := next(run, None):
                left.append((following, 0, run))
        heads = left
        ready.sort()
        yield ready


def _packed(items: list[bytes]) -> bytes:
    lengths = struct.pack(f"<{len(items)}I", *map(len, items))
    return b"".join((_LENGTH.pack(len(items)), lengths, *items))


def _write_all(run: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[run.write(view) :]


def _blocks(run: IO[bytes]) -> Iterator[list[bytes]]:
    run.seek(0)
    while head := run.read(_LENGTH.size):
        (count,) = _LENGTH.unpack(head)
        lengths = struct.unpack(f"<{count}I", _read_all(run, count * _LENGTH.size))
        data = _read_all(run, sum(lengths))
        yield [data[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]


def _read_all(run: IO[bytes], size: int) -> bytes:
    read = run.read(size)
    while len(read) < size:
        more = run.read(size - len(read))
        if not more:
            raise OSError("a temporary file is shorter than it was written")
        read += more
    return read
