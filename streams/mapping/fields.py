"""The fields of an action, and what each accepts.

The coercions are those of Segment's JSON schema validator (`lib/compile/validate/dataType.ts`
of ajv-validator/ajv, with `coerceTypes: 'array'`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from streams.errors import PayloadError
from streams.mapping.formats import is_date_time
from streams.mapping.javascript import UNDEFINED, to_number, to_string, type_name

FieldType: TypeAlias = Literal["string", "number", "integer", "boolean", "object"]

Check: TypeAlias = Callable[[Any], Any]
"""From a value to the one to send. Raises ``PayloadError`` when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of an action.

    ``default`` is the mapping that a preset uses. ``properties`` are the only keys that an
    object keeps; without them it keeps all. ``multiple`` makes an array of ``type``. ``within``
    names an object of the payload that holds the field, instead of the payload itself.
    """

    label: str
    type: FieldType
    required: bool = False
    format: Literal["date-time"] | None = None
    multiple: bool = False
    properties: Mapping[str, Field] | None = None
    within: str | None = None
    default: Any = UNDEFINED


def parts_of(fields: Mapping[str, Field]) -> tuple[str, ...]:
    """The objects of a payload that hold fields. They are there also if they are empty."""
    return tuple(dict.fromkeys(f.within for f in fields.values() if f.within is not None))


def check_of(field: Field) -> Check:
    if field.multiple:
        return _array_check(field)
    if field.type == "object":
        return _object_check(field)
    if field.format == "date-time":
        return _date_time
    return _SCALARS[field.type]


class NoType:
    """No value is of this type."""


class DateTime(NoType):
    """Nor of this one, but of texts there are those that pass (:func:`.formats.is_date_time`)."""


def accepted_type(field: Field) -> type:
    """The type of the values that pass as they are: a way around most calls of the check."""
    if field.type == "string" and not field.multiple:
        return DateTime if field.format else str
    if field.type == "object" and not field.multiple and field.properties is None:
        return dict
    return NoType


def is_open(field: Field) -> bool:
    """Whether values that no check looks at may be in it."""
    if field.properties is not None:
        return any(map(is_open, field.properties.values()))
    return field.type == "object"


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


def _number(value: Any) -> float | None:
    item = _unwrap(value)
    if item is None:
        return 0
    if isinstance(item, int):
        return int(item)
    if isinstance(item, str) and item:
        item = to_number(item)
        if math.isinf(item):
            # "Infinity" passes as a number, and then JSON has no word for it.
            return None
    if not isinstance(item, float) or not math.isfinite(item):
        raise _wrong("a number", value)
    return int(item) if item.is_integer() else item


def _integer(value: Any) -> int | None:
    number = _number(value)
    if isinstance(number, float):
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


_SCALARS: Final[Mapping[str, Check]] = {
    "string": _string,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
}


def _object_check(field: Field) -> Check:
    if field.properties is None:
        return _object
    accepted = {name: accepted_type(inner) for name, inner in field.properties.items()}
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
    checks = {name: (check_of(field), field) for name, field in fields.items()}
    required = tuple(name for name, field in fields.items() if field.required)

    def check(given: dict[str, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        faults: dict[str, str] = {}
        for name, item in given.items():
            if name not in checks or item is None or item is UNDEFINED:
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


def _array_check(field: Field) -> Check:
    single = Field(
        label=field.label, type=field.type, format=field.format, properties=field.properties
    )
    check = check_of(single)

    def check_all(value: Any) -> list[Any]:
        items = value if isinstance(value, list) else [value]
        return [
            check(item)
            for item in items
            if item is not None and (item != "" or field.type == "string")
        ]

    return check_all
