"""From a trait to a custom attribute of a defined type.

The rule is of Segment's page about User.com: a value is converted to the attribute's type, and
left out if it cannot be. The types are those of apidocs.user.com ("attributes"); Segment's page
also speaks of ``number``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from streams.mapping.javascript import to_string

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def convert(value: Any, kind: str, choices: Sequence[str] = ()) -> Any:
    """``value`` as the type ``kind``; None if it cannot be.

    ``choices`` are those of a ``fixed`` attribute; without any, every text passes.
    """
    if kind == "fixed":
        return _fixed(value, choices)
    to = _TYPES.get(kind)
    try:
        return None if to is None or value is None else to(value)
    except (OverflowError, ValueError):
        # Beyond what numbers and dates can be.
        return None


def moment(value: Any) -> datetime | None:
    """The moment that an ISO 8601 text means, UTC where it names no zone; else None."""
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read


def _string(value: Any) -> str:
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return to_string(value)


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            return None
        value = float(text) if any(char in text for char in ".eE") else int(text)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _integer(value: Any) -> int | None:
    number = _number(value)
    return number if isinstance(number, int) else None


def _boolean(value: Any) -> bool | None:
    text = value.strip().lower() if isinstance(value, str) else value
    if text in ("true", "1", 1):
        return True
    return False if text in ("false", "0", 0) else None


def _date(value: Any) -> str | None:
    read = moment(value)
    # The day that is written, in whichever zone.
    return read.date().isoformat() if read is not None else None


def _datetime(value: Any) -> str | None:
    read = moment(value)
    return as_text(read) if read is not None else None


def as_text(value: datetime) -> str:
    """A moment as User.com shows it: ISO 8601 in UTC."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _fixed(value: Any, choices: Sequence[str]) -> Any:
    if isinstance(value, list):
        items = [_fixed(item, choices) for item in value]
        return None if not items or None in items else items
    if value is None or isinstance(value, dict):
        return None
    text = to_string(value)
    return text if not choices or text in choices else None


_TYPES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
    "float": _number,
    "integer": _integer,
    "json": lambda value: value,
    "number": _number,
    "string": _string,
}
