"""One JSON object a line."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import BinaryIO, Final

MAX_LINE: Final = 16 << 20
"""A batch of events has half a megabyte; a longer line is no log's."""


class Ndjson:
    """Lines of text. Blank ones are empty; the line ends stay."""

    MAGIC = b""

    def lines(self, stream: BinaryIO) -> Iterator[bytes | None]:
        """See ``Container``."""
        read = iter(partial(stream.readline, MAX_LINE), b"")
        first = next(read, None)
        if first is None:
            return
        if b"\0" in first:
            raise ValueError("it is neither text, gzip nor Avro")
        for line in chain([first], read):
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                for rest in read:
                    if rest.endswith(b"\n"):
                        break
                yield None
            else:
                yield line.removeprefix(codecs.BOM_UTF8) if line is first else line
