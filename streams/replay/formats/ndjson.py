"""One JSON object a line."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Final

MAX_LINE: Final = 16 << 20
"""A batch of events has half a megabyte; a longer line is no log's."""
PIECE_BYTES: Final = 1 << 18
"""What is read at a time."""


class Ndjson:
    """Lines of text, without their ends."""

    MAGIC = b""

    def lines(self, stream: BufferedIOBase) -> Iterator[bytes | None]:
        """See ``Container``."""
        lines = _lines(stream)
        for first in lines:
            if b"\0" in (first or b""):
                raise ValueError("it is neither text, gzip nor Avro")
            yield first and first.removeprefix(codecs.BOM_UTF8)
            break
        yield from lines


def _lines(stream: BufferedIOBase) -> Iterator[bytes | None]:
    # Splitting many lines at once is several times faster than asking for each.
    # Of a line that has not ended; no more of it is kept than a line may have.
    begun: list[bytes] = []
    size = 0
    # One read at a time: where a file breaks off, what was before is not lost with it.
    while piece := stream.read1(PIECE_BYTES):
        *whole, rest = piece.split(b"\n")
        if whole and size:
            yield _joined(begun, whole.pop(0), size)
            begun, size = [], 0
        yield from whole
        size += len(rest)
        if rest and size <= MAX_LINE:
            begun.append(rest)
    if size:
        yield _joined(begun, b"", size)


def _joined(begun: list[bytes], rest: bytes, size: int) -> bytes | None:
    return b"".join([*begun, rest]) if size + len(rest) <= MAX_LINE else None
