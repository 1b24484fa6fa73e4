"""Formats that a field may ask of a string."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from streams.mapping.javascript import WHITESPACE

_parse: Final = datetime.fromisoformat
_SEPARATOR: Final = re.compile(f"[tT{WHITESPACE}]")
_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME: Final = re.compile(
    r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:[zZ]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_DAYS: Final = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def is_date_time(text: str) -> bool:
    """Whether ``text`` is a date and a time of RFC 3339, the zone being optional.

    The rule is ``date-time`` of `src/formats.ts`, ajv-validator/ajv-formats, which Segment
    uses.
    """
    # Nearly all are like 2026-01-31T09:00:00.000Z. With the marks in their places, Python's own
    # parser has no other reading left, but for the hour 24, which newer ones take.
    if len(text) == 24 and text[4:20:3] == "--T::." and (text[11] != "2" or text[12] != "4"):
        try:
            _parse(text)
        except ValueError:
            return _is_full(text)
        return True
    return _is_full(text)


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
