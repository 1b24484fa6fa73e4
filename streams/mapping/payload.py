"""The payload of an action: what its fields accept, and what they make of the rest.

The rules are those of `packages/core/src` of segmentio/action-destinations: empty values are
dropped (`remove-empty-values.ts`), then a JSON schema made of the fields
(`fields-to-jsonschema.ts`) is applied with type coercion (`schema-validation.ts`; the
coercions themselves are in `lib/compile/validate/dataType.ts` of ajv-validator/ajv).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from streams.errors import PayloadError
from streams.events import Event
from streams.mapping.compiler import compile_mapping
from streams.mapping.formats import is_date_time
from streams.mapping.javascript import UNDEFINED, to_number, to_string, type_name
from streams.mapping.paths import Resolver

Payload: TypeAlias = dict[str, Any]
"""The fields of an action by name, valid and without null."""

FieldType: TypeAlias = Literal["string", "number", "integer", "boolean", "object"]

_Check: TypeAlias = Callable[[Any], Any]
"""From a value to the one to send. Raises ``PayloadError`` when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of an action.

    ``default`` is the mapping that a preset uses. ``properties`` are the only keys that an
    object keeps; without them it keeps all. ``multiple`` makes an array of ``type``.
    """

    label: str
    type: FieldType
    required: bool = False
    format: Literal["date-time"] | None = None
    multiple: bool = False
    properties: Mapping[str, Field] | None = None
    default: Any = UNDEFINED


def default_mapping(fields: Mapping[str, Field]) -> dict[str, Any]:
    """The mapping made of the fields' defaults (``defaultValues`` in Segment's core)."""
    return {name: field.default for name, field in fields.items() if field.default is not UNDEFINED}


def compile_payload(
    fields: Mapping[str, Field], mapping: Mapping[str, Any], *, path: str = ""
) -> Callable[[Event], Payload]:
    """A closure from an event to the payload that ``mapping`` makes of it.

    It raises one ``PayloadError`` that names every field at fault. Keys of ``mapping`` that
    are no fields are left out, as Segment does. Raises ``SettingsError`` for a bad mapping,
    also under such a key.
    """
    steps: list[tuple[str, Resolver, type, _Check]] = []
    for name, value in mapping.items():
        resolver = compile_mapping(value, path=f"{path}.{name}" if path else name)
        if name in fields:
            steps.append((name, resolver, _accepted(fields[name]), _check(fields[name])))
    required = tuple(name for name, field in fields.items() if field.required)

    def build(event: Event) -> Payload:
        payload: Payload = {}
        faults: dict[str, str] = {}
        for name, resolve, accepted, check in steps:
            try:
                value = resolve(event)
                # No field accepts null; an empty string counts as absent at this level.
                if type(value) is accepted:
                    if value or accepted is dict:
                        payload[name] = value
                elif value is not UNDEFINED and value is not None and value != "":
                    payload[name] = check(value)
            except PayloadError as error:
                faults[name] = str(error)
        for name in required:
            if name not in payload:
                faults.setdefault(name, "is required")
        if faults:
            raise _error(faults, fields)
        return payload

    return build


def _error(faults: Mapping[str, str], fields: Mapping[str, Field]) -> PayloadError:
    return PayloadError(
        "; ".join(f"{name} ({fields[name].label}) {text}" for name, text in faults.items())
    )


def _check(field: Field) -> _Check:
    if field.multiple:
        return _array_check(field)
    if field.type == "object":
        return _object_check(field)
    if field.format == "date-time":
        return _date_time
    return _SCALARS[field.type]


class _NoType:
    """No value is of this type."""


def _accepted(field: Field) -> type:
    """The type of the values that pass as they are: a way around most calls of the check."""
    if field.type == "string" and not field.multiple and not field.format:
        return str
    if field.type == "object" and not field.multiple and field.properties is None:
        return dict
    return _NoType


def _wrong(expected: str, value: Any) -> PayloadError:
    return PayloadError(f"should be {expected}, not {type_name(value)}")


def _unwrap(value: Any) -> Any:
    """The item of an array of one: ajv's ``coerceTypes: 'array'``, one level deep."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    item = _unwrap(value)
    if item is None:
        return ""
    if isinstance(item, (str, bool, int, float)):
        return to_string(item)
    raise _wrong("a string", value)


def _date_time(value: Any) -> str:
    text = value if isinstance(value, str) else _string(value)
    if not is_date_time(text):
        raise PayloadError("should be a date and time, such as 2026-01-31T09:00:00Z")
    return text


def _number(value: Any) -> float:
    item = _unwrap(value)
    if item is None:
        return 0
    if isinstance(item, int):
        return int(item)
    if isinstance(item, str) and item:
        item = to_number(item)
    if not isinstance(item, float) or not math.isfinite(item):
        raise _wrong("a number", value)
    return int(item) if item.is_integer() else item


def _integer(value: Any) -> int:
    number = _number(value)
    if not isinstance(number, int):
        raise PayloadError("should be a whole number")
    return number


def _boolean(value: Any) -> bool:
    item = _unwrap(value)
    if isinstance(item, bool):
        return item
    if item is None or item in ("false", 0):
        return False
    if item in ("true", 1):
        return True
    raise _wrong("true or false", value)


_SCALARS: Final[Mapping[str, _Check]] = {
    "string": _string,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
}


def _object_check(field: Field) -> _Check:
    if field.properties is None:
        return _object
    accepted = {name: _accepted(inner) for name, inner in field.properties.items()}
    may_be_empty = not any(inner.required for inner in field.properties.values())
    check_each = _property_check(field.properties)

    def check(value: Any) -> dict[str, Any]:
        given = _object(value)
        for name, item in given.items():
            if type(item) is not accepted.get(name):
                return check_each(given)
        return given if may_be_empty else check_each(given)

    return check


def _property_check(fields: Mapping[str, Field]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    checks = {name: (_check(field), field) for name, field in fields.items()}
    required = tuple(name for name, field in fields.items() if field.required)

    def check(given: dict[str, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        faults: dict[str, str] = {}
        for name, item in given.items():
            if name not in checks or item is None:
                continue
            inner, field = checks[name]
            # Unlike a field, a property may be empty if it is a string.
            if item == "" and field.type != "string":
                continue
            try:
                kept[name] = inner(item)
            except PayloadError as error:
                faults[name] = str(error)
        for name in required:
            if name not in kept:
                faults.setdefault(name, "is required")
        if faults:
            raise PayloadError("; ".join(f"{name} {text}" for name, text in faults.items()))
        return kept

    return check


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise _wrong("an object", value)


def _array_check(field: Field) -> _Check:
    single = Field(
        label=field.label, type=field.type, format=field.format, properties=field.properties
    )
    check = _check(single)

    def check_all(value: Any) -> list[Any]:
        items = value if isinstance(value, list) else [value]
        return [
            check(item)
            for item in items
            if item is not None and (item != "" or field.type == "string")
        ]

    return check_all
