"""Which types of events a trigger can be about: no other event need be asked about it."""

from __future__ import annotations

from functools import reduce

from streams.routing.triggers.parser import Condition, Node, parse


def event_types(text: str) -> frozenset[str] | None:
    """The types of the events that can match ``text``; None if it may be any.

    ``text`` is a trigger that nobody refuses: without such, a trigger may fail for any event.
    """
    return _types(parse(text).root)


def _types(node: Node) -> frozenset[str] | None:
    if node is None:
        return None
    if isinstance(node, Condition):
        asks_for_type = (node.part, node.operator) == ("type", "=")
        return frozenset({str(node.value)}) if asks_for_type else None
    children = [_types(child) for child in node.children]
    limits = [child for child in children if child is not None]
    if node.operator == "or" and len(limits) == len(children):
        return frozenset().union(*limits)
    if node.operator == "and" and limits:
        return reduce(frozenset.intersection, limits)
    return None
