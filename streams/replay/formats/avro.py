"""Avro object container files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from io import BufferedIOBase
from typing import Any, Final
from uuid import UUID

import fastavro
import orjson

from streams.moments import iso

_OBJECTS: Final = ("context", "properties", "traits", "integrations")


class Avro:
    """A record is a line: an event, or an envelope, by the names of its fields.

    Null fields are left out; times become ISO 8601. Objects whose keys nobody knows in
    advance are often strings of JSON in a schema: those are read as what they are.
    """

    MAGIC = b"Obj\x01"

    def lines(self, stream: BufferedIOBase) -> Iterator[bytes | None]:
        """See ``Container``."""
        for record in fastavro.reader(stream):
            if isinstance(record, dict):
                for name in _OBJECTS:
                    record[name] = _object(record.get(name))
            yield orjson.dumps(_plain(record))


def _object(value: Any) -> Any:
    if isinstance(value, str | bytes) and value[:1] in ("{", b"{"):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    for kind, convert in _CONVERTED.items():
        if isinstance(value, kind):
            return convert(value)
    return value


# A datetime is a date too.
_CONVERTED: Final[dict[type, Callable[[Any], Any]]] = {
    datetime: iso,
    date: str,
    UUID: str,
    Decimal: float,
    bytes: lambda value: value.decode(errors="replace"),
}
