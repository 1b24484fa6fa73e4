"""``@if``: one of two values, by whether a third is there.

``exists`` asks for anything but undefined and null, ``blank`` (in spite of its name) for
anything that is not empty either.
"""

from __future__ import annotations

from typing import Any, Final

from streams.mapping.checks import anything, options
from streams.mapping.javascript import UNDEFINED, is_loosely_empty, is_truthy, type_name
from streams.mapping.paths import Resolver
from streams.mapping.scope import Directive, Scope, constant

_check: Final = options(optional={"exists": anything, "then": anything, "else": anything})


def _compile(value: Any, scope: Scope) -> Resolver:
    if not isinstance(value, dict):
        return scope.refuse(f"should be an object, not {type_name(value)}")
    scope.insist_on_options(value, "exists", "blank", "then", "else")
    if not (is_truthy(value.get("exists")) or is_truthy(value.get("blank"))):
        return scope.refuse("needs a value under exists or under blank")

    def branch(option: str) -> Resolver:
        return scope.at(option).compile(value[option])

    def condition(option: str) -> Resolver:
        return scope.inside(option).compile(value[option])

    then = branch("then") if "then" in value else _nothing
    # An "else" that is falsy as it stands counts as left out.
    otherwise = branch("else") if is_truthy(value.get("else")) else _nothing
    if "exists" not in value:
        return _choose_by_blank(condition("blank"), then, otherwise)
    if "then" in value and value["then"] == value["exists"]:
        return _First(then, otherwise)
    return _choose_by_exists(condition("exists"), then, otherwise)


_nothing = constant(UNDEFINED)


def _choose_by_exists(condition: Resolver, then: Resolver, otherwise: Resolver) -> Resolver:
    def resolve(event: Any) -> Any:
        found = condition(event)
        return otherwise(event) if found is None or found is UNDEFINED else then(event)

    return resolve


def _choose_by_blank(condition: Resolver, then: Resolver, otherwise: Resolver) -> Resolver:
    def resolve(event: Any) -> Any:
        found = condition(event)
        empty = found is None or found is UNDEFINED or is_loosely_empty(found)
        return otherwise(event) if empty else then(event)

    return resolve


class _First:
    """The commonest form asks whether a value exists in order to take it: one look-up does.

    Such an @if is often the "else" of another one; the two become one loop.
    """

    __slots__ = ("_alternatives", "_last")

    def __init__(self, then: Resolver, otherwise: Resolver) -> None:
        self._alternatives: tuple[Resolver, ...] = (then,)
        self._last = otherwise
        if isinstance(otherwise, _First):
            self._alternatives += otherwise._alternatives
            self._last = otherwise._last

    def __call__(self, event: Any) -> Any:
        for alternative in self._alternatives:
            found = alternative(event)
            if found is not None and found is not UNDEFINED:
                return found
        return self._last(event)


IF: Final = Directive(check=_check, compile=_compile)
"""``{"@if": {"exists" or "blank", "then"?, "else"?}}``."""
