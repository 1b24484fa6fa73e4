"""Values as LiquidJS treats them: `src/util/underscore.ts` and `src/render/operator.ts`."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, TypeAlias

from streams.mapping.javascript import (
    UNDEFINED,
    WHITESPACE,
    is_index,
    to_number,
    to_string,
    utf16_length,
    utf16_units,
)

Render: TypeAlias = Callable[[Any], Any]


class LiquidError(Exception):
    """A template that cannot be read, or not be applied to an event."""


class Drop(Enum):
    """The words ``nil``, ``empty`` and ``blank``, which equal more values than one."""

    NIL = "nil"
    EMPTY = "empty"
    BLANK = "blank"


def is_nil(value: Any) -> bool:
    """Null or undefined."""
    return value is None or value is UNDEFINED or value is Drop.NIL


def plain(value: Any) -> Any:
    """The value behind a word, for what does not compare."""
    if isinstance(value, Drop):
        return None if value is Drop.NIL else ""
    return value


def is_truthy(value: Any) -> bool:
    """Only false, null and undefined are not."""
    return not (value is False or is_nil(value))


def text_of(value: Any) -> str:
    """What a value leaves in the text: arrays one item after the other, null nothing."""
    if isinstance(value, str):
        return value
    if is_nil(value) or isinstance(value, Drop):
        return ""
    if isinstance(value, list):
        return "".join(map(text_of, value))
    return to_string(value)


def number_of(value: Any) -> float:
    """``+value``: JavaScript's ToNumber."""
    if isinstance(value, str):
        return to_number(value)
    if isinstance(value, (bool, int, float)):
        return _float(value)
    if value is None:
        return 0.0
    if value is UNDEFINED:
        return math.nan
    return 0.0 if isinstance(value, Drop) else to_number(to_string(value))


def number_or_zero(value: Any) -> float:
    """What the filters for numbers take a value for."""
    number = number_of(value)
    return 0.0 if math.isnan(number) else number


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def array_of(value: Any) -> list[Any]:
    """The value as an array: null is an empty one, anything else an array of one."""
    if is_nil(value):
        return []
    return value if isinstance(value, list) else [value]


def element(array: list[Any], index: int) -> Any:
    """An item; negative indexes count from the end."""
    return array[index] if -len(array) <= index < len(array) else UNDEFINED


def own(value: Any, key: Any) -> Any:
    """A property of the value's own, and nothing that JavaScript's types bring along."""
    if isinstance(value, dict):
        return value.get(to_string(key), UNDEFINED)
    if not isinstance(value, (list, str)):
        return UNDEFINED
    name = to_string(key)
    if name == "length":
        return size_of(value)
    if not is_index(name):
        return UNDEFINED
    return element(utf16_units(value) if isinstance(value, str) else value, int(name))


def property_of(value: Any, key: Any) -> Any:
    """What ``value.key`` and ``value[key]`` lead to (`readProperty` of `context.ts`)."""
    if is_nil(value):
        return value
    is_number = isinstance(key, (int, float)) and not isinstance(key, bool)
    if isinstance(value, list) and is_number:
        return element(value, int(key)) if float(key).is_integer() else UNDEFINED
    found = own(value, key)
    if found is not UNDEFINED:
        return found
    if key == "size" and isinstance(value, (list, str, dict)):
        return len(value) if isinstance(value, dict) else size_of(value)
    if isinstance(value, list) and value and key in ("first", "last"):
        return value[0 if key == "first" else -1]
    return found


def size_of(value: list[Any] | str) -> int:
    """``value.length``."""
    return len(value) if isinstance(value, list) else utf16_length(value)


def equals(left: Any, right: Any) -> bool:
    """``==``: no conversion; arrays item by item, objects only if they are the same one."""
    if isinstance(left, Drop):
        return _is_like(right, left)
    if isinstance(right, Drop):
        return _is_like(left, right)
    if isinstance(left, list):
        same_length = isinstance(right, list) and len(left) == len(right)
        return same_length and all(map(equals, left, right))
    if isinstance(left, (dict, bool)) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def _is_like(value: Any, drop: Drop) -> bool:
    if drop is Drop.NIL:
        return is_nil(value)
    if isinstance(value, Drop):
        return drop is Drop.BLANK and value is Drop.NIL
    if drop is Drop.BLANK and (value is False or is_nil(value)):
        return True
    if isinstance(value, str):
        return not (value.strip(WHITESPACE) if drop is Drop.BLANK else value)
    return isinstance(value, (list, dict)) and not value


def comparison(name: str) -> Callable[[Any, Any], bool]:
    """``<`` and its kin: texts by their characters, anything else as numbers."""
    holds = _COMPARISONS[name]

    def compare(left: Any, right: Any) -> bool:
        if isinstance(left, (list, dict)):
            left = to_string(left)
        if isinstance(right, (list, dict)):
            right = to_string(right)
        if isinstance(left, str) and isinstance(right, str):
            return holds(_units(left), _units(right))
        return holds(number_of(left), number_of(right))

    return compare


_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _units(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")


def contains(left: Any, right: Any) -> bool:
    """``contains``: an item of an array, or a part of a text."""
    if isinstance(left, list):
        return any(equals(item, right) for item in left)
    if not isinstance(left, str):
        return False
    return to_string(plain(right)) in left
