"""Whatever comes in: no other error than ``PayloadError``, the same answer, nothing changed."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.destinations.encharge import PRESETS, Encharge
from streams.errors import PayloadError, SettingsError
from streams.mapping import UNDEFINED, compile_mapping

# Whole events are slow to make up on a busy machine; that says nothing about the code.
patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["", "ada", "2026-01-31T09:00:00.000Z", "$.a", "{{a}}", "a@example.com"])
)
KEYS = st.sampled_from(["a", "b", "0", "length", "email", "name", "url"]) | st.text(max_size=4)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
IN_CONTEXT = ("ip", "userAgent", "groupId", "campaign", "page", "location", "traits")
IDS = ("userId", "anonymousId", "previousId", "groupId", "messageId", "email")
EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["identify", "track", "page", "group", "alias"])},
    optional={
        "context": st.fixed_dictionaries({}, optional=dict.fromkeys(IN_CONTEXT, JSON)) | JSON,
        **dict.fromkeys((*IDS, "event", "timestamp", "properties", "traits"), JSON),
    },
)

PATHS = st.sampled_from(
    ["$.", "$", "$.a", "a.b", "$.properties.0", "properties.a.length", "context['page'].url", ""]
)
TEMPLATES = st.sampled_from(["x", "{{a}}", "{{{properties.a}}}-{{ b }}", "{{ }}", "{{{a}}"])


def conditional(option: str, inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    condition = st.fixed_dictionaries({"@literal": inner})
    return st.fixed_dictionaries(
        {"@if": st.fixed_dictionaries({option: condition}, optional={"then": inner, "else": inner})}
    )


def with_options(
    name: str, required: dict[str, Any], optional: dict[str, Any] | None = None
) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({name: st.fixed_dictionaries(required, optional=optional or {})})


def others(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Directives on what others make, with good options and bad ones."""
    words = st.sampled_from(["left", "right", "upper", "lower", "encode", "decode", ".", "a", ""])
    objects = st.dictionaries(st.sampled_from(["a", "b", "1"]), inner, max_size=2)
    return (
        with_options("@case", {"operator": words, "value": inner})
        | with_options(
            "@replace",
            {"pattern": words, "value": inner},
            {"replacement": st.sampled_from(["$&", "x"]), "ignorecase": st.booleans()},
        )
        | st.fixed_dictionaries({"@arrayPath": st.tuples(PATHS, objects).map(list)})
        | with_options("@flatten", {"separator": words, "value": inner})
        | with_options("@json", {"mode": words, "value": inner})
        | with_options("@merge", {"direction": words, "objects": st.lists(objects, max_size=2)})
        | with_options("@transform", {"apply": objects, "mapping": objects})
        | st.fixed_dictionaries({"@excludeWhenNull": inner})
        | st.fixed_dictionaries({"@liquid": LIQUID})
    )


def directives(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        others(inner)
        | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
        | st.lists(inner, max_size=2)
        | st.fixed_dictionaries({"@literal": inner})
        | conditional("exists", inner)
        | conditional("blank", inner)
        | PATHS.map(lambda path: {"@path": {"@path": path}})
        | PATHS.map(lambda path: {"@template": {"@path": path}})
    )


LIQUID = st.sampled_from(
    [
        "{{ properties.a | times: 2 }}",
        "{{ event | split: 'a' | join: '-' }}",
        "{{ timestamp | date: '%Y' }}{{ a }}",
        "{% if a == b %}{{ properties | json }}{% endif %}",
        "{{ a | sort }}",
        "{{ broken",
    ]
)

MAPPINGS = st.recursive(
    SCALARS
    | PATHS.map(lambda path: {"@path": path})
    | TEMPLATES.map(lambda template: {"@template": template}),
    directives,
    max_leaves=8,
)

ENCHARGE = Encharge(
    api_key="k",
    subscriptions=[
        *PRESETS,
        *(
            {
                "partnerAction": action,
                "subscribe": 'type = "identify" or type = "track"',
                "mapping": {"tag": {"@path": "$.event"}, "userId": {"@path": "$.userId"}},
            }
            for action in ("addTag", "removeTag")
        ),
    ],
)


def outcome(call: Any, event: Any) -> Any:
    try:
        return call(event)
    except PayloadError as error:
        return str(error)


@patiently
@given(EVENTS)
def test_events_through_every_action(event: dict[str, Any]) -> None:
    before = copy.deepcopy(event)
    for subscription in ENCHARGE.subscriptions:
        if subscription.matches(event):
            first = outcome(subscription.build, event)
            assert outcome(subscription.build, event) == first
            if not isinstance(first, str):
                json.dumps(first.body, allow_nan=False)
    assert as_text(event) == as_text(before)


@patiently
@given(EVENTS | st.dictionaries(KEYS, JSON))
def test_deletions(event: dict[str, Any]) -> None:
    before = copy.deepcopy(event)
    first = outcome(ENCHARGE.delete, event)
    assert outcome(ENCHARGE.delete, event) == first
    if not isinstance(first, str):
        assert first.url.isascii()
        assert " " not in first.url
    assert as_text(event) == as_text(before)


@patiently
@given(MAPPINGS, EVENTS)
def test_mappings(mapping: Any, event: dict[str, Any]) -> None:
    mapping_before, event_before = copy.deepcopy(mapping), copy.deepcopy(event)
    resolve = compile_mapping(mapping, parity=True)
    first = outcome(resolve, event)
    assert outcome(resolve, event) == first
    if first is not UNDEFINED:
        json.dumps(first)
    assert as_text(mapping) == as_text(mapping_before)
    assert as_text(event) == as_text(event_before)


@patiently
@given(MAPPINGS, EVENTS)
def test_what_is_accepted_means_the_same_in_parity_mode(mapping: Any, event: Any) -> None:
    try:
        strict = compile_mapping(mapping)
    except SettingsError:
        return
    assert outcome(strict, event) == outcome(compile_mapping(mapping, parity=True), event)


def test_a_body_does_not_share_what_is_added_to_it() -> None:
    event = {"type": "identify", "userId": "ada", "traits": {"plan": "pro"}}
    identify = next(s for s in ENCHARGE.subscriptions if s.action == "identify")
    body = identify.build(event).body
    body["user"]["plan"] = "free"
    assert event["traits"] == {"plan": "pro"}


def test_deep_events() -> None:
    value: Any = "x"
    for _ in range(10_000):
        value = [value]
    event = {"type": "track", "event": value, "properties": {"deep": value}, "userId": value}
    track = next(s for s in ENCHARGE.subscriptions if s.action == "track")
    with pytest.raises(PayloadError, match="userId"):
        track.build(event)


def as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
