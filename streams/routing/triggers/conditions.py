"""From conditions to closures: `validate.ts` of `@segment/destination-subscriptions`.

Text is compared with text and numbers with numbers: a value of another type matches nothing,
except that ``!=`` with text holds for whatever is not that text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from streams.errors import PayloadError
from streams.events import Event
from streams.mapping.javascript import UNDEFINED, to_number, to_string
from streams.mapping.paths import Resolver, compile_keys
from streams.routing.triggers.parser import Condition, Group, Node, Value

Matches: TypeAlias = Callable[[Event], bool]
_Test: TypeAlias = Callable[[Any], bool]


def compile_node(node: Node) -> Matches:
    """A closure that says whether an event meets ``node``.

    Brackets around nothing raise ``PayloadError``, if it comes to them.
    """
    if node is None:
        return _fail
    if isinstance(node, Group):
        return _compile_group(node)
    if node.operator == "=" and not node.name:
        return _compile_part(node.part, to_string(node.value))
    value_of = _compile_source(node)
    test = _TESTS.get(node.operator, _never)(node.value)
    return lambda event: test(value_of(event))


def _compile_group(group: Group) -> Matches:
    children = tuple(compile_node(child) for child in group.children)
    if len(children) == 1:
        return children[0]
    # Loops: all() and any() take a generator, which costs as much as the conditions.
    decisive = group.operator != "and"

    def matches(event: Event) -> bool:
        for child in children:
            if child(event) is decisive:
                return decisive
        return not decisive

    return matches


def _compile_part(part: str, text: str) -> Matches:
    """The commonest condition, about the type or the name of an event: one call."""
    return lambda event: bool(event.get(part) == text)


def _compile_source(condition: Condition) -> Resolver:
    if not condition.name:
        return compile_keys([condition.part])
    keys = re.findall(r"[^\[.\]]+", condition.name)
    return compile_keys([condition.part, *keys]) if keys else _fail


def _fail(_event: Any) -> bool:
    raise PayloadError("the trigger has nothing to compare in one of its conditions")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: Value) -> float:
    return to_number(value) if isinstance(value, str) else float(value)


def _equals(value: Value) -> _Test:
    text = to_string(value)
    # A text is never equal to what is no text, so the type need not be looked at.
    return lambda found: bool(found == text)


def _differs(value: Value) -> _Test:
    text = to_string(value)
    return lambda found: bool(found != text)


def _compares(holds: Callable[[float, float], bool]) -> Callable[[Value], _Test]:
    def make(value: Value) -> _Test:
        number = _number(value)
        return lambda found: _is_number(found) and holds(found, number)

    return make


def _text_test(holds: Callable[[str, str], bool]) -> Callable[[Value], _Test]:
    def make(value: Value) -> _Test:
        text = to_string(value)
        return lambda found: isinstance(found, str) and holds(found, text)

    return make


def _is_there(found: Any) -> bool:
    return found is not None and found is not UNDEFINED


def _never(_value: Value) -> _Test:
    return lambda _found: False


_TESTS: Final[Mapping[str, Callable[[Value], _Test]]] = {
    "=": _equals,
    "!=": _differs,
    "number =": _compares(lambda found, number: found == number),
    "number !=": _compares(lambda found, number: found != number),
    "<": _compares(lambda found, number: found < number),
    "<=": _compares(lambda found, number: found <= number),
    ">": _compares(lambda found, number: found > number),
    ">=": _compares(lambda found, number: found >= number),
    "contains": _text_test(lambda found, text: text in found),
    "not_contains": _text_test(lambda found, text: text not in found),
    "starts_with": _text_test(lambda found, text: found.startswith(text)),
    "not_starts_with": _text_test(lambda found, text: not found.startswith(text)),
    "ends_with": _text_test(lambda found, text: found.endswith(text)),
    "not_ends_with": _text_test(lambda found, text: not found.endswith(text)),
    "exists": lambda _: _is_there,
    "not_exists": lambda _: lambda found: not _is_there(found),
    "is_true": lambda _: lambda found: found is True,
    "is_false": lambda _: lambda found: found is False,
}
