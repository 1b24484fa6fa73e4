"""What directives ask of their options, as Segment checks it before it applies a mapping.

The rules are those of `packages/core/src/mapping-kit/validate.ts` of
segmentio/action-destinations. Every function is, or makes, a :data:`~.scope.Check`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streams.mapping.javascript import type_name, utf16_length
from streams.mapping.scope import Check, Scope, has_directive


def kind(value: Any) -> str:
    """The JSON type of ``value`` in one word, or that it is a directive."""
    is_directive = isinstance(value, dict) and has_directive(value)
    return "directive" if is_directive else type_name(value)


def anything(value: Any, scope: Scope) -> None:
    """A JSON value, or a directive. What is inside a plain object is not looked at."""
    if kind(value) == "directive":
        scope.check_directive(value)


def string(value: Any, scope: Scope) -> None:
    """A string as it stands."""
    if not isinstance(value, str):
        raise scope.error(f"should be a string, not {kind(value)}")


def boolean(value: Any, scope: Scope) -> None:
    """True or false as it stands."""
    if not isinstance(value, bool):
        raise scope.error(f"should be true or false, not {kind(value)}")


def array(value: Any, scope: Scope) -> None:
    """An array. What is in it is not looked at."""
    if not isinstance(value, list):
        raise scope.error(f"should be an array, not {kind(value)}")


def string_or_directive(value: Any, scope: Scope) -> None:
    """A string, or what leads to one."""
    if kind(value) == "directive":
        scope.check_directive(value)
    elif not isinstance(value, str):
        raise scope.error(f"should be a string or a directive, not {kind(value)}")


def object_or_directive(value: Any, scope: Scope) -> None:
    """An object of mappings, or what leads to one."""
    if not isinstance(value, dict):
        raise scope.error(f"should be an object or a directive, not {kind(value)}")
    scope.check(value)


def short(low: int, high: int) -> Check:
    """A string of so many of JavaScript's characters."""

    def check(value: Any, scope: Scope) -> None:
        string(value, scope)
        if not low <= utf16_length(value) <= high:
            raise scope.error(f"should be a string of {low} to {high} characters")

    return check


def one_of(*words: str) -> Check:
    """One of a few words, in upper or lower case."""

    def check(value: Any, scope: Scope) -> None:
        string(value, scope)
        if value.lower() not in words:
            raise scope.error(f"should be {' or '.join(words)}, not {json.dumps(value)}")

    return check


def options(
    required: Mapping[str, Check] | None = None, optional: Mapping[str, Check] | None = None
) -> Check:
    """An object with these keys. It may have others, which are checked as mappings."""
    needed, checks = set(required or {}), {**(required or {}), **(optional or {})}

    def check(value: Any, scope: Scope) -> None:
        if kind(value) != "object":
            raise scope.error(f"should be an object, not {kind(value)}")
        scope.check(value)
        for name, check_option in checks.items():
            if name in value:
                check_option(value[name], scope.at(name))
            elif name in needed:
                raise scope.error(f"needs {name}")

    return check
