"""Paths into an event, as `packages/core/src/get.ts` of segmentio/action-destinations reads them.

``a.b``, ``a[0].b`` and ``a['b']`` are the same notation. Dots separate also inside quotes,
and brackets around anything but a number or a quoted key belong to the key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from typing import Any, TypeAlias

from streams.mapping.inherited import OBJECT, inherited
from streams.mapping.javascript import UNDEFINED, is_index, is_truthy, utf16_units

Resolver: TypeAlias = Callable[[Any], Any]
"""From an event (or, inside some directives, a part of one) to a value."""

_SEPARATOR = re.compile(r"""\[(?=["'0-9])|\.|(?<=["'0-9])\]+""")


def split_path(path: str) -> list[str]:
    """The keys of ``path``, outermost first; none of them for ``""`` and ``"."``."""
    keys = [key for key in _SEPARATOR.split(path) if key]
    return [key.replace("'", "").replace('"', "") for key in keys]


def member(value: Any, key: str) -> Any:
    """``value && value[key]``: what one step of a path leads to.

    A falsy value is its own member, so null, 0, "" and false on the way are the answer.
    """
    if isinstance(value, dict):
        found = value.get(key, UNDEFINED)
    elif not is_truthy(value):
        return value
    else:
        found = _element(value, key) if isinstance(value, (list, str)) else UNDEFINED
    return inherited(value, key) if found is UNDEFINED else found


def _element(sequence: list[Any] | str, key: str) -> Any:
    if key != "length" and not is_index(key):
        return UNDEFINED
    items = utf16_units(sequence) if isinstance(sequence, str) else sequence
    if key == "length":
        return len(items)
    index = int(key)
    return items[index] if index < len(items) else UNDEFINED


def without_root(path: str) -> str:
    """``path`` without its ``$.``: the first one wherever it stands, as Segment has it."""
    return path.replace("$.", "", 1)


def compile_path(path: str) -> Resolver:
    """A closure that looks ``path`` up."""
    return compile_keys(split_path(path))


def compile_keys(keys: Sequence[str]) -> Resolver:
    """As :func:`compile_path`, for a split path: a closure made for the number of steps."""
    if not keys:
        return _whole
    if not OBJECT.isdisjoint(keys):
        return _careful_steps(tuple(keys))
    if len(keys) == 1:
        return _one_step(keys[0])
    if len(keys) == 2:
        return _two_steps(keys[0], keys[1])
    return _many_steps(tuple(keys))


cached_path = lru_cache(maxsize=1024)(compile_path)
"""For paths that are only known once the event is there."""


def _whole(root: Any) -> Any:
    return root


def _careful_steps(keys: tuple[str, ...]) -> Resolver:
    """For keys that even an object without them has."""
    return lambda root: reduce(member, keys, root)


def _one_step(key: str) -> Resolver:
    def resolve(root: Any) -> Any:
        return root.get(key, UNDEFINED) if isinstance(root, dict) else member(root, key)

    return resolve


def _two_steps(first: str, second: str) -> Resolver:
    def resolve(root: Any) -> Any:
        node = root.get(first, UNDEFINED) if isinstance(root, dict) else member(root, first)
        if isinstance(node, dict):
            return node.get(second, UNDEFINED)
        return node if node is UNDEFINED else member(node, second)

    return resolve


def _many_steps(keys: tuple[str, ...]) -> Resolver:
    def resolve(root: Any) -> Any:
        node = root
        for key in keys:
            if isinstance(node, dict):
                node = node.get(key, UNDEFINED)
            elif node is UNDEFINED:
                return node
            else:
                node = member(node, key)
        return node

    return resolve
