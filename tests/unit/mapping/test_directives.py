"""The directives one by one; @path, @template, @literal and @if are in test_compiler.py."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from streams.errors import PayloadError, SettingsError
from streams.mapping import UNDEFINED, compile_mapping

EVENT: dict[str, Any] = {
    "type": "track",
    "properties": {
        "name": "Ada Lovelace",
        "price": 9.5,
        "paid": True,
        "null": None,
        "list": [1, None, {"x": "a"}],
        "products": [{"sku": "s1", "price": 1}, {"sku": "s2"}, "loose"],
        "nested": {"a": {"b": 1}, "list": [5, {"c": None}], "empty": {}},
        "json": '{"a": [1, 2.0, null]}',
    },
}


def at(name: str) -> dict[str, str]:
    return {"@path": f"$.properties.{name}"}


def resolve(mapping: Any, *, parity: bool = False) -> Any:
    mapping_before, event_before = copy.deepcopy(mapping), copy.deepcopy(EVENT)
    value = compile_mapping(mapping, path="m", parity=parity)(EVENT)
    assert mapping == mapping_before
    assert event_before == EVENT
    return value


def fails(mapping: Any) -> bool:
    """Whether Segment refuses it, before or while it applies it."""
    try:
        resolve(mapping, parity=True)
    except PayloadError:
        return True
    return False


def refused(mapping: Any) -> bool:
    try:
        compile_mapping(mapping)
    except SettingsError:
        return True
    return False


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"operator": "upper", "value": at("name")}, "ADA LOVELACE"),
        ({"operator": "lower", "value": "ÀÉÏ"}, "àéï"),
        ({"operator": "upper", "value": "straße"}, "STRASSE"),
        ({"operator": "upper", "value": at("price")}, 9.5),
        ({"operator": "upper", "value": at("null")}, None),
        ({"operator": "upper", "value": at("nope")}, UNDEFINED),
        ({"operator": "upper", "value": ""}, UNDEFINED),
        ({"operator": "upper"}, UNDEFINED),
    ],
)
def test_case(options: Any, answer: Any) -> None:
    assert resolve({"@case": options}) == answer


def test_an_unknown_case_fails_for_texts_only() -> None:
    title = {"@case": {"operator": "title", "value": at("price")}}
    assert resolve(title, parity=True) == 9.5
    assert refused(title)
    assert fails({"@case": {"operator": "title", "value": "x"}})


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"pattern": "a", "replacement": "_"}, "Ad_ Lovel_ce"),
        ({"pattern": "a", "replacement": "_", "ignorecase": True}, "_d_ Lovel_ce"),
        ({"pattern": "a", "replacement": "_", "global": False}, "Ad_ Lovelace"),
        ({"pattern": "a"}, "Ad Lovelce"),
        ({"pattern": "e", "replacement": "3", "pattern2": "3", "replacement2": ""}, "Ada Lovlac"),
        ({"pattern": "e", "pattern2": "A"}, "da Lovlac"),
        ({"pattern": ".", "replacement": "x"}, "Ada Lovelace"),
        ({"pattern": "Ada", "replacement": "[$&]"}, "[Ada] Lovelace"),
        ({"pattern": "Ada", "replacement": "$$$1"}, "$$1 Lovelace"),
        ({"pattern": " ", "replacement": "$`|$'"}, "AdaAda|LovelaceLovelace"),
    ],
)
def test_replace(options: Any, answer: str) -> None:
    assert resolve({"@replace": {"value": at("name"), **options}}) == answer


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (at("price"), "9_5"),
        (at("paid"), "true"),
        (at("null"), ""),
        (at("nope"), ""),
        (at("list"), ""),
        ("", UNDEFINED),
    ],
)
def test_replace_in_what_is_no_text(value: Any, answer: Any) -> None:
    assert resolve({"@replace": {"pattern": ".", "replacement": "_", "value": value}}) == answer


@pytest.mark.parametrize(
    ("text", "pattern", "answer"),
    [
        ("\u017f", "s", "\u017f"),
        ("\u212a", "k", "\u212a"),
        ("É", "é", "_"),
        ("\u03a3\u03c2", "\u03c3", "__"),
        ("ß", "ẞ", "ß"),
    ],
)
def test_replace_without_case_compares_as_javascript(text: str, pattern: str, answer: str) -> None:
    options = {"pattern": pattern, "replacement": "_", "ignorecase": True, "value": text}
    assert resolve({"@replace": options}) == answer


@pytest.mark.parametrize(
    "options",
    [
        {"pattern": "x" * 11},
        {"pattern": ""},
        {"pattern": "🙂" * 6},
        {"replacement": "x" * 11},
        {"replacement": None},
        {"ignorecase": "yes"},
        {"value": 5},
        {"pattern2": "x" * 11},
    ],
)
def test_limits_of_replace(options: Any) -> None:
    mapping = {"@replace": {"pattern": "x", "value": at("name"), **options}}
    assert fails(mapping)
    assert refused(mapping)


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (["$.properties.list"], [1, None, {"x": "a"}]),
        (
            ["$.properties.products", {"id": {"@path": "$.sku"}, "p": {"@path": "price"}}],
            [{"id": "s1", "p": 1}, {"id": "s2"}, {}],
        ),
        (["$.properties.nested", {"@path": "$.a.b"}], [1]),
        (["$.properties.products", {"@path": "$.price"}], [1, None, None]),
        (["$.properties.name", {"n": "x"}], "Ada Lovelace"),
        (["$.properties.nope", {"n": "x"}], UNDEFINED),
        ([{"@path": "$.properties.list"}], [1, None, {"x": "a"}]),
    ],
)
def test_array_path(value: Any, answer: Any) -> None:
    assert resolve({"@arrayPath": value}) == answer


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"separator": "."}, {"a.b": 1, "list.0": 5, "list.1.c": None}),
        ({"separator": "_", "omitArrays": True}, {"a_b": 1, "list": [5, {"c": None}]}),
    ],
)
def test_flatten(options: Any, answer: Any) -> None:
    assert resolve({"@flatten": {"value": at("nested"), **options}}) == answer


@pytest.mark.parametrize(
    ("value", "answer"), [("x", {"": "x"}), (at("null"), {"": None}), (at("nope"), {}), ({}, {})]
)
def test_flatten_what_is_no_object(value: Any, answer: Any) -> None:
    assert resolve({"@flatten": {"value": value, "separator": "."}}) == answer


def test_of_equal_keys_the_last_counts_in_javascripts_order() -> None:
    value = {"1.a": "second", "1": {"a": "first"}}
    assert resolve({"@flatten": {"value": value, "separator": "."}}) == {"1.a": "second"}


@pytest.mark.parametrize(
    ("mode", "value", "answer"),
    [
        ("encode", at("list"), '[1,null,{"x":"a"}]'),
        ("encode", at("price"), "9.5"),
        ("encode", at("null"), "null"),
        ("encode", at("nope"), UNDEFINED),
        ("encode", {"b": 1e21, "10": True, "2": {"@path": "$.nope"}, "a": "é\n\u2028"},
         '{"10":true,"b":1e+21,"a":"é\\n\u2028"}'),
        ("decode", at("json"), {"a": [1, 2, None]}),
        ("decode", at("name"), "Ada Lovelace"),
        ("decode", at("price"), 9.5),
        ("decode", "NaN", "NaN"),
        ("decode", " [1e2, -0] ", [100, 0]),
        ("decode", "1e999", None),
        ("decode", "12345678901234567890", 12345678901234567168),
    ],
)  # fmt: skip
def test_json(mode: str, value: Any, answer: Any) -> None:
    found = resolve({"@json": {"mode": mode, "value": value}})
    assert (found, type(found)) == (answer, type(answer))


@pytest.mark.parametrize(
    ("direction", "answer"),
    [("right", {"a": 2, "b": 1, "c": 3}), ("left", {"a": 1, "b": 1, "c": 3})],
)
def test_merge(direction: str, answer: Any) -> None:
    objects = [{"a": 1, "b": 1}, {"a": 2, "c": 3}, at("null")]
    assert resolve({"@merge": {"objects": objects, "direction": direction}}) == answer


def test_what_is_undefined_replaces_too() -> None:
    objects = [{"a": 1, "b": 1}, {"a": at("nope")}]
    assert resolve({"@merge": {"objects": objects, "direction": "right"}}) == {"b": 1}


def test_merging_texts_and_arrays() -> None:
    objects = [{"@literal": "ab"}, at("list"), at("price")]
    expected = {"0": 1, "1": None, "2": {"x": "a"}}
    assert resolve({"@merge": {"objects": objects, "direction": "right"}}) == expected


def test_transform() -> None:
    apply = {"who": at("name"), "gone": at("nope")}
    mapping = {"greeting": {"@template": "Hi {{who}}{{gone}}"}, "type": {"@path": "$.type"}}
    assert resolve({"@transform": {"apply": apply, "mapping": mapping}}) == {
        "greeting": "Hi Ada Lovelace"
    }


def test_transform_needs_an_object_to_work_on() -> None:
    inner = {"@transform": {"apply": {"a": 1}, "mapping": {"@path": "$.a"}}}
    assert resolve({"@arrayPath": ["$.properties.nested", inner]}) == [1]
    assert fails({"@arrayPath": ["$.properties.list", inner]})


def test_exclude_when_null() -> None:
    value = {"a": None, "b": {"c": None, "d": [None]}, "e": 0}
    assert resolve({"@excludeWhenNull": value}) == {"b": {"d": [None]}, "e": 0}
    assert resolve({"@excludeWhenNull": at("null")}) is UNDEFINED
    assert resolve({"@excludeWhenNull": at("price")}) == 9.5


@pytest.mark.parametrize(
    ("template", "answer"),
    [("", ""), ("Hi {{ properties.name }}", "Hi Ada Lovelace"), ("{{ properties.price }}", "9.5")],
)
def test_liquid(template: str, answer: str) -> None:
    assert resolve({"@liquid": template}) == answer


@pytest.mark.parametrize("template", ["x" * 1001, "{{ a", "{% for i in a %}{% endfor %}", 5])
def test_bad_templates(template: Any) -> None:
    assert fails({"@liquid": template})
    assert refused({"@liquid": template})


BAD = [
    {"@case": "x"},
    {"@case": {"value": "x"}},
    {"@case": {"operator": 5, "value": "x"}},
    {"@case": {"operator": "upper", "value": 5}},
    {"@replace": {"value": "x"}},
    {"@replace": {"pattern": "x"}},
    {"@arrayPath": "$.a"},
    {"@arrayPath": []},
    {"@arrayPath": [5]},
    {"@arrayPath": ["$.a", {"@nope": 1}]},
    {"@flatten": {"value": "x"}},
    {"@flatten": {"separator": "."}},
    {"@flatten": {"value": "x", "separator": 5}},
    {"@json": {"value": "x"}},
    {"@json": {"mode": "encode"}},
    {"@json": {"mode": "xml", "value": "x"}},
    {"@merge": {"objects": []}},
    {"@merge": {"direction": "right"}},
    {"@merge": {"objects": {}, "direction": "right"}},
    {"@merge": {"objects": ["x"], "direction": "right"}},
    {"@merge": {"objects": [], "direction": "up"}},
    {"@transform": {"apply": {"a": 1}}},
    {"@transform": {"mapping": {"a": 1}}},
    {"@transform": {"apply": "x", "mapping": {"a": 1}}},
    {"@transform": {"apply": {"a": {"@nope": 1}}, "mapping": {"a": 1}}},
    {"@excludeWhenNull": {"@nope": 1}},
    {"a": {"@path": "$.a", "@template": "x"}},
    {"a": {"b": {"@path": "$.a", "c": 1}}},
]


@pytest.mark.parametrize("mapping", BAD)
def test_what_segment_refuses(mapping: Any) -> None:
    assert fails(mapping)
    with pytest.raises(SettingsError, match=r"^m\."):
        compile_mapping(mapping, path="m")


LAX = [
    {"@case": {"operator": "upper", "value": "x", "valeu": "y"}},
    {"@replace": {"pattern": "x", "value": "x", "gloabl": True}},
    {"@flatten": {"value": "x", "separator": ".", "omitArrays": "yes"}},
    {"@json": {"mode": "ENCODE", "value": "x"}},
    {"@merge": {"objects": [], "direction": "LEFT"}},
    {"@arrayPath": ["$.a", "shape"]},
    {"@arrayPath": ["$.a", {"b": 1}, 5]},
    {"@if": {"exists": None, "blank": "x", "els": 1}},
    {"@literal": {"a": {"b": {"@path": "$.a", "c": 1}}}},
    [{"@path": "$.a", "b": 1}],
]


@pytest.mark.parametrize("mapping", LAX)
def test_what_only_we_refuse(mapping: Any) -> None:
    assert not fails(mapping)
    assert refused(mapping)


def test_bad_branches_count_when_they_are_taken() -> None:
    bad = [{"@nope": 1}]
    assert fails({"@if": {"exists": at("name"), "then": bad}})
    assert not fails({"@if": {"exists": at("nope"), "then": bad}})
    assert refused({"@if": {"exists": at("nope"), "then": bad}})


def test_deep_events() -> None:
    deep: Any = {}
    for _ in range(5_000):
        deep = {"a": deep}
    for directive in (
        {"@excludeWhenNull": {"@path": "$.p"}},
        {"@json": {"mode": "encode", "value": {"@path": "$.p"}}},
    ):
        with pytest.raises(PayloadError, match="deep"):
            compile_mapping(directive)({"p": deep})
    flatten = {"@flatten": {"value": {"@path": "$.p"}, "separator": "."}}
    assert compile_mapping(flatten)({"p": deep}) == {}
