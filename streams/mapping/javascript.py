"""The rules of JavaScript that Segment's answers depend on.

Segment's runtime is JavaScript, so a mapped value follows the language's conversions
(ECMA-262, "Type Conversion"). They live here under the names the standard gives them;
nothing else in this package knows about them.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Final

MAX_EXACT_INTEGER: Final = 2**53
"""Above this, a JavaScript number no longer holds every integer."""

WHITESPACE: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""What ``trim`` and ``\\s`` mean; Python's own sets differ in a few characters."""

_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PREFIXED = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")


class Undefined(Enum):
    """The type of :data:`UNDEFINED`. An enumeration, so that copies stay identical."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED
"""No value at all, as opposed to ``None``, which is JSON's null."""


def type_name(value: Any) -> str:
    """The JSON type of ``value`` in one word, for messages."""
    if value is UNDEFINED:
        return "undefined"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def is_truthy(value: Any) -> bool:
    """ToBoolean: empty arrays and objects are true, unlike in Python."""
    if isinstance(value, (dict, list)):
        return True
    if value is UNDEFINED or value != value:  # noqa: PLR0124 - only NaN differs from itself
        return False
    return bool(value)


def is_loosely_empty(value: Any) -> bool:
    """``value == ''`` with two equals signs: 0, false and arrays that render as '' count."""
    if isinstance(value, str):
        return not value
    if isinstance(value, list):
        return not to_string(value)
    return isinstance(value, (bool, int, float)) and value == 0


def to_string(value: Any) -> str:
    """``String(value)`` of a JSON value or :data:`UNDEFINED`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number_to_string(value)
    if value is None:
        return "null"
    if isinstance(value, list):
        return _join(value)
    return "undefined" if value is UNDEFINED else "[object Object]"


def _join(array: list[Any]) -> str:
    """An array renders its leaves with commas, at any depth; null and undefined as ''.

    With a stack of its own, so that no event can exhaust Python's.
    """
    parts: list[str] = []
    stack = [array]
    while stack:
        item: Any = stack.pop()
        if isinstance(item, list) and item:
            stack.extend(reversed(item))
        elif item is None or item is UNDEFINED or item == []:
            parts.append("")
        else:
            parts.append(to_string(item))
    return ",".join(parts)


def number_to_string(number: float) -> str:
    """``String(number)``: Number::toString of ECMA-262.

    The digits are Python's (both use the shortest that read back the same); where the
    decimal point and the exponent go is not.
    """
    if isinstance(number, int):
        if -MAX_EXACT_INTEGER <= number <= MAX_EXACT_INTEGER:
            return str(number)
        number = _to_double(number)
    if number == 0:
        return "0"
    if number != number:  # noqa: PLR0124 - only NaN differs from itself
        return "NaN"
    sign = "-" if number < 0 else ""
    if number in (float("inf"), float("-inf")):
        return f"{sign}Infinity"
    digits, point = _digits(abs(number))
    return sign + _place_point(digits, point)


def _to_double(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def _digits(number: float) -> tuple[str, int]:
    """The significant digits, and where the decimal point is counted from their start."""
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    leading_zeros = len(whole) + len(fraction) - len(digits)
    return digits.rstrip("0"), len(whole) + int(exponent or 0) - leading_zeros


def _place_point(digits: str, point: int) -> str:
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"


def to_number(text: str) -> float:
    """``Number(text)`` of a string; NaN where it is no number."""
    text = text.strip(WHITESPACE)
    if not text:
        return 0.0
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _PREFIXED.fullmatch(text):
        return _to_double(int(text, 0))
    infinite = {"Infinity": "inf", "+Infinity": "inf", "-Infinity": "-inf"}
    return float(infinite.get(text, "nan"))
