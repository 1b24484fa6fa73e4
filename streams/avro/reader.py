"""Avro values to JSON, whatever schema they were written with."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from streams.avro import wire
from streams.avro.codec import Decode, decoder
from streams.avro.schemas import Schema, fingerprint, parse
from streams.errors import InvalidEvent

AVRO: Final = "AVRO"
JSON: Final = "JSON"


@dataclass(frozen=True, slots=True)
class Written:
    """A schema as a registry has it, and the ones that it refers to, each behind its own."""

    kind: str
    text: str
    references: tuple[str, ...] = ()


class Schemas(Protocol):
    """Where schemas are looked up: a registry."""

    async def schema(self, id: int) -> Written | None:
        """The schema of an id; None if there is none. Waits for a registry that is away."""


class AvroReader:
    """Reads single values. What an id means never changes, so it is asked for once.

    Usage: ``fetch`` what is ``missing`` for some values, then ``read`` each.
    """

    def __init__(self, schemas: Iterable[Schema], registry: Schemas | None = None) -> None:
        """``schemas`` are those that are known by their fingerprint."""
        self._registry = registry
        self._decoders: dict[int | bytes, Decode] = {
            fingerprint(schema): decoder(schema) for schema in schemas
        }
        self._asked: dict[int, asyncio.Future[None]] = {}

    def missing(self, values: Iterable[bytes | None]) -> set[int]:
        """The ids among values in Confluent's wire format that have to be asked for."""
        if self._registry is None:
            return set()
        ids = {
            int.from_bytes(raw[1:5], "big")
            for raw in values
            if raw and raw[0] == 0 and len(raw) >= 5
        }
        return ids - self._decoders.keys()

    async def fetch(self, ids: Collection[int]) -> None:
        """Ask the registry for schemas. Returns when each is known, or known not to be there."""
        await asyncio.gather(*map(self._once, ids))

    def _once(self, id: int) -> asyncio.Future[None]:
        """Several partitions, or an earlier owner of one, may wait for the same schema."""
        asked = self._asked.get(id)
        if asked is None:
            asked = self._asked[id] = asyncio.ensure_future(self._fetch(id))
            asked.add_done_callback(lambda _: self._asked.pop(id))
        return asked

    async def _fetch(self, id: int) -> None:
        assert self._registry is not None  # noqa: S101 - nothing is missing without one
        written = await self._registry.schema(id)
        if written is not None:
            self._decoders[id] = _decoder_of(id, written)

    def read(self, raw: bytes) -> bytes:
        """The JSON of a framed value. Raises ``InvalidEvent``."""
        schema, payload = wire.split(raw)
        decode = self._decoders.get(schema)
        if decode is not None:
            return decode(payload)
        if isinstance(schema, bytes):
            raise InvalidEvent(
                "unknown-schema",
                f"No schema has the fingerprint {schema.hex()}: put it into the folder "
                "STREAMS_AVRO_SCHEMAS.",
            )
        if self._registry is None:
            raise InvalidEvent(
                "no-registry",
                f"The value begins as Avro with the schema id {schema}: set SCHEMA_REGISTRY_URL.",
            )
        raise InvalidEvent("unknown-schema", f"The schema registry has no schema {schema}.")


def _decoder_of(id: int, written: Written) -> Decode:
    if written.kind == JSON:
        # Confluent's JSON Schema serializers: the value is JSON behind the same frame.
        return lambda payload: payload
    complaint = f"is {written.kind}, not Avro"
    if written.kind == AVRO:
        try:
            named: dict[str, Schema] = {}
            for text in written.references:
                parse(text, named)
            return decoder(parse(written.text, named))
        except Exception as error:
            # fastavro raises errors of many kinds for what is no schema.
            complaint = f"cannot be read: {type(error).__name__}: {error}"

    def refuse(_payload: bytes) -> bytes:
        raise InvalidEvent("unusable-schema", f"Schema {id} of the registry {complaint}.")

    return refuse
