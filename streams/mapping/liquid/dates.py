"""Dates as JavaScript reads them and LiquidJS writes them. The zone is UTC.

Reading follows V8 (`src/date/dateparser-inl.h`), which is far from strict: whatever holds a
number that may be a month is a date. Writing follows `src/util/strftime.ts` of LiquidJS.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from streams.mapping.javascript import number_to_string
from streams.mapping.liquid.values import LiquidError

_MAX_MILLISECONDS: Final = 8.64e15
_DAY: Final = 86_400_000
MAX_WIDTH: Final = 10_000
"""Ours: wider fields than that are refused."""

_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKDAYS: Final = (
    *("Sunday", "Monday", "Tuesday", "Wednesday"),
    *("Thursday", "Friday", "Saturday"),
)


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970 of a date of the Gregorian calendar, with months from 1."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return (
        era * 146_097
        + year_of_era * 365
        + year_of_era // 4
        - year_of_era // 100
        + (day_of_year - 719_468)
    )


class Moment(NamedTuple):
    """A time as its parts."""

    milliseconds: int
    year: int
    month: int
    day: int
    weekday: int
    day_of_year: int
    hour: int
    minute: int
    second: int
    fraction: int


def moment(milliseconds: float) -> Moment | None:
    """The parts of a time; None if it is out of JavaScript's range, or no number."""
    if math.isnan(milliseconds) or abs(milliseconds) > _MAX_MILLISECONDS:
        return None
    whole = math.trunc(milliseconds)
    days, rest = divmod(whole, _DAY)
    year, month, day = _civil(days)
    second, fraction = divmod(rest, 1000)
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    day_of_year = days - _days(year, 1, 1) + 1
    return Moment(
        *(whole, year, month, day, (days + 4) % 7, day_of_year, hour, minute, second, fraction)
    )


def _civil(days: int) -> tuple[int, int, int]:
    era, day_of_era = divmod(days + 719_468, 146_097)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = (shifted + 2) % 12 + 1
    return era * 400 + year + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


# -- reading

_ISO: Final = re.compile(
    r"([+-][0-9]{6}|[0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?",
    re.IGNORECASE,
)
_TOKEN: Final = re.compile(r"[0-9]+|[^\x00-@]+|[\t-\r ]+|.", re.DOTALL)
"""Numbers, words (of all that comes after "@"), blanks, and signs one by one."""

_HOURS_FROM_UTC: Final = dict.fromkeys(("ut", "utc", "z", "gmt"), 0) | {
    "est": -5,
    "edt": -4,
    "cst": -6,
    "cdt": -5,
    "mst": -7,
    "mdt": -6,
    "pst": -8,
    "pdt": -7,
}
_DIGITS: Final = frozenset("0123456789")
_BLANKS: Final = frozenset("\t\n\v\f\r ")
_HALVES: Final = {"am": 0, "pm": 12}


def parse_date(text: str) -> float:
    """``Date.parse(text)``: milliseconds since 1970, or NaN."""
    match = _ISO.fullmatch(text)
    if match:
        found = _from_iso(match)
        if found is not None:
            return found
    try:
        return _Legacy(text).parse()
    except _NoDateError:
        return math.nan


def _from_iso(match: re.Match[str]) -> float | None:
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if year == "-000000":
        return None
    time = (int(hour or 0), int(minute or 0), int(second or 0), _thousandths(fraction))
    date = (int(year), int(month or 1), int(day or 1))
    if not (1 <= date[1] <= 12 and 1 <= date[2] <= 31 and _is_time(*time)):
        return None
    minutes = 0
    if zone and zone not in "zZ":
        hours, of_hour = int(zone[1:3]), int(zone[-2:])
        if hours > 23 or of_hour > 59:
            return None
        minutes = (hours * 60 + of_hour) * (-1 if zone[0] == "-" else 1)
    return _milliseconds(date, time, minutes)


def _milliseconds(
    date: tuple[int, int, int], time: tuple[int, int, int, int], minutes_from_utc: int
) -> float:
    hour, minute, second, fraction = time
    days = _days(date[0], date[1], 1) + date[2] - 1
    seconds = hour * 3600 + (minute - minutes_from_utc) * 60 + second
    found = float(days * _DAY + seconds * 1000 + fraction)
    return found if abs(found) <= _MAX_MILLISECONDS else math.nan


def _is_time(hour: int, minute: int, second: int, fraction: int) -> bool:
    if hour == 24:
        return not (minute or second or fraction)
    return 0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60


def _thousandths(digits: str | None) -> int:
    return int((digits or "0")[:3].ljust(3, "0"))


class _NoDateError(ValueError):
    """The text is no date."""


@dataclass(slots=True)
class _Legacy:
    """The reader for whatever is not ISO 8601."""

    text: str
    tokens: list[str] = field(default_factory=list)
    position: int = 0
    day: list[int] = field(default_factory=list)
    named_month: int | None = None
    time: list[int] = field(default_factory=list)
    half: int | None = None
    zone_sign: int | None = None
    zone_hour: int | None = None
    zone_minute: int | None = None
    has_read_number: bool = False

    def parse(self) -> float:
        """The milliseconds. Raises ``_NoDateError``."""
        self.tokens = [match.group() for match in _TOKEN.finditer(self.text)]
        self._signed_year()
        while token := self._next():
            self._take(token)
        return self._result()

    def _take(self, part: str) -> None:
        if part[0] in _DIGITS:
            self._number(part)
        elif part[0] >= "A":
            self._word(part.lower())
        elif part in "+-" and (self._is_utc() or self.time):
            self._offset(1 if part == "+" else -1)
        elif part in "+-)" and self.has_read_number:
            raise _NoDateError
        elif part == "(":
            self._skip_brackets()

    def _signed_year(self) -> None:
        """Six digits after a sign, at the start, are a year as they are."""
        if len(self.tokens) > 1 and re.fullmatch("[0-9]{6}", self.tokens[1]):
            year = int(self.tokens[1])
            if self.tokens[0] == "+" or (self.tokens[0] == "-" and year):
                self.day.append(year if self.tokens[0] == "+" else -year)
                self.position = 2
                self.has_read_number = True
                self._skip("-")

    def _number(self, digits: str) -> None:
        self.has_read_number = True
        number = min(int(digits[:12]), 10**9)
        if self._skip(":"):
            if self._skip(":"):
                if self.time:
                    raise _NoDateError
                self.time += [number, 0]
            else:
                self._add_time(number)
                self._skip(".")
        elif self._peek() == "." and self._expects_time(number):
            self._next()
            self._add_time(number)
            following = self._next()
            if following[:1] not in _DIGITS:
                raise _NoDateError
            self._finish_time(_thousandths(following))
        elif self.zone_hour is not None and self.zone_minute is None and number < 60:
            self._skip(".")
            self.zone_minute = number
        elif self._expects_time(number):
            self._finish_time(number)
            if not self._may_follow_time(self._peek()):
                raise _NoDateError
        else:
            self._skip(".")
            if len(self.day) == 3:
                raise _NoDateError
            self.day.append(number)
            self._skip("-")

    def _word(self, word: str) -> None:
        if word in _HALVES and self.time:
            self.half = _HALVES[word]
        elif (month := _month_named(word)) is not None:
            self.named_month = month
            self._skip("-")
        elif word in _HOURS_FROM_UTC and self.has_read_number:
            hours = _HOURS_FROM_UTC[word]
            self.zone_sign = -1 if hours < 0 else 1
            self.zone_hour, self.zone_minute = abs(hours), 0
        elif self.has_read_number or self._peek()[:1] in _DIGITS:
            raise _NoDateError

    def _offset(self, sign: int) -> None:
        self.zone_sign = sign
        digits = self._next() if self._peek()[:1] in _DIGITS else ""
        self.has_read_number = True
        if self._peek() == ":":
            self.zone_hour, self.zone_minute = int(digits or 0), None
        elif len(digits) in (1, 2):
            self.zone_hour, self.zone_minute = int(digits), 0
        elif len(digits) in (3, 4):
            self.zone_hour, self.zone_minute = divmod(int(digits), 100)
        else:
            raise _NoDateError

    def _result(self) -> float:
        date = self._date()
        hour, minute, second, fraction = [*self.time, 0, 0, 0, 0][:4]
        if self.half is not None:
            if not 0 <= hour <= 12:
                raise _NoDateError
            hour = hour % 12 + self.half
        if not _is_time(hour, minute, second, fraction):
            raise _NoDateError
        minutes = (self.zone_hour or 0) * 60 + (self.zone_minute or 0)
        return _milliseconds(
            date, (hour, minute, second, fraction), minutes * (self.zone_sign or 0)
        )

    def _date(self) -> tuple[int, int, int]:
        if not self.day:
            raise _NoDateError
        first, second, third = [*self.day, 1, 1][:3]
        if self.named_month is not None:
            month = self.named_month
            day, year = (first, second) if 1 <= first <= 31 else (second, first)
        elif 1 <= first <= 31:
            month, day, year = first, second, third
        else:
            year, month, day = first, second, third
        if 0 <= year < 100:
            year += 2000 if year < 50 else 1900
        if not (1 <= month <= 12 and 1 <= day <= 31 and year < 2**30):
            raise _NoDateError
        return year, month, day

    def _is_utc(self) -> bool:
        return self.zone_hour == 0 and self.zone_minute == 0

    def _expects_time(self, number: int) -> bool:
        return (len(self.time) in (1, 2) and number < 60) or (len(self.time) == 3 and number < 1000)

    def _add_time(self, number: int) -> None:
        if len(self.time) == 4:
            raise _NoDateError
        self.time.append(number)

    def _finish_time(self, number: int) -> None:
        self._add_time(number)
        self.time += [0] * (4 - len(self.time))

    def _may_follow_time(self, token: str) -> bool:
        return not token or token in ("+", "-", "z", "Z", "(") or token[0] in _BLANKS

    def _skip_brackets(self) -> None:
        depth = 1
        while depth and (part := self._next()):
            depth += (part == "(") - (part == ")")

    def _skip(self, symbol: str) -> bool:
        if self._peek() != symbol:
            return False
        self.position += 1
        return True

    def _next(self) -> str:
        token = self._peek()
        self.position += 1
        return token

    def _peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""


def _month_named(word: str) -> int | None:
    for number, name in enumerate(_MONTHS, start=1):
        if len(word) >= 3 and word[:3] == name[:3].lower():
            return number
    return None


# -- writing

_FORMAT: Final = re.compile(r"%([-_0^#:]+)?([0-9]+)?([EO])?([^\n\r\u2028\u2029])")


def _weeks(date: Moment, start: int) -> int:
    return (date.day_of_year - 1 - (date.weekday - start) % 7 + 7) // 7


def _ordinal(day: int) -> str:
    if day in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _twelve(hour: int) -> int:
    return hour % 12 or 12


def _day_text(date: Moment) -> str:
    return f"{date.month}/{date.day}/{date.year}"


def _clock_text(date: Moment) -> str:
    half = "AM" if date.hour < 12 else "PM"
    return f"{_twelve(date.hour)}:{date.minute:02}:{date.second:02} {half}"


_CONVERSIONS: Final[dict[str, Callable[[Moment], Any]]] = {
    "a": lambda date: _WEEKDAYS[date.weekday][:3],
    "A": lambda date: _WEEKDAYS[date.weekday],
    "b": lambda date: _MONTHS[date.month - 1][:3],
    "h": lambda date: _MONTHS[date.month - 1][:3],
    "B": lambda date: _MONTHS[date.month - 1],
    "c": lambda date: f"{_day_text(date)}, {_clock_text(date)}",
    "C": lambda date: date.year // 100,
    "d": lambda date: date.day,
    "e": lambda date: date.day,
    "H": lambda date: date.hour,
    "I": lambda date: _twelve(date.hour),
    "j": lambda date: date.day_of_year,
    "k": lambda date: date.hour,
    "l": lambda date: _twelve(date.hour),
    "L": lambda date: date.fraction,
    "m": lambda date: date.month,
    "M": lambda date: date.minute,
    "p": lambda date: "AM" if date.hour < 12 else "PM",
    "P": lambda date: "am" if date.hour < 12 else "pm",
    "q": lambda date: _ordinal(date.day),
    "s": lambda date: date.milliseconds // 1000,
    "S": lambda date: date.second,
    "u": lambda date: date.weekday or 7,
    "U": lambda date: _weeks(date, 0),
    "w": lambda date: date.weekday,
    "W": lambda date: _weeks(date, 1),
    "x": _day_text,
    "X": _clock_text,
    "y": lambda date: date.year % 100,
    "Y": lambda date: date.year,
    "Z": lambda date: "UTC",  # noqa: ARG005
    "t": lambda date: "\t",  # noqa: ARG005
    "n": lambda date: "\n",  # noqa: ARG005
    "%": lambda date: "%",  # noqa: ARG005
}
_WIDTHS: Final = dict.fromkeys("CdeHIklmMSUWy", 2) | {"j": 3, "L": 3, "Y": 4}
_PADDED_WITH_BLANKS: Final = frozenset("aAbBceklpP")


def format_date(date: Moment, pattern: str) -> str:
    """``date`` by a pattern such as ``%Y-%m-%d``. Raises ``LiquidError`` for absurd widths."""
    return _FORMAT.sub(lambda match: _convert(date, match), pattern)


def _convert(date: Moment, match: re.Match[str]) -> str:
    flags, width_text, _, conversion = match.groups(default="")
    width = int(width_text[:9] or 0)
    if width > MAX_WIDTH:
        raise LiquidError("a date is too wide")
    if conversion == "z":
        text = "+00:00" if ":" in flags else "+0000"
    elif conversion == "N":
        text = f"{date.fraction:03}"[: width or 9].ljust(width or 9, "0")
    elif conversion in _CONVERSIONS:
        value = _CONVERSIONS[conversion](date)
        text = value if isinstance(value, str) else number_to_string(value)
    else:
        return match.group()
    return _pad(_case(text, flags), conversion, flags, width)


def _case(text: str, flags: str) -> str:
    if "^" in flags:
        return text.upper()
    if "#" in flags:
        return text.upper() if re.search("[a-z]", text) else text.lower()
    return text


def _pad(text: str, conversion: str, flags: str, width: int) -> str:
    pad = " " if conversion in _PADDED_WITH_BLANKS else "0"
    if "_" in flags:
        pad = " "
    elif "0" in flags:
        pad = "0"
    width = 0 if "-" in flags else width or _WIDTHS.get(conversion, 0)
    if pad == "0" and text[:1] == "-":
        return "-" + text[1:].rjust(width - 1, pad)
    return text.rjust(width, pad)
