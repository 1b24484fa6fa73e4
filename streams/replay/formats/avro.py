"""Avro object container files."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedIOBase

import fastavro

from streams.avro.event import as_json


class Avro:
    """A record is a line: an event, or an envelope, by the rule of the topic (docs/formats.md)."""

    MAGIC = b"Obj\x01"

    def lines(self, stream: BufferedIOBase) -> Iterator[bytes | None]:
        """See ``Container``."""
        records = fastavro.reader(stream)
        yield from map(as_json(fastavro.parse_schema(records.writer_schema)), records)
