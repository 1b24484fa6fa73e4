"""Formats that a field may ask of a string."""

from __future__ import annotations

import re
from typing import Final

from streams.mapping.javascript import WHITESPACE

_SEPARATOR: Final = re.compile(f"[tT{WHITESPACE}]")
_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME: Final = re.compile(
    r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:[zZ]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_DAYS: Final = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


_USUAL: Final = re.compile(
    r"[0-9]{4}-(?:"
    r"(?:0[1-9]|1[0-2])-(?:[01][1-9]|10|2[0-8])"
    r"|(?:0[13-9]|1[0-2])-(?:29|30)"
    r"|(?:0[13578]|1[02])-31"
    r")T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}\.[0-9]{3}Z"
).fullmatch
"""``2026-01-31T09:00:00.000Z``, which nearly all events have: one call instead of many."""


def is_date_time(text: str) -> bool:
    """Whether ``text`` is a date and a time of RFC 3339, the zone being optional.

    The rule is ``date-time`` of `src/formats.ts`, ajv-validator/ajv-formats, which Segment
    uses.
    """
    return _USUAL(text) is not None or _is_full(text)


def _is_full(text: str) -> bool:
    parts = _SEPARATOR.split(text)
    return len(parts) == 2 and _is_date(parts[0]) and _is_time(parts[1])


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    if not match:
        return False
    year, month, day = map(int, match.groups())
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 1 <= month <= 12 and 1 <= day <= _DAYS[month] + leap


def _is_time(text: str) -> bool:
    match = _TIME.fullmatch(text)
    if not match:
        return False
    hour, minute, second = map(int, match.groups())
    leap_second = (hour, minute, second) == (23, 59, 60)
    return leap_second or (hour <= 23 and minute <= 59 and second <= 59)
