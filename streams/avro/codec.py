"""Single Avro values: to JSON, and from an event."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import fastavro

from streams.avro import wire
from streams.avro.event import as_json, as_record
from streams.avro.schemas import RESOLVED_EVENT, Schema, fingerprint, parse, text_of
from streams.errors import InvalidEvent
from streams.events import Event

Decode = Callable[[bytes], bytes]
Encode = Callable[[Event], bytes]


def decoder(schema: Schema) -> Decode:
    """What makes JSON of a value, its frame taken off, that was written with ``schema``.

    It raises ``InvalidEvent`` when the value was not.
    """
    to_json = as_json(schema)

    def decode(payload: bytes) -> bytes:
        stream = BytesIO(payload)
        try:
            made = to_json(fastavro.schemaless_reader(stream, schema, None))
        except Exception as error:
            # fastavro raises whatever reading at the wrong place leads to.
            raise InvalidEvent(
                "not-avro",
                f"The value does not follow its Avro schema: {type(error).__name__}: {error}.",
            ) from error
        left = len(payload) - stream.tell()
        if left:
            raise InvalidEvent(
                "not-avro", f"The value does not follow its Avro schema: {left} bytes left over."
            )
        return made

    return decode


def encoder(schema: Schema, prefix: bytes) -> Encode:
    """What writes an event with one of this program's own schemas, behind ``prefix``."""
    to_record = as_record(schema)

    def encode(event: Event) -> bytes:
        stream = BytesIO()
        stream.write(prefix)
        fastavro.schemaless_writer(stream, schema, to_record(event))
        return stream.getvalue()

    return encode


def resolved(id: int | None) -> Encode:
    """What writes resolved events; ``id`` is their schema's in a registry, if there is one."""
    schema = parse(text_of(RESOLVED_EVENT))
    prefix = wire.with_fingerprint(fingerprint(schema)) if id is None else wire.with_id(id)
    return encoder(schema, prefix)
