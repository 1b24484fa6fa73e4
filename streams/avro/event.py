"""The rule by which an Avro record is an event, and an event an Avro record.

A record is an event by the names of its fields, or an envelope in which one is
(:mod:`streams.source.envelopes`). docs/formats.md has the rule for users.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import orjson

from streams.avro.schemas import Schema
from streams.events import Event
from streams.moments import iso, parse

Convert = Callable[[Any], Any]

_OBJECTS: Final = ("context", "properties", "traits", "integrations")
"""Their keys are known to nobody in advance, so schemas often have them as strings of JSON."""

_OTHER: Final = "other"
"""In this program's own schemas: what has no field there."""

_OWN_NAMES: Final = "encharge.streams."
_EPOCH: Final = datetime.fromtimestamp(0, UTC)

_SNAKE: Final = {
    "message_id": "messageId",
    "user_id": "userId",
    "anonymous_id": "anonymousId",
    "previous_id": "previousId",
    "group_id": "groupId",
    "original_timestamp": "originalTimestamp",
    "sent_at": "sentAt",
    "received_at": "receivedAt",
}


# -- from a record -----------------------------------------------------------------------------


def as_json(schema: Schema) -> Callable[[Any], bytes]:
    """How a value that was read with a parsed ``schema`` becomes JSON.

    A null field of a record is left out; a null in a map was put there and stays.
    """
    convert = _Shapes(schema).of(schema)
    is_own = isinstance(schema, dict) and str(schema.get("name", "")).startswith(_OWN_NAMES)

    def write(value: Any) -> bytes:
        found = convert(value)
        if type(found) is str:
            # Text that holds JSON, under a schema that says no more than that.
            return found.encode()
        if type(found) is dict:
            _spell(found, is_own=is_own)
        return orjson.dumps(found)

    return write


def _spell(event: Event, *, is_own: bool) -> None:
    for snake, camel in _SNAKE.items():
        if snake in event:
            event.setdefault(camel, event.pop(snake))
    for name in _OBJECTS:
        if name in event:
            event[name] = _object(event[name])
    if is_own and _OTHER in event:
        other = _object(event.pop(_OTHER))
        if type(other) is dict:
            event.update(other)


def _object(value: Any) -> Any:
    if type(value) is str and value.lstrip()[:1] == "{":
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


class _Record:
    """The conversion of one record type."""

    def __init__(self) -> None:
        self.fields: list[tuple[str, Convert]] = []

    def __call__(self, value: dict[str, Any]) -> dict[str, Any]:
        return {
            name: convert(value[name]) for name, convert in self.fields if value[name] is not None
        }


class _Shapes:
    """Conversions for the types of one schema: what depends on the schema is settled once."""

    def __init__(self, schema: Schema) -> None:
        found = schema.get("__named_schemas") if isinstance(schema, dict) else None
        self._named: dict[str, Any] = found or {}
        self._done: dict[str, _Record] = {}

    def of(self, schema: Schema) -> Convert:
        schema = self._resolved(schema)
        if isinstance(schema, list):
            return self._union(schema)
        if isinstance(schema, str):
            return _scalar
        kind = schema["type"]
        if kind in ("record", "error"):
            return self._record(schema)
        if kind == "array":
            item = self.of(schema["items"])
            return lambda value: [item(each) for each in value]
        if kind == "map":
            item = self.of(schema["values"])
            return lambda value: {key: item(each) for key, each in value.items()}
        return _scalar

    def _resolved(self, schema: Schema) -> Schema:
        return self._named.get(schema, schema) if isinstance(schema, str) else schema

    def _record(self, schema: dict[str, Any]) -> Convert:
        name = schema["name"]
        if name not in self._done:
            # It is known before its fields are: it may be inside of itself.
            self._done[name] = record = _Record()
            record.fields = [(field["name"], self.of(field["type"])) for field in schema["fields"]]
        return self._done[name]

    def _union(self, branches: list[Any]) -> Convert:
        """A value of a union does not say which branch it is of: its form does."""
        records: list[tuple[frozenset[str], Convert]] = []
        others: dict[type, Convert] = {}
        for branch in map(self._resolved, branches):
            kind = branch["type"] if isinstance(branch, dict) else branch
            if kind in ("record", "error"):
                names = frozenset(field["name"] for field in branch["fields"])
                records.append((names, self.of(branch)))
            elif kind in ("map", "array"):
                others[dict if kind == "map" else list] = self.of(branch)

        def convert(value: Any) -> Any:
            if type(value) is dict:
                for names, record in records:
                    if names == value.keys():
                        return record(value)
            return others.get(type(value), _scalar)(value)

        return convert


def _scalar(value: Any) -> Any:
    convert = _CONVERTED.get(type(value))
    return value if convert is None else convert(value)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


_CONVERTED: Final[dict[type, Convert]] = {
    datetime: iso,
    date: str,
    UUID: str,
    Decimal: float,
    bytes: _text,
}


# -- to a record -------------------------------------------------------------------------------


def as_record(schema: Schema) -> Callable[[Event], dict[str, Any]]:
    """How a valid event becomes a record of one of this program's own schemas."""
    convert = {
        field["name"]: _writer(field) for field in schema["fields"] if field["name"] != _OTHER
    }

    def make(event: Event) -> dict[str, Any]:
        record: dict[str, Any] = {}
        other: Event = {}
        for name, value in event.items():
            if value is None:
                continue
            write = convert.get(name)
            written = None if write is None else write(value)
            if written is None:
                other[name] = value
            else:
                record[name] = written
        if other:
            record[_OTHER] = orjson.dumps(other).decode()
        return record

    return make


def _writer(field: dict[str, Any]) -> Convert:
    """What writes a value of a field; None from it: the value is of another type."""
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    if field["name"] in _OBJECTS:
        return lambda value: orjson.dumps(value).decode() if type(value) is dict else None
    if any(isinstance(kind, dict) for kind in kinds):
        return _milliseconds
    return lambda value: value if type(value) is str else None


def _milliseconds(value: Any) -> int | None:
    moment = None if value is None else parse(value)
    return None if moment is None else (moment - _EPOCH) // timedelta(milliseconds=1)
