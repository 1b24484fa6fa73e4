"""The short way to a payload, for events in which all is as expected.

Most fields of most mappings are values at fixed paths, in the event itself or in its context.
A plan groups them by where they lie: a parent is looked up once, and where there is none, its
fields cost nothing. Whatever is not as expected is left to the long way, which is the
reference: a plan answers the same (tests/property/test_mapping.py) or asks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from streams.errors import PayloadError
from streams.events import Event
from streams.mapping.fields import Check, Field, NoType, accepted_type
from streams.mapping.forms import alternative_paths, compile_alternatives, fixed_path, sibling_paths
from streams.mapping.javascript import UNDEFINED
from streams.mapping.paths import Resolver

_Build: TypeAlias = Callable[[Event], dict[str, Any]]
_Fill: TypeAlias = Callable[[Event, Mapping[str, Any], dict[str, Any]], None]
"""Puts into a payload (last) what it finds in a part of an event."""


class Step(NamedTuple):
    """How one field comes about: where from, the type that may pass, and what else may.

    Without ``mapping``, no short way is looked for.
    """

    name: str
    field: Field
    mapping: Any
    resolve: Resolver
    accepted: type
    check: Check


class _Part(NamedTuple):
    """A step whose value is at ``key`` of a parent. ``members``: see :func:`_members`."""

    step: Step
    key: str
    members: tuple[tuple[str, str], ...] | None


def compile_plan(steps: Sequence[Step], fields: Mapping[str, Field], long_way: _Build) -> _Build:
    """A closure that answers as ``long_way``, which does all ``steps`` one by one."""
    groups, others = _sort(steps)
    fill_from_event = _compile_fill(groups.pop((), []))
    below = tuple(
        (parent, _compile_fill(parts), _objects(parts)) for (parent,), parts in groups.items()
    )
    rest = tuple((step.name, _resolver(step), step.accepted, step.check) for step in others)
    required = tuple(name for name, field in fields.items() if field.required)

    def build(event: Event) -> dict[str, Any]:
        payload: dict[str, Any] = {}
        try:
            fill_from_event(event, event, payload)
            for parent, fill, objects in below:
                node = event.get(parent)
                if node is None:
                    for name in objects:
                        payload[name] = {}
                elif type(node) is dict:
                    fill(event, node, payload)
                else:
                    return long_way(event)
            for name, resolve, accepted, check in rest:
                value = resolve(event)
                if type(value) is accepted:
                    if value or accepted is dict:
                        payload[name] = value
                elif value is not UNDEFINED and value is not None and value != "":
                    payload[name] = check(value)
        except (PayloadError, RecursionError):
            return long_way(event)
        for name in required:
            if name not in payload:
                return long_way(event)
        return payload

    return build


def _resolver(step: Step) -> Resolver:
    # To a field, null and undefined are the same.
    paths = alternative_paths(step.mapping)
    return compile_alternatives(paths) if paths else step.resolve


def _sort(steps: Sequence[Step]) -> tuple[dict[tuple[str, ...], list[_Part]], list[Step]]:
    """The steps with a short way, by the keys that lead to their parents; and the others."""
    groups: dict[tuple[str, ...], list[_Part]] = {}
    others = []
    for step in steps:
        members = _members(step)
        keys = fixed_path(step.mapping) if members is None else members[0]
        if 1 <= len(keys) <= 2:
            part = _Part(step, keys[-1], None if members is None else members[1])
            groups.setdefault(tuple(keys[:-1]), []).append(part)
        else:
            others.append(step)
    return groups, others


def _members(step: Step) -> tuple[Sequence[str], tuple[tuple[str, str], ...]] | None:
    """For an object of texts from one place: that place, and the texts' names and keys in it."""
    properties = step.field.properties
    if step.mapping is None or not properties or step.field.multiple:
        return None
    if any(field.required or accepted_type(field) is not str for field in properties.values()):
        return None
    siblings = sibling_paths(step.mapping)
    if siblings is None:
        return None
    parent, entries = siblings
    return parent, tuple(entry for entry in entries if entry[0] in properties)


def _objects(parts: Sequence[_Part]) -> tuple[str, ...]:
    """The fields that are an empty object where there is nothing."""
    return tuple(part.step.name for part in parts if part.members is not None)


def _compile_fill(parts: Sequence[_Part]) -> _Fill:
    single = [part for part in parts if part.members is None]
    texts, wholes, checked = (
        tuple(
            (part.step.name, part.key, part.step.check)
            for part in single
            if part.step.accepted is accepted
        )
        for accepted in (str, dict, NoType)
    )
    objects = tuple(
        (part.step.name, part.key, part.members, part.step.resolve, part.step.check)
        for part in parts
        if part.members is not None
    )

    def fill(event: Event, node: Mapping[str, Any], payload: dict[str, Any]) -> None:
        # Of JSON, only None stands for "nothing there"; a missing key looks the same here.
        get = node.get
        for name, key, check in texts:
            value = get(key)
            if value is not None:
                if type(value) is not str:
                    payload[name] = check(value)
                elif value:
                    payload[name] = value
        for name, key, check in wholes:
            value = get(key)
            if value is not None and value != "":
                payload[name] = value if type(value) is dict else check(value)
        for name, key, check in checked:
            value = get(key)
            if value is not None and value != "":
                payload[name] = check(value)
        for name, key, members, resolve, check in objects:
            inner = get(key)
            if inner is None:
                payload[name] = {}
            elif type(inner) is dict:
                payload[name] = _take(members, inner) or check(resolve(event))
            else:
                payload[name] = check(resolve(event))

    return fill


def _take(members: Sequence[tuple[str, str]], node: Mapping[str, Any]) -> dict[str, Any] | None:
    """The members that are there; None if one is no text, or if there are none."""
    found = {}
    get = node.get
    for name, key in members:
        value = get(key)
        if type(value) is str:
            found[name] = value
        elif value is not None:
            return None
    return found
