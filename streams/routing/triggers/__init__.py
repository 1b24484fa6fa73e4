"""Triggers: which events a subscription is for, in Segment's query language (FQL).

``type = "track" and event != "Login"``. A trigger is compiled once, to a closure. The answers
are those of `packages/destination-subscriptions` of segmentio/action-destinations; see
docs/triggers.md for what they are where one might expect something else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streams.errors import SettingsError
from streams.events import Event
from streams.routing.triggers.conditions import compile_node
from streams.routing.triggers.lexer import UnreadableError
from streams.routing.triggers.parser import Condition, Group, parse
from streams.routing.triggers.types import event_types

__all__ = ["compile_trigger", "event_types"]


def compile_trigger(
    text: str, *, path: str = "trigger", parity: bool = False
) -> Callable[[Event], bool]:
    """A closure that says whether an event matches ``text``.

    ``path`` says where the trigger stands, for messages. Raises ``SettingsError`` for what
    Segment cannot read, and for what it reads in part. With ``parity`` nothing is refused:
    what cannot be read never matches, what is passed over does not count, and brackets around
    nothing raise ``PayloadError`` for an event if it comes to them.
    """
    try:
        parsed = parse(text)
    except UnreadableError as error:
        if not parity:
            raise SettingsError(*(f"{path}: {fault}" for fault in error.faults)) from None
        return _never
    if parsed.faults and not parity:
        raise SettingsError(*(f"{path}: {fault}" for fault in parsed.faults))
    types = _types(parsed.root)
    return _of_type(types) if types else compile_node(parsed.root)


def _types(root: Group) -> tuple[str, ...]:
    """The types that ``root`` asks for if it is about nothing else, as most triggers are."""
    if root.operator != "or" and len(root.children) > 1:
        return ()
    types = []
    for child in root.children:
        if not isinstance(child, Condition) or (child.part, child.operator) != ("type", "="):
            return ()
        types.append(str(child.value))
    return tuple(types)


def _of_type(types: tuple[str, ...]) -> Callable[[Event], bool]:
    if len(types) > 1:
        # A tuple: what an event holds under "type" need not be hashable.
        return lambda event: event.get("type") in types
    (name,) = types

    def matches(event: Event) -> bool:
        # Asked of every event by every subscription: no call more than this.
        is_it: bool = event.get("type") == name
        return is_it

    return matches


def _never(_event: Any) -> bool:
    return False
