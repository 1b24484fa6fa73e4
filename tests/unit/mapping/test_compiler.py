from __future__ import annotations

import copy
import datetime
from typing import Any

import pytest

from streams.errors import PayloadError, SettingsError
from streams.mapping import UNDEFINED, compile_mapping

EVENT: dict[str, Any] = {
    "type": "track",
    "userId": "ada",
    "field": "userId",
    "context": {"page": {"url": "u", "title": None}, "app": "web"},
    "properties": {"price": 1.5, "zero": 0, "empty": "", "null": None, "list": [1, [2]]},
}


def resolve(mapping: Any) -> Any:
    before = copy.deepcopy(mapping)
    value = compile_mapping(mapping)(EVENT)
    assert mapping == before
    return value


@pytest.mark.parametrize("value", ["a", 1, 1.5, True, None, [], {}, [1, {"a": None}], {"a": [""]}])
def test_raw_values_stand_for_themselves(value: Any) -> None:
    assert resolve(value) == value


def test_undefined_is_left_out_of_objects_and_null_is_not() -> None:
    mapping = {"a": {"@path": "$.nope"}, "b": {"@path": "$.properties.null"}, "c": None}
    assert resolve(mapping) == {"b": None, "c": None}


def test_undefined_is_null_in_arrays() -> None:
    assert resolve([{"@path": "$.nope"}, {"@path": "$.userId"}]) == [None, "ada"]


def test_a_mapping_may_be_one_directive() -> None:
    assert resolve({"@path": "$.userId"}) == "ada"
    assert resolve({"@path": "$.nope"}) is UNDEFINED


def test_metadata_beside_a_directive_is_ignored() -> None:
    assert resolve({"@path": "$.userId", "_metadata": {"label": "x"}}) == "ada"


class TestPath:
    def test_the_root_may_be_left_out(self) -> None:
        assert resolve({"@path": "properties.price"}) == 1.5

    def test_the_whole_event(self) -> None:
        assert resolve({"@path": "$."}) is EVENT

    def test_a_lone_dollar_is_a_key(self) -> None:
        assert resolve({"@path": "$"}) is UNDEFINED

    def test_a_path_may_come_from_the_event(self) -> None:
        assert resolve({"@path": {"@path": "$.field"}}) == "ada"

    def test_a_path_from_the_event_has_to_be_a_string(self) -> None:
        with pytest.raises(PayloadError, match=r"at\.@path: expected a string, got number"):
            compile_mapping({"@path": {"@path": "$.properties.price"}}, path="at")(EVENT)


class TestSiblings:
    """An object of paths with one parent is looked up in one go."""

    @pytest.mark.parametrize(
        ("parent", "expected"),
        [
            ({"a": 1, "b": None, "c": 3}, {"x": 1, "y": None}),
            ({"a": 1}, {"x": 1}),
            (None, {"x": None, "y": None}),
            (0, {"x": 0, "y": 0}),
            ("text", {}),
            ([5], {}),
        ],
    )
    def test_whatever_the_parent_is(self, parent: Any, expected: Any) -> None:
        mapping = {"x": {"@path": "$.p.a"}, "y": {"@path": "p['b']"}}
        assert compile_mapping(mapping)({"p": parent}) == expected

    def test_without_a_parent(self) -> None:
        assert resolve({"x": {"@path": "$.nope.a"}, "y": {"@path": "$.nope.b"}}) == {}

    def test_whole_events_among_them(self) -> None:
        assert resolve({"x": {"@path": "$."}, "y": {"@path": "$.userId"}}) == {
            "x": EVENT,
            "y": "ada",
        }


class TestIf:
    @pytest.mark.parametrize("path", ["zero", "empty", "price", "list"])
    def test_exists_is_true_for_anything_but_null(self, path: str) -> None:
        condition = {"exists": {"@path": f"$.properties.{path}"}, "then": 1, "else": 2}
        assert resolve({"@if": condition}) == 1

    @pytest.mark.parametrize("path", ["null", "nope"])
    def test_exists_is_false_for_null_and_undefined(self, path: str) -> None:
        condition = {"exists": {"@path": f"$.properties.{path}"}, "then": 1, "else": 2}
        assert resolve({"@if": condition}) == 2

    @pytest.mark.parametrize(
        ("path", "answer"),
        [("price", 1), ("list", 1), ("zero", 2), ("empty", 2), ("null", 2), ("nope", 2)],
    )
    def test_blank_is_false_for_what_equals_an_empty_string(self, path: str, answer: int) -> None:
        condition = {"blank": {"@path": f"$.properties.{path}"}, "then": 1, "else": 2}
        assert resolve({"@if": condition}) == answer

    def test_missing_branches_are_undefined(self) -> None:
        assert resolve({"@if": {"exists": "x"}}) is UNDEFINED
        assert resolve({"@if": {"exists": {"@path": "$.nope"}, "then": 1}}) is UNDEFINED

    @pytest.mark.parametrize("value", [0, "", False, None])
    def test_a_falsy_else_counts_as_missing(self, value: Any) -> None:
        condition = {"exists": {"@path": "$.nope"}, "then": 1, "else": value}
        assert resolve({"@if": condition}) is UNDEFINED

    @pytest.mark.parametrize("value", [0, "", False, None])
    def test_a_falsy_then_does_not(self, value: Any) -> None:
        assert resolve({"@if": {"exists": "x", "then": value}}) is value

    def test_exists_wins_over_blank(self) -> None:
        condition = {"exists": None, "blank": "x", "then": 1, "else": 2}
        assert resolve({"@if": condition}) == 2

    def test_the_first_that_exists(self) -> None:
        def first(path: str, other: Any) -> Any:
            here = {"@path": path}
            return {"@if": {"exists": here, "then": here, "else": other}}

        chain = first("$.nope", first("$.properties.null", first("$.userId", "none")))
        assert resolve(chain) == "ada"
        assert resolve(first("$.nope", first("$.nope.er", {"@path": "$.properties.null"}))) is None


class TestTemplate:
    @pytest.mark.parametrize(
        ("template", "text"),
        [
            ("plain", "plain"),
            ("{{userId}}", "ada"),
            ("a {{ properties.price }} b {{userId}}", "a 1.5 b ada"),
            ("[{{nope}}{{properties.null}}]", "[]"),
            ("{{properties.zero}}{{properties.list}}", "01,2"),
            ("{{context}}", "[object Object]"),
            ("{{ }}", "[object Object]"),
            ("{{{userId}}}!", "ada!"),
            ("{{$.userId}}", ""),
            ("{{context.page['url']}}", "u"),
            ("{{}} {userId}", "{{}} {userId}"),
        ],
    )
    def test_placeholders(self, template: str, text: str) -> None:
        assert resolve({"@template": template}) == text

    def test_what_triple_braces_bring_in_is_filled_again(self) -> None:
        event = {"a": "{{b}}", "b": "x"}
        assert compile_mapping({"@template": "{{{a}}}"})(event) == "x"
        assert compile_mapping({"@template": "{{a}}"})(event) == "{{b}}"

    def test_a_template_may_come_from_the_event(self) -> None:
        event = {"t": "{{b}}", "b": "x"}
        assert compile_mapping({"@template": {"@path": "$.t"}})(event) == "x"


class TestLiteral:
    def test_it_stands_for_itself(self) -> None:
        assert resolve({"@literal": "{{userId}}"}) == "{{userId}}"

    def test_directives_inside_are_resolved(self) -> None:
        assert resolve({"@literal": {"id": {"@path": "$.userId"}}}) == {"id": "ada"}


@pytest.mark.parametrize(
    ("mapping", "place"),
    [
        ({"a": {"@nope": 1}}, r"m\.a: there is no directive @nope"),
        ({"a": [{"@nope": 1}]}, r"m\.a\.0: "),
        ({"@literal": {"b": {"@nope": 1}}}, r"m\.@literal\.b: "),
        ({"a": {"@path": "x", "@template": "y"}}, r"m\.a: .*@path, @template"),
        ({"a": {"@path": "x", "b": 1}}, r"m\.a: .*@path, b"),
        ({"a": {"@path": 1}}, r"m\.a\.@path: .*not number"),
        ({"a": {"@path": ["x"]}}, r"m\.a\.@path: .*not array"),
        ({"a": {"@path": {"b": "x"}}}, r"m\.a\.@path: .*not object"),
        ({"a": {"@template": None}}, r"m\.a\.@template: .*not null"),
        ({"@if": "x"}, r"m\.@if: .*not string"),
        ({"@if": {"then": 1}}, r"m\.@if: .*exists"),
        ({"@if": {"exists": "", "then": 1}}, r"m\.@if: .*exists"),
        ({"@if": {"exists": "x", "esle": 1}}, r"m\.@if: .*esle"),
        ({"@if": {"exists": {"@nope": 1}}}, r"m\.@if\.exists: "),
        ({"@if": {"exists": "x", "else": {"@nope": 1}}}, r"m\.@if\.else: "),
        ({"a": datetime.date(2026, 1, 1)}, r"m\.a: .*date"),
        ({"a": {1: "x"}}, r"m\.a: .*1"),
    ],
)
def test_a_bad_mapping_names_its_place(mapping: Any, place: str) -> None:
    with pytest.raises(SettingsError, match=place):
        compile_mapping(mapping, path="m")


def test_a_bad_mapping_without_a_path() -> None:
    with pytest.raises(SettingsError, match=r"^mapping: "):
        compile_mapping({"@nope": 1})
