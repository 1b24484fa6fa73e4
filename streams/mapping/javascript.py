"""The rules of JavaScript that Segment's answers depend on.

Segment's runtime is JavaScript, so a mapped value follows the language's conversions
(ECMA-262, "Type Conversion"). They live here under the names the standard gives them;
nothing else in this package knows about them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from json.encoder import encode_basestring
from typing import Any, Final, NoReturn

from streams.errors import PayloadError

MAX_EXACT_INTEGER: Final = 2**53
"""Above this, a JavaScript number no longer holds every integer."""

WHITESPACE: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""What ``trim`` and ``\\s`` mean; Python's own sets differ in a few characters."""

_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PREFIXED = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_INDEX: Final = 2**32 - 2
"""The highest index of an array."""


class Undefined(Enum):
    """The type of :data:`UNDEFINED`. An enumeration, so that copies stay identical."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED
"""No value at all, as opposed to ``None``, which is JSON's null."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of JavaScript's (see :mod:`.inherited`). JSON has no such thing."""

    name: str


def is_json(value: Any) -> bool:
    """Whether JSON has a word for ``value``."""
    return value is not UNDEFINED and not isinstance(value, Function)


_TYPE_NAMES: Final[Mapping[type, str]] = {
    Undefined: "undefined",
    Function: "function",
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
}


def type_name(value: Any) -> str:
    """The JSON type of ``value`` in one word, for messages."""
    return _TYPE_NAMES.get(type(value), "object")


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
    if isinstance(value, (list, dict)):
        return not to_string(value)
    return isinstance(value, (bool, int, float)) and value == 0


def to_string(value: Any) -> str:
    """``String(value)`` of a JSON value, :data:`UNDEFINED` or a function.

    Raises ``PayloadError`` for the rare object that has no text.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number_to_string(value)
    if isinstance(value, list):
        return _join(value)
    if isinstance(value, dict):
        return _object_to_string(value)
    name = type_name(value)
    return f"function {value.name}() {{ [native code] }}" if name == "function" else name


def _object_to_string(value: Mapping[str, Any]) -> str:
    if "toString" in value:
        # It hides the method of that name, and JavaScript gives up.
        raise PayloadError("an object with the key toString cannot become text")
    return "[object Object]"


def join(array: list[Any], separator: str) -> str:
    """``array.join(separator)``: null and undefined are "", arrays within have commas."""
    return separator.join(
        "" if item is None or item is UNDEFINED else to_string(item) for item in array
    )


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


def utf16_length(text: str) -> int:
    """``text.length``: characters outside the basic plane count twice."""
    return len(text) if text.isascii() else len(text) + sum(char > "\uffff" for char in text)


def utf16_slice(text: str, start: int, end: int) -> str:
    """``text.slice(start, end)`` for two positions that are in ``text``."""
    if utf16_length(text) == len(text):
        return text[start:end]
    units = text.encode("utf-16-le", "surrogatepass")[2 * start : 2 * end]
    return units.decode("utf-16-le", "surrogatepass")


def utf16_units(text: str) -> list[str]:
    """``text.split('')``: a character outside the basic plane is two lone surrogates."""
    if utf16_length(text) == len(text):
        return list(text)
    units = text.encode("utf-16-le", "surrogatepass")
    return [
        units[start : start + 2].decode("utf-16-le", "surrogatepass")
        for start in range(0, len(units), 2)
    ]


def whole_characters(text: str) -> str:
    """``text`` with pairs of surrogates as the characters that they are halves of."""
    if text.isascii() or not _LONE_SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def replace_text(
    text: str, pattern: str, replacement: str, *, ignore_case: bool, everywhere: bool
) -> str:
    """``text.replace(regexp, replacement)``, the expression being the literal ``pattern``."""
    if "$" not in replacement and not ignore_case:
        return text.replace(pattern, replacement, -1 if everywhere else 1)
    searched, wanted = (fold(text), fold(pattern)) if ignore_case else (text, pattern)
    pieces = []
    start = 0
    found = searched.find(wanted)
    while found >= 0:
        end = found + len(wanted)
        pieces += [text[start:found], _substitute(replacement, text, found, end)]
        start = end
        found = searched.find(wanted, end) if everywhere else -1
    return "".join(pieces) + text[start:]


_SUBSTITUTION = re.compile(r"\$([$&`'])")


def _substitute(replacement: str, text: str, start: int, end: int) -> str:
    """GetSubstitution of ECMA-262 for an expression without groups."""
    parts = {"$": "$", "&": text[start:end], "`": text[:start], "'": text[end:]}
    return _SUBSTITUTION.sub(lambda match: parts[match.group(1)], replacement)


def fold(text: str) -> str:
    """``text`` as a regular expression with the flag "i" compares it (Canonicalize)."""
    return "".join(map(_fold, text)) if not text.isascii() else text.upper()


def _fold(char: str) -> str:
    upper = char.upper()
    if len(upper) != 1 or char > "\uffff" or (char > "\x7f" >= upper):
        return char
    return upper


def property_order(mapping: Mapping[str, Any]) -> Iterable[str]:
    """The keys as JavaScript lists them: array indexes first, by number."""
    indexes = [key for key in mapping if is_index(key)]
    if not indexes:
        return mapping
    indexes.sort(key=int)
    return indexes + [key for key in mapping if not is_index(key)]


def is_index(key: str) -> bool:
    """Whether ``key`` is one that JavaScript takes for the index of an array."""
    return key[:1].isdigit() and bool(_INDEX.fullmatch(key)) and int(key) <= MAX_INDEX


def stringify(value: Any) -> str:
    """``JSON.stringify(value)`` of anything that :func:`is_json`.

    May raise ``RecursionError``.
    """
    if isinstance(value, str):
        return _LONE_SURROGATE.sub(_escape_surrogate, encode_basestring(value))
    if isinstance(value, dict):
        members = (
            f"{stringify(key)}:{stringify(value[key])}"
            for key in property_order(value)
            if is_json(value[key])
        )
        return f"{{{','.join(members)}}}"
    if isinstance(value, list):
        items = (stringify(item) if is_json(item) else "null" for item in value)
        return f"[{','.join(items)}]"
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    return to_string(value)


def _escape_surrogate(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


def parse_json(text: str) -> Any:
    """``JSON.parse(text)``. Raises ``ValueError`` where JavaScript throws.

    May raise ``RecursionError``.
    """
    return _DECODER.decode(text)


def _no_constant(name: str) -> NoReturn:
    # Python knows NaN and Infinity in JSON; JSON does not.
    raise ValueError(name)


def as_number(number: float) -> float:
    """A number in the form in which JSON brings it: whole ones as integers, doubles exactly."""
    if isinstance(number, int):
        if -MAX_EXACT_INTEGER <= number <= MAX_EXACT_INTEGER:
            return number
        number = _to_double(number)
    return int(number) if abs(number) < 1e21 and number.is_integer() else number


def _parse_number(text: str) -> float:
    return as_number(float(text))


_DECODER: Final = json.JSONDecoder(
    parse_float=_parse_number, parse_int=_parse_number, parse_constant=_no_constant
)
