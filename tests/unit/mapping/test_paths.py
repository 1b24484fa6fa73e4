from __future__ import annotations

from typing import Any

import pytest

from streams.mapping.javascript import UNDEFINED, Function
from streams.mapping.paths import compile_path, split_path

EVENT: dict[str, Any] = {
    "userId": "ada",
    "empty": "",
    "zero": 0,
    "no": False,
    "null": None,
    "properties": {
        "first name": "Ada",
        "list": [{"x": 1}, "b"],
        "word": "abc",
        "number": 7,
        "0": "key",
        "list[*]": "star",
    },
}


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("", []),
        (".", []),
        ("a", ["a"]),
        ("a.b.c", ["a", "b", "c"]),
        ("a[0].b", ["a", "0", "b"]),
        ("a['b c'].d", ["a", "b c", "d"]),
        ('["a"]["b"]', ["a", "b"]),
        ("a[b].c", ["a[b]", "c"]),
        ("[txt] x.y", ["[txt] x", "y"]),
        ("a['b.c']", ["a", "b", "c"]),
        ("a..b", ["a", "b"]),
        ("a[10]", ["a", "10"]),
    ],
)
def test_split(path: str, keys: list[str]) -> None:
    assert split_path(path) == keys


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("", EVENT),
        ("userId", "ada"),
        ("properties.number", 7),
        ("properties['first name']", "Ada"),
        ("properties.0", "key"),
        ("properties.list", [{"x": 1}, "b"]),
        ("properties.list[0].x", 1),
        ("properties.list.1", "b"),
        ("properties.list[2]", UNDEFINED),
        ("properties.list[2].x", UNDEFINED),
        ("properties.list[01]", UNDEFINED),
        ("properties.list.length", 2),
        ("properties.list[*]", "star"),
        ("properties.list[99999999999999999999999]", UNDEFINED),
        ("properties.word.length", 3),
        ("properties.word[1]", "b"),
        ("properties.word.x", UNDEFINED),
        ("properties.number.x", UNDEFINED),
        ("nope", UNDEFINED),
        ("nope.deep.er", UNDEFINED),
    ],
)
def test_lookup(path: str, value: Any) -> None:
    assert compile_path(path)(EVENT) == value


@pytest.mark.parametrize("key", ["empty", "zero", "no", "null"])
@pytest.mark.parametrize("rest", ["", ".a", ".a.b", ".a.b.c"])
def test_a_falsy_value_on_the_way_is_the_answer(key: str, rest: str) -> None:
    assert compile_path(key + rest)(EVENT) is EVENT[key]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("text.search", "search"),
        ("text.trimLeft", "trimStart"),
        ("list.map", "map"),
        ("number.toFixed", "toFixed"),
        ("yes.valueOf", "valueOf"),
        ("object.toString", "toString"),
        ("object.constructor", "Object"),
        ("list.0.constructor", "Number"),
    ],
)
def test_what_javascript_brings_along(path: str, name: str) -> None:
    root = {"text": "a", "list": [1], "number": 1, "yes": True, "object": {}}
    assert compile_path(path)(root) == Function(name)


def test_keys_of_its_own_come_first() -> None:
    assert compile_path("a.toString")({"a": {"toString": 1}}) == 1
    assert compile_path("a.search")({"a": {}}) is UNDEFINED
    assert compile_path("a.search")({"a": ""}) == ""


def test_texts_are_counted_as_javascript_does() -> None:
    assert compile_path("a.length")({"a": "x\U0001f642"}) == 3
    assert compile_path("a[0]")({"a": "x\U0001f642"}) == "x"
