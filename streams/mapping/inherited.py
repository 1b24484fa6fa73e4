"""What JavaScript's own objects bring along.

A path may meet it by accident: where ``context.page`` is a text, ``context.page.search`` is the
method ``search`` of that text, which no field accepts. The names are those of Node.js 20.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streams.mapping.javascript import UNDEFINED, Function


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


OBJECT: Final = _names(
    "constructor __defineGetter__ __defineSetter__ hasOwnProperty __lookupGetter__"
    " __lookupSetter__ isPrototypeOf propertyIsEnumerable toString valueOf toLocaleString"
)
_STRING: Final = OBJECT | _names(
    "anchor at big blink bold charAt charCodeAt codePointAt concat endsWith fontcolor fontsize"
    " fixed includes indexOf isWellFormed italics lastIndexOf link localeCompare match matchAll"
    " normalize padEnd padStart repeat replace replaceAll search slice small split strike sub"
    " substr substring sup startsWith toWellFormed trim trimStart trimLeft trimEnd trimRight"
    " toLocaleLowerCase toLocaleUpperCase toLowerCase toUpperCase"
)
_NUMBER: Final = OBJECT | _names("toExponential toFixed toPrecision")
_ARRAY: Final = OBJECT | _names(
    "at concat copyWithin fill find findIndex findLast findLastIndex lastIndexOf pop push reverse"
    " shift unshift slice sort splice includes indexOf join keys entries values forEach filter"
    " flat flatMap map every some reduce reduceRight toReversed toSorted toSpliced with"
)
ANY: Final = OBJECT | _STRING | _NUMBER | _ARRAY

_METHODS: Final[Mapping[type, tuple[str, frozenset[str]]]] = {
    dict: ("Object", OBJECT),
    str: ("String", _STRING),
    bool: ("Boolean", OBJECT),
    int: ("Number", _NUMBER),
    float: ("Number", _NUMBER),
    list: ("Array", _ARRAY),
}


def inherited(value: Any, key: str) -> Any:
    """The method ``key`` of ``value``, which has no such key of its own; else undefined."""
    constructor, names = _METHODS.get(type(value), ("", frozenset()))
    if key not in names:
        return UNDEFINED
    names_differ = {"constructor": constructor, "trimLeft": "trimStart", "trimRight": "trimEnd"}
    return Function(names_differ.get(key, key))
