from __future__ import annotations

import re
from typing import Any

import pytest

from streams.errors import PayloadError, SettingsError
from streams.routing.triggers import compile_trigger

EVENT: dict[str, Any] = {
    "type": "track",
    "event": "Order Completed",
    "userId": "u1",
    "name": None,
    "properties": {"plan": "pro", "price": 5, "paid": True, "a": {"b": ["x"]}, "null": None},
    "traits": {"email": "ada@example.com"},
    "context": {"page": {"path": "/home"}},
}


def matches(text: str, event: dict[str, Any] = EVENT, *, parity: bool = True) -> bool:
    return compile_trigger(text, parity=parity)(event)


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ('type = "track"', {"track"}),
        ('  type="track"  ', {"track"}),
        ('type = "page" or type = "screen"', {"page", "screen"}),
        ('type="page" or type="group" or type = "a or b"', {"page", "group", "a or b"}),
        ('type != "page" and type != "track"', {"screen", "group", "a or b", "Track", ""}),
    ],
)
def test_types(text: str, types: set[str]) -> None:
    trigger = compile_trigger(text)
    for name in ("track", "page", "screen", "group", "a or b", "Track", ""):
        assert trigger({"type": name}) is (name in types)


@pytest.mark.parametrize("event", [{}, {"type": None}, {"type": ["page"]}, {"type": {}}])
def test_types_that_are_no_text(event: dict[str, Any]) -> None:
    assert not matches('type = "page"', event)
    assert not matches('type = "page" or type = "track"', event)


@pytest.mark.parametrize(
    "text",
    [
        'event = "Order Completed"',
        'event != "Login"',
        "name = null",
        "userId != null",
        'properties.plan = "pro"',
        "properties.price = 5",
        "properties.price = 5.0",
        "properties.price != 4",
        "properties.price > 4",
        "properties.price >= 5",
        'properties.price < "6"',
        "properties.price <= 5",
        "properties.paid = true",
        "properties.paid != false",
        "properties.nope = null",
        "properties.plan != null",
        'contains(event, "Comp")',
        '!contains(event, "x")',
        'match(event, "Order*")',
        'match(event, "*Completed")',
        '!match(event, "*x")',
        'contains(traits.email, "@")',
        'context.page.path = "/home"',
        'type = "page" or event != "Login"',
        'type = "track" and (event = "Login" or userId = "u1")',
        '(type = "track")',
    ],
)
def test_what_matches(text: str) -> None:
    assert matches(text, parity=False)


@pytest.mark.parametrize(
    "text",
    [
        'event = "order completed"',
        "event = null",
        "name != null",
        'properties.price = "5"',
        'properties.plan = "PRO"',
        "properties.plan > 4",
        "properties.paid > 0",
        "properties.nope != 4",
        "properties.paid = false",
        'contains(properties.price, "5")',
        '!contains(properties.price, "x")',
        '!match(properties.nope, "x*")',
        'match(event, "Order")',
        'type = "track" and event = "Login"',
    ],
)
def test_what_does_not(text: str) -> None:
    assert not matches(text, parity=False)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        # Text is compared with text: 5 is not "5", but it is different from "5".
        ('properties.price != "5"', True),
        ("userId = 1", False),
        ("userId = true", False),
        # Only one star counts, and it may be any sign.
        ('match(event, "xrder Completed")', True),
        # Single quotes belong to the text.
        ("type = 'track'", False),
        # The last of "and" and "or" counts for all of its level.
        ('type = "page" and userId = "x" or event = "Order Completed"', True),
        ('type = "track" or userId = "x" and event = "Order Completed"', False),
        # What is not known is passed over.
        ('type = "track" and evnt = "x"', True),
        ('!(type = "track")', True),
        ("type = ", False),
        # A keyword needs a blank behind it.
        ('type = "page" or(event != "x")', False),
        ("properties.price <=5", False),
        # Keywords and numbers are no names, not even behind a dot.
        ("properties.null = null", False),
        ('properties.a.0 != "x"', False),
    ],
)
def test_what_is_odd_but_segments(text: str, answer: bool) -> None:
    assert matches(text) is answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "type",
        "typo",
        '"',
        'type * "x"',
        '(type = "track"',
        "!",
        'a!="b"',
        "\\",
        "()",
        "\r",
        "5.",
    ],
)
def test_what_cannot_be_read(text: str) -> None:
    assert not matches(text)
    with pytest.raises(SettingsError, match=r"^at: "):
        compile_trigger(text, path="at")


@pytest.mark.parametrize(
    "text",
    [
        "type = ",
        "type = 'track'",
        'type = "track" and evnt = "x"',
        '!(type = "track")',
        'type = "track" and ()',
        'type = "a" and type = "b" or type = "c"',
        'contains(type, "x")',
        "contains(event, 5)",
        "properties.price <=5",
        'toString = "x"',
    ],
)
def test_what_segment_reads_in_part_is_refused(text: str) -> None:
    compile_trigger(text, parity=True)
    with pytest.raises(SettingsError, match=r"^at: .+: "):
        compile_trigger(text, path="at")


TOLD = [
    (
        "type = 'track'",
        ["character 8: 'track' keeps its quotes, which are part .*; write \"track\""],
    ),
    ("type = track", ['character 8: track after type = is no value; write .* \\("track"\\)']),
    ("type = ", ["character 8: the end after type = is no value; write a text"]),
    ("(type = )", ["character 9: the end after type = is no value"]),
    ('type == "x"', ["character 7: = after type = is no value", 'character 9: "x" is passed over']),
    ('type and "x"', ["character 6: and after type is no operator; write = != < <= > or >="]),
    ('typo = "x"', ["character 1: there is no condition in it; typo .* did you mean type\\?"]),
    (
        'type = "x" and evnt = "y" and propertis.plan = "z"',
        [
            'character 16: evnt is passed over, and = "y" after it; did you mean event\\?',
            'character 31: propertis.plan .* = "z" after it; did you mean properties.plan\\?',
        ],
    ),
    (
        'type = "a" and event = "b" or event = "c"',
        ["character 28: or after and, and the last one counts for all of them; write brackets"],
    ),
    ('type = "a" and ()', ["character 16: there is no condition in brackets; leave them out"]),
    ('type = "a" and (event = "b"', ["character 16: a bracket is not closed; write \\) behind it"]),
    ('type = "track', ['character 8: "track has no end; write " behind it']),
    ("type = \u201ctrack\u201d", ['character 8: . means nothing here; write "']),
    ('type = "a" && event = "b"', ["character 12: & means nothing here; write and"]),
    ('!(type = "a")', ["character 1: ! is passed over, .* only; write != instead"]),
    (
        "type = 'a' and event",
        ["character 8: 'a' keeps its quotes", "character 16: event has no value"],
    ),
    (
        "contains(event, 5)",
        ["character 1: contains\\(\\) takes .*, not event and 5; write contains"],
    ),
    (
        'type = "track" and contains(type, "x")',
        ["character 29: type is nothing that .* can look at; write event, name, userId,"],
    ),
]


@pytest.mark.parametrize(("text", "told"), TOLD, ids=[text for text, _ in TOLD])
def test_all_that_is_wrong_is_told_with_where_and_what_to_write(text: str, told: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        compile_trigger(text, path="at")
    assert len(caught.value.args) == len(told), caught.value.args
    for fault, pattern in zip(caught.value.args, told, strict=True):
        assert re.match(f"at: {pattern}", fault), fault


def test_empty_brackets_fail_if_it_comes_to_them() -> None:
    with pytest.raises(PayloadError):
        matches('type = "track" and ()')
    assert not matches('type = "page" and ()')


def test_escaped_names() -> None:
    event = {"properties": {"$x": "1"}}
    assert matches('properties.\\$x = "1"', event)
    with pytest.raises(PayloadError):
        matches('properties.\\[ = "1"', event)
