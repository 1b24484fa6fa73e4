"""Where the rows of one partition of a table live: in memory, or in RocksDB on disk."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompactionStyle,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
)

if sys.platform != "win32":
    import fcntl

FORMAT_VERSION = 2
"""Of the rows and their place on disk. A store of another version is rebuilt, not read."""

BLOOM_BITS = 10
"""Of memory for each key, so that one look-up in a hundred of an absent key reads a block."""

BLOCK_BYTES = 1024

WRITE_BUFFER_BYTES = 4 << 20
"""Rows of a store that are in memory only; at most twice. Small, as there are many stores, and
as keys in no order are put into a small one at half the price."""

_BLOCK_CACHE = Cache(64 << 20)
"""Shared by all stores of the process, as memory is."""

_OFFSET_KEY = b"\x00offset"


class Directory:
    """A folder for the stores of one worker, claimed for as long as the worker lives.

    Workers on one machine may be given the same data directory: each takes the first
    numbered folder that no living worker holds, and so finds its own state again after a
    restart. Where files cannot be locked (Windows), every worker takes the first.
    """

    def __init__(self, root: Path) -> None:
        """Claim a folder below ``root``. Raises ``OSError`` when none can be made."""
        for number in itertools.count():
            self.path = root / str(number)
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "LOCK").open("w")
            if _lock(self._lock):
                return
            self._lock.close()

    def close(self) -> None:
        """Let another worker have the folder."""
        self._lock.close()


def _lock(file: IO[str]) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Store(Protocol):
    """The rows of one partition, and the changelog offset up to which they are complete."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of several keys, in their order."""

    def keys(self, prefix: bytes) -> Iterable[bytes]:
        """The keys that begin with ``prefix``."""

    def write(self, rows: Mapping[bytes, bytes | None], offset: int) -> None:
        """Store rows (None deletes) and the changelog offset that they came from, at once."""

    def offset(self) -> int | None:
        """The last changelog offset in this store, or None when there is none."""

    def __len__(self) -> int:
        """About how many rows there are."""

    def close(self) -> None:
        """Release what the store holds."""


class MemoryStore:
    """Rows in a dict. Recovered from the changelog after every start."""

    def __init__(
        self, ttl_seconds: int | None = None, age: Callable[[bytes], float] | None = None
    ) -> None:
        """``age`` tells how many seconds old a row is by its value; without it, all are new."""
        self._rows: dict[bytes, bytes] = {}
        self._ttl = ttl_seconds
        self._age = age
        self._written: dict[bytes, float] = {}

    def get(self, key: bytes) -> bytes | None:
        """See :class:`Store`."""
        return self._rows.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See :class:`Store`."""
        return list(map(self._rows.get, keys))

    def keys(self, prefix: bytes) -> Iterable[bytes]:
        """See :class:`Store`. Looks at every key."""
        return [key for key in self._rows if key.startswith(prefix)]

    def write(self, rows: Mapping[bytes, bytes | None], offset: int) -> None:  # noqa: ARG002
        """See :class:`Store`."""
        for key, value in rows.items():
            if value is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = value
        if self._ttl is not None:
            self._expire(rows, self._ttl)

    def _expire(self, rows: Mapping[bytes, bytes | None], ttl: int) -> None:
        now = time.monotonic()
        for key, value in rows.items():
            # Taken out first, so that the dict stays in order of writing.
            self._written.pop(key, None)
            aged = self._age(value) if self._age is not None and value is not None else 0
            self._written[key] = now - aged
        for key, written in list(_first(self._written, 2 * len(rows) + 1)):
            if written > now - ttl:
                break
            del self._written[key]
            self._rows.pop(key, None)

    def offset(self) -> int | None:
        """See :class:`Store`."""
        return None

    def __len__(self) -> int:
        return len(self._rows)

    def close(self) -> None:
        """See :class:`Store`."""
        self._rows.clear()


def _first(mapping: Mapping[bytes, float], count: int) -> list[tuple[bytes, float]]:
    return [item for _, item in zip(range(count), mapping.items(), strict=False)]


class RocksStore:
    """Rows in RocksDB. A restart goes on where the last confirmed write ended."""

    def __init__(self, path: Path, ttl_seconds: int | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_max_log_file_size(1 << 20)
        options.set_keep_log_file_num(2)
        options.set_write_buffer_size(WRITE_BUFFER_BYTES)
        # Keys come in no order: merging by levels would write the whole store again and again.
        options.set_compaction_style(DBCompactionStyle.universal())
        blocks = BlockBasedOptions()
        # Nearly all look-ups are of what is not there: a messageId, an alias.
        blocks.set_bloom_filter(BLOOM_BITS, block_based=False)
        blocks.set_block_cache(_BLOCK_CACHE)
        # Rows are read one by one, in no order: small blocks, and none to be unpacked.
        blocks.set_block_size(BLOCK_BYTES)
        options.set_compression_type(DBCompressionType.none())
        options.set_block_based_table_factory(blocks)
        access = AccessType.read_write()
        if ttl_seconds is not None:
            access = AccessType.with_ttl(ttl_seconds)
        self._db = Rdict(str(path), options, access_type=access)

    def get(self, key: bytes) -> bytes | None:
        """See :class:`Store`."""
        value: bytes | None = self._db.get(key)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See :class:`Store`."""
        values: list[bytes | None] = self._db.get(list(keys))
        return values

    def keys(self, prefix: bytes) -> Iterable[bytes]:
        """See :class:`Store`."""
        return itertools.takewhile(
            lambda key: key.startswith(prefix), self._db.keys(from_key=prefix)
        )

    def write(self, rows: Mapping[bytes, bytes | None], offset: int) -> None:
        """See :class:`Store`."""
        batch = WriteBatch(raw_mode=True)
        for key, value in rows.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(_OFFSET_KEY, str(offset).encode())
        self._db.write(batch)

    def offset(self) -> int | None:
        """See :class:`Store`."""
        value = self._db.get(_OFFSET_KEY)
        return None if value is None else int(value)

    def __len__(self) -> int:
        return int(self._db.property_int_value("rocksdb.estimate-num-keys") or 0)

    def close(self) -> None:
        """See :class:`Store`."""
        self._db.close()
