"""The filters, as LiquidJS has them in `src/filters`.

A filter gets a value and the arguments after the colon. An argument that was left out is
:data:`~streams.mapping.UNDEFINED`, and counts the same as one that is undefined.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import math
import re
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias
from urllib.parse import quote, unquote_to_bytes

from streams.mapping.javascript import (
    UNDEFINED,
    WHITESPACE,
    join,
    number_to_string,
    stringify,
    to_number,
    to_string,
    utf16_length,
    utf16_units,
)
from streams.mapping.javascript import is_truthy as is_something
from streams.mapping.liquid.dates import Moment, format_date, moment, parse_date
from streams.mapping.liquid.values import (
    Drop,
    LiquidError,
    array_of,
    element,
    equals,
    is_nil,
    is_truthy,
    number_of,
    number_or_zero,
    own,
    property_of,
    text_of,
)

Filter: TypeAlias = Callable[..., Any]

DISABLED: Final = (
    *("array_to_sentence_string", "concat", "find", "find_exp", "find_index", "find_index_exp"),
    *("group_by", "group_by_exp", "has", "has_exp", "map", "newline_to_br", "reject"),
    *("reject_exp", "reverse", "sort", "sort_natural", "uniq", "where_exp", "type"),
)
"""Segment's list (`packages/core/src/mapping-kit/liquid-directive.ts`)."""

_BLANKS: Final = re.compile(f"[{WHITESPACE}]+")
_NAN: Final = math.nan


def _disabled(name: str) -> Filter:
    def fail(*_arguments: Any) -> Any:
        raise LiquidError(f"the filter {name} is disabled")

    return fail


# -- numbers


def _numeric(calculate: Callable[..., float]) -> Filter:
    """A filter whose value and arguments are taken for numbers."""
    return lambda *arguments: calculate(*map(number_or_zero, arguments))


def _ceil(number: float) -> float:
    return float(math.ceil(number)) if math.isfinite(number) else number


def _floor(number: float) -> float:
    return float(math.floor(number)) if math.isfinite(number) else number


def _divide(dividend: float, divisor: float = _NAN, whole: float = 0.0) -> float:
    quotient = _quotient(dividend, divisor)
    return _floor(quotient) if whole else quotient


def _quotient(dividend: float, divisor: float) -> float:
    if divisor:
        return dividend / divisor
    if not dividend or math.isnan(dividend):
        return _NAN
    return math.copysign(math.inf, dividend) * math.copysign(1, divisor)


def _modulo(number: float, divisor: float = _NAN) -> float:
    if not divisor or not math.isfinite(number) or math.isnan(divisor):
        return _NAN
    remainder = math.fmod(number, divisor) + divisor
    return math.fmod(remainder, divisor) if math.isfinite(remainder) else _NAN


def _times(number: float, factor: float = _NAN) -> float:
    return number * factor


def _plus(number: float, other: float = _NAN) -> float:
    return number + other


def _minus(number: float, other: float = _NAN) -> float:
    return number - other


def _round(value: Any, digits: Any = UNDEFINED) -> float:
    """Decimal: the point is moved in the number's text, so that 1.005 rounds to 1.01."""
    number = number_or_zero(value)
    places = number_or_zero(digits)
    scaled = _shift(abs(number), places)
    if not scaled <= 2**53 - 1:
        return number
    below = math.floor(scaled)
    rounded = _shift(float(below + (scaled - below >= 0.5)), -places)
    return -rounded if number < 0 else rounded


def _shift(number: float, places: float) -> float:
    mantissa, _, power = number_to_string(number).partition("e")
    return to_number(f"{mantissa}e{number_to_string(float(power or 0) + places)}")


# -- text


def _textual(change: Callable[..., Any]) -> Filter:
    """A filter whose value and arguments are taken for text."""
    return lambda *arguments: change(*map(text_of, arguments))


def _required(change: Callable[[str, str], str]) -> Filter:
    def apply(value: Any, *arguments: Any) -> str:
        if len(arguments) != 1:
            raise LiquidError("a filter takes one argument")
        return change(text_of(value), text_of(arguments[0]))

    return apply


def _split_text(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else utf16_units(text)


def _split(text: str, separator: str = "") -> list[str]:
    parts = _split_text(text, separator)
    while parts and not parts[-1]:
        parts.pop()
    return parts


def _replace(text: str, pattern: str = "", replacement: str = "") -> str:
    return replacement.join(_split_text(text, pattern))


def _replace_first(text: str, pattern: str = "", replacement: str = "") -> str:
    return text.replace(pattern, replacement, 1)


def _replace_last(text: str, pattern: str = "", replacement: str = "") -> str:
    before, found, after = text.rpartition(pattern) if pattern else (text, "x", "")
    return before + replacement + after if found else text


def _remove(text: str, pattern: str = "") -> str:
    return "".join(_split_text(text, pattern))


def _capitalize(text: str) -> str:
    first = text[:1] if text[:1] > "\uffff" else text[:1].upper()
    return first + text[1:].lower()


def _stripping(strip: Callable[[str, str], str]) -> Filter:
    def apply(value: Any, characters: Any = UNDEFINED) -> str:
        given = text_of(characters) if is_something(characters) else ""
        return strip(text_of(value), given) if given else strip(text_of(value), WHITESPACE)

    return apply


def _squish(text: str) -> str:
    return _BLANKS.sub(" ", text).strip(" ")


def _truncate(value: Any, length: Any = UNDEFINED, end: Any = UNDEFINED) -> Any:
    text, tail = text_of(value), "..." if end is UNDEFINED else text_of(end)
    limit = 50.0 if length is UNDEFINED else number_of(length)
    if utf16_length(text) <= limit or math.ceil(_count(limit)) >= len(text):
        return value
    kept = max(limit - len(tail), 0.0)
    return text[: math.ceil(_count(kept))] + tail


def _count(number: float) -> float:
    """How often ``i < number`` holds for 0, 1 and so on."""
    return min(max(number, 0.0), 1e9) if not math.isnan(number) else 0.0


def _truncate_words(value: Any, words: Any = UNDEFINED, end: Any = UNDEFINED) -> str:
    tail = "..." if end is UNDEFINED else text_of(end)
    limit = 15.0 if words is UNDEFINED else number_of(words)
    parts = _BLANKS.split(text_of(value).lstrip(WHITESPACE))
    limit = 1.0 if limit <= 0 else limit
    kept = " ".join(parts[: _integer(limit)])
    return kept + tail if len(parts) >= limit else kept


def _integer(number: float) -> int:
    """ToIntegerOrInfinity, within reason."""
    return 0 if math.isnan(number) else math.trunc(max(min(number, 1e9), -1e9))


_CJK: Final = "\u4e00-\u9fff\uf900-\ufaff\u3400-\u4dbf\u3040-\u309f\u30a0-\u30ff\uac00-\ud7af"
_CJK_CHARACTER: Final = re.compile(f"[{_CJK}]")
_OTHER_WORD: Final = re.compile(f"[^{_CJK}{WHITESPACE}]+")


def _number_of_words(value: Any, mode: Any = UNDEFINED) -> int:
    text = text_of(value).strip(WHITESPACE)
    if not text:
        return 0
    characters = len(_CJK_CHARACTER.findall(text))
    if mode == "cjk" or (mode == "auto" and characters):
        return characters + len(_OTHER_WORD.findall(text))
    return len(_BLANKS.split(text))


# -- markup, URLs, digests


def _escape(text: str) -> str:
    return html.escape(text, quote=False).replace('"', "&#34;").replace("'", "&#39;")


_ENTITY: Final = re.compile("&(?:amp|lt|gt|#34|#39);")
_ENTITIES: Final = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&#34;": '"', "&#39;": "'"}


def _unescape(text: str) -> str:
    return _ENTITY.sub(lambda match: _ENTITIES[match.group()], text)


def _escape_once(text: str) -> str:
    return _escape(_unescape(text))


_MARKUP: Final = (("<script", "</script>"), ("<style", "</style>"), ("<!--", "-->"), ("<", ">"))


def _strip_html(text: str) -> str:
    kept = []
    start = 0
    while (opening := text.find("<", start)) >= 0:
        kept.append(text[start:opening])
        start = _end_of_markup(text, opening)
        if start < 0:
            return "".join(kept) + text[opening:]
    return "".join(kept) + text[start:]


def _end_of_markup(text: str, opening: int) -> int:
    for opener, closer in _MARKUP:
        if text.startswith(opener, opening):
            end = text.find(closer, opening + len(opener))
            if end >= 0:
                return end + len(closer)
    return -1


def _quote(text: str, safe: str) -> str:
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError:
        raise LiquidError("half a character cannot be in a URL") from None


def _url_encode(text: str) -> str:
    return _quote(text, "!'()*").replace("%20", "+")


def _cgi_escape(text: str) -> str:
    return _quote(text, "").replace("%20", "+")


def _uri_escape(text: str) -> str:
    return _quote(text, "!'()*;/?:@&=+$,#[]")


_BAD_PERCENT: Final = re.compile("%(?![0-9a-fA-F]{2})")


def _url_decode(text: str) -> str:
    if _BAD_PERCENT.search(text):
        raise LiquidError("the URL is malformed")
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeError:
        raise LiquidError("the URL is malformed") from None


_BASE64: Final = re.compile("[A-Za-z0-9+/]*")


def _base64_decode(text: str) -> str:
    packed = re.sub("[\t\n\f\r ]", "", text)
    if len(packed) % 4 == 0:
        packed = re.sub("==?$", "", packed)
    if len(packed) % 4 == 1 or not _BASE64.fullmatch(packed):
        raise LiquidError("base64_decode needs base64")
    return base64.b64decode(packed + "=" * (-len(packed) % 4)).decode(errors="replace")


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")


def _base64_encode(text: str) -> str:
    return base64.b64encode(_bytes(text)).decode()


def _sha256(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()


def _hmac_sha256(text: str, key: str = "") -> str:
    return hmac.new(_bytes(key), _bytes(text), hashlib.sha256).hexdigest()


# -- arrays


def _join(value: Any, separator: Any = UNDEFINED) -> str:
    return join(array_of(value), " " if is_nil(separator) else text_of(separator))


def _first(value: Any) -> Any:
    return _end(value, 0)


def _last(value: Any) -> Any:
    return _end(value, -1)


def _end(value: Any, index: int) -> Any:
    if isinstance(value, str):
        return element([*utf16_units(value)], index) if value else ""
    if isinstance(value, list):
        return element(value, index)
    length = value.get("length") if isinstance(value, dict) else None
    if isinstance(length, bool) or not isinstance(length, (int, float)):
        return ""
    return own(value, index if index >= 0 else length + index)


def _size(value: Any) -> Any:
    length = own(value, "length")
    return length if is_something(length) else 0


def _slice(value: Any, start: Any = UNDEFINED, length: Any = UNDEFINED) -> Any:
    if is_nil(value):
        return []
    items = value if isinstance(value, list) else text_of(value)
    length = 1 if length is UNDEFINED else length
    begin, count = number_of(start), number_of(length)
    if begin < 0:
        begin += len(items)
    if begin < 0 or count < 0:
        return [] if isinstance(items, list) else ""
    if isinstance(items, list):
        # JavaScript adds a text and a number to a longer text.
        end = number_of(start + to_string(length)) if isinstance(start, str) else begin + count
        return items[_integer(begin) : _integer(end)]
    first = math.ceil(_count(begin))
    return items[first : first + math.ceil(_count(count))]


def _sum(value: Any, name: Any = UNDEFINED) -> float:
    total = 0.0
    for item in array_of(value):
        number = number_of(_lookup(item, text_of(name)) if is_something(name) else item)
        total += 0.0 if math.isnan(number) else number
    return total


def _lookup(item: Any, path: str) -> Any:
    for key in path.split("."):
        item = property_of(item, key)
    return item


def _compact(value: Any) -> list[Any]:
    return [item for item in array_of(value) if not is_nil(item)]


def _where(value: Any, name: Any = UNDEFINED, wanted: Any = UNDEFINED) -> list[Any]:
    def matches(item: Any) -> bool:
        found = _lookup(item, text_of(name))
        return is_truthy(found) if wanted is UNDEFINED else equals(found, wanted)

    return [item for item in array_of(value) if matches(item)]


# -- the rest


def _default(value: Any, other: Any = UNDEFINED, *, allow_false: Any = UNDEFINED) -> Any:
    if isinstance(value, (list, str)):
        return value if value else other
    if value is False and is_something(allow_false):
        return value
    return value if is_truthy(value) else other


def _json(value: Any, *_space: Any) -> Any:
    if isinstance(value, Drop):
        return "{}"
    return value if value is UNDEFINED else stringify(value)


def _moment(value: Any) -> Moment | None:
    if is_nil(value):
        return None
    if value in ("now", "today") and isinstance(value, str):
        return moment(time.time() * 1000)
    if isinstance(value, str):
        digits = value.isascii() and value.isdigit()
        return moment(float(value) * 1000 if digits else parse_date(value))
    if isinstance(value, bool):
        return moment(float(value))
    if isinstance(value, (int, float)):
        return moment(number_of(value) * 1000)
    return moment(parse_date(to_string(value)))


def _date(value: Any, pattern: Any = UNDEFINED, *_zone: Any) -> Any:
    found = _moment(value)
    if found is None:
        return value
    return format_date(found, _DATE_FORMAT if is_nil(pattern) else text_of(pattern))


_DATE_FORMAT: Final = "%A, %B %-e, %Y at %-l:%M %P %z"


def _date_as(pattern: str) -> Filter:
    def apply(value: Any, *_arguments: Any) -> Any:
        found = _moment(value)
        return value if found is None else format_date(found, pattern)

    return apply


def _date_in_words(month: str) -> Filter:
    def apply(value: Any, kind: Any = UNDEFINED, style: Any = UNDEFINED) -> Any:
        found = _moment(value)
        if found is None:
            return value
        if kind != "ordinal":
            return format_date(found, f"%d {month} %Y")
        american = style == "US"
        return format_date(found, f"{month} %-d%q, %Y" if american else f"%-d%q {month} %Y")

    return apply


def _identity(value: Any, *_arguments: Any) -> Any:
    return value


def _largest(number: float, *others: float) -> float:
    return _NAN if any(map(math.isnan, (number, *others))) else max(number, *others, -math.inf)


def _smallest(number: float, *others: float) -> float:
    return _NAN if any(map(math.isnan, (number, *others))) else min(number, *others, math.inf)


FILTERS: Final[dict[str, Filter]] = {
    "abs": _numeric(abs),
    "append": _required(lambda text, other: text + other),
    "at_least": _numeric(_largest),
    "at_most": _numeric(_smallest),
    "base64_decode": _textual(_base64_decode),
    "base64_encode": _textual(_base64_encode),
    "capitalize": _textual(_capitalize),
    "ceil": _numeric(_ceil),
    "cgi_escape": _textual(_cgi_escape),
    "compact": _compact,
    "date": _date,
    "date_to_long_string": _date_in_words("%B"),
    "date_to_rfc822": _date_as("%a, %d %b %Y %H:%M:%S %z"),
    "date_to_string": _date_in_words("%b"),
    "date_to_xmlschema": _date_as("%Y-%m-%dT%H:%M:%S%:z"),
    "default": _default,
    "divided_by": _numeric(_divide),
    "downcase": _textual(str.lower),
    "escape": _textual(_escape),
    "escape_once": _textual(_escape_once),
    "first": _first,
    "floor": _numeric(_floor),
    "hmac_sha256": _textual(_hmac_sha256),
    "inspect": _json,
    "join": _join,
    "json": _json,
    "jsonify": _json,
    "last": _last,
    "lstrip": _stripping(str.lstrip),
    "minus": _numeric(_minus),
    "modulo": _numeric(_modulo),
    "normalize_whitespace": _textual(lambda text: _BLANKS.sub(" ", text)),
    "number_of_words": _number_of_words,
    "plus": _numeric(_plus),
    "pop": lambda value: array_of(value)[:-1],
    "prepend": _required(lambda text, other: other + text),
    "push": lambda value, item=UNDEFINED: [*array_of(value), item],
    "raw": _identity,
    "remove": _textual(_remove),
    "remove_first": _textual(_replace_first),
    "remove_last": _textual(_replace_last),
    "replace": _textual(_replace),
    "replace_first": _textual(_replace_first),
    "replace_last": _textual(_replace_last),
    "round": _round,
    "rstrip": _stripping(str.rstrip),
    "sha256": _textual(_sha256),
    "shift": lambda value: array_of(value)[1:],
    "size": _size,
    "slice": _slice,
    "split": _textual(_split),
    "squish": _textual(_squish),
    "strip": _stripping(str.strip),
    "strip_html": _textual(_strip_html),
    "strip_newlines": _textual(lambda text: re.sub("\r?\n", "", text)),
    "sum": _sum,
    "times": _numeric(_times),
    "to_integer": number_of,
    "truncate": _truncate,
    "truncatewords": _truncate_words,
    "unshift": lambda value, item=UNDEFINED: [item, *array_of(value)],
    "upcase": _textual(str.upper),
    "uri_escape": _textual(_uri_escape),
    "url_decode": _textual(_url_decode),
    "url_encode": _textual(_url_encode),
    "where": _where,
    "xml_escape": _textual(_escape),
    **{name: _disabled(name) for name in DISABLED},
}
"""Not among them: ``sample``, which is random, and ``slugify``. They, and unknown filters, leave
a value as it is; LiquidJS does the same with filters that it does not know."""

TAKE_WORDS: Final = frozenset({"inspect", "json", "jsonify", "raw", "sum", "where"})
"""The filters that tell ``nil``, ``empty`` and ``blank`` from the values behind them."""
