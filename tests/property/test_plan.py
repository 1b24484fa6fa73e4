"""The short way to a payload answers as the long way, whatever the fields, mapping and event."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.destinations.encharge.actions import ACTIONS, Action
from streams.errors import PayloadError
from streams.mapping import Field, compile_payload, default_mapping, payload
from streams.mapping.paths import split_path, without_root
from tests.property.test_mapping import EVENTS, MAPPINGS, patiently

# Few keys, so that paths lead to something, and every kind of value wherever they lead.
KEYS = st.sampled_from(["a", "b", "length"])
NAMES = st.sampled_from(["a", "b", "length", "constructor", "it's", 'a"\\{b}\n'])
TEXTS = st.sampled_from(["", "ada", "5", "2026-01-31T09:00:00.000Z", "'\"\\\n{x}", "\ud800\u2028"])
LEAVES = TEXTS | st.sampled_from([None, 0, 5, True, [], {}, ["ada"], [None], [[1, {}]]])
INNERMOST = st.dictionaries(NAMES, LEAVES, max_size=4)
INNER = st.dictionaries(NAMES, LEAVES | INNERMOST | INNERMOST, max_size=4)
OBJECTS = st.fixed_dictionaries({}, optional=dict.fromkeys(["a", "b", "length"], LEAVES | INNER))

KEY_LISTS = st.lists(KEYS, min_size=1, max_size=4)
PATHS = KEY_LISTS.map(lambda keys: {"@path": "$." + ".".join(keys)})


def first_of(options: list[Any]) -> Any:
    condition, *others = options
    if not others:
        return condition
    return {"@if": {"exists": condition, "then": condition, "else": first_of(others)}}


def siblings(keys: list[str], names: dict[str, str]) -> dict[str, Any]:
    return {name: {"@path": "$." + ".".join([*keys, key])} for name, key in names.items()}


SIBLINGS = st.builds(siblings, st.lists(KEYS, max_size=2), st.dictionaries(NAMES, KEYS, min_size=1))
VALUES = (
    PATHS
    | st.lists(PATHS, min_size=2, max_size=4).map(first_of)
    | st.tuples(PATHS, TEXTS).map(list).map(first_of)
    | SIBLINGS
    | TEXTS
    | TEXTS.map(lambda text: {"@literal": text})
    | MAPPINGS
)

FIELD = partial(
    st.builds,
    Field,
    label=st.just("F"),
    required=st.booleans(),
    within=st.sampled_from([None, None, "context", "other"]),
)
TYPES = st.sampled_from(["string", "number", "integer", "boolean", "object"])
TEXT = st.builds(Field, label=st.just("P"), type=st.just("string"))
PROPERTY = st.builds(
    Field, label=st.just("P"), type=TYPES, required=st.sampled_from([False, False, True])
)
OBJECT_FIELDS = FIELD(
    type=st.just("object"),
    properties=st.dictionaries(NAMES, TEXT, min_size=3)
    | st.dictionaries(NAMES, PROPERTY, min_size=3),
)
FIELDS = (
    FIELD(type=st.just("string"))
    | FIELD(type=TYPES, multiple=st.booleans())
    | FIELD(type=st.just("string"), format=st.just("date-time"))
)
MAPPED = st.tuples(FIELDS, VALUES) | st.tuples(OBJECT_FIELDS, SIBLINGS)
CASES = st.lists(MAPPED | st.tuples(FIELDS, st.none()), min_size=1, max_size=3)

Build = Callable[[Any], Any]


def both_ways(fields: Any, mapping: Any) -> tuple[Build, Build]:
    short = compile_payload(fields, mapping, parity=True)
    with mock.patch.object(payload, "compile_plan", lambda steps, fields, long_way: long_way):
        return short, compile_payload(fields, mapping, parity=True)


def outcome(build: Build, event: Any) -> str:
    try:
        return json.dumps(build(event))
    except PayloadError as error:
        return f"refused: {error}"


def paths_in(mapping: Any) -> Iterator[list[str]]:
    """The keys of every path that leads somewhere."""
    if isinstance(mapping, dict):
        path = mapping.get("@path")
        if isinstance(path, str) and (keys := split_path(without_root(path))):
            yield keys
        for value in mapping.values():
            yield from paths_in(value)


def plant(event: dict[str, Any], keys: list[str], leaf: Any) -> None:
    """Put ``leaf`` into the event, at the end of a path."""
    *parents, last = keys
    for key in parents:
        if not isinstance(event.get(key), dict):
            event[key] = {}
        event = event[key]
    event[last] = copy.deepcopy(leaf)


# Which path of the mapping, how many keys short of its end, and what is to be there.
PLANTED = st.tuples(st.integers(0, 9), st.sampled_from([0, 0, 1, 2]), LEAVES)
PLANTED_EVENTS = st.lists(st.tuples(OBJECTS, st.lists(PLANTED, max_size=4)), min_size=3, max_size=6)


@settings(patiently, max_examples=500)
@given(CASES, PLANTED_EVENTS)
def test_any_fields_and_any_mapping(case: list[tuple[Field, Any]], events: list[Any]) -> None:
    fields = {f"field '{index}": field for index, (field, _) in enumerate(case)}
    mapping = {
        name: value for name, (_, value) in zip(fields, case, strict=True) if value is not None
    }
    short, long = both_ways(fields, mapping)
    paths = list(paths_in(mapping))
    for event, planted in events:
        for place, short_of, leaf in planted if paths else []:
            keys = paths[place % len(paths)]
            plant(event, keys[: max(1, len(keys) - short_of)], leaf)
        before = json.dumps(event)
        # As text: the keys are in the same order, and 1 is not True.
        assert outcome(short, event) == outcome(long, event) == outcome(short, event)
        assert json.dumps(event) == before


@patiently
@given(EVENTS, st.sampled_from(list(ACTIONS.values())))
@example({"type": "track", "event": "", "userId": 5, "context": {}}, ACTIONS["trackEvent"])
@example({"type": "track", "event": 5, "context": "", "traits": []}, ACTIONS["trackEvent"])
@example({"type": "page", "context": {"page": {"url": 5}, "campaign": 5}}, ACTIONS["trackPageView"])
def test_the_actions_as_they_are_preset(event: Any, action: Action) -> None:
    short, long = both_ways(action.fields, default_mapping(action.fields))
    assert outcome(short, event) == outcome(long, event)
