from __future__ import annotations

import math
from typing import Any

import pytest

from streams.errors import PayloadError, SettingsError
from streams.mapping import Field, compile_payload, default_mapping
from streams.mapping.fields import FieldType

MISSING = object()


def coerce(field: Field, value: Any) -> Any:
    """What a payload holds under the field for ``value``."""
    payload = compile_payload({"f": field}, {"f": {"@path": "$.v"}})({"v": value})
    return payload.get("f", MISSING)


def field(type: FieldType, **options: Any) -> Field:
    return Field(label="F", type=type, **options)


@pytest.mark.parametrize(
    ("type", "value", "expected"),
    [
        ("string", "a", "a"),
        ("string", 1.0, "1"),
        ("string", True, "true"),
        ("string", ["a"], "a"),
        ("string", [False], "false"),
        ("string", [None], ""),
        ("string", [""], ""),
        ("number", 1.5, 1.5),
        ("number", "1.5", 1.5),
        ("number", " 12 ", 12),
        ("number", "0x10", 16),
        ("number", True, 1),
        ("number", [None], 0),
        ("number", ["7"], 7),
        ("integer", "7.0", 7),
        ("integer", 10**400, 10**400),
        ("boolean", "true", True),
        ("boolean", 1, True),
        ("boolean", "false", False),
        ("boolean", 0, False),
        ("boolean", [None], False),
        ("object", {"a": None}, {"a": None}),
        ("object", {}, {}),
    ],
)
def test_coercion(type: FieldType, value: Any, expected: Any) -> None:
    result = coerce(field(type), value)
    assert result == expected
    assert isinstance(result, bool) == isinstance(expected, bool)


@pytest.mark.parametrize("type", ["string", "number", "integer", "boolean", "object"])
@pytest.mark.parametrize("value", [None, ""])
def test_null_and_empty_strings_are_absent(type: FieldType, value: Any) -> None:
    assert coerce(field(type), value) is MISSING


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("string", {}),
        ("string", []),
        ("string", ["a", "b"]),
        ("string", [["a"]]),
        ("string", [{}]),
        ("number", "a"),
        ("number", [""]),
        ("number", {}),
        ("number", math.inf),
        ("integer", 1.5),
        ("boolean", "yes"),
        ("boolean", 2),
        ("boolean", {}),
        ("object", "a"),
        ("object", 0),
        ("object", []),
        ("object", [{}]),
    ],
)
def test_what_cannot_be_coerced(type: FieldType, value: Any) -> None:
    with pytest.raises(PayloadError, match=r"^f \(F\) should be "):
        coerce(field(type), value)


def test_infinity_as_text_is_a_number_that_json_does_not_have() -> None:
    assert coerce(field("number"), "Infinity") is None
    assert coerce(field("integer"), "-Infinity") is None


def test_date_times() -> None:
    timestamp = field("string", format="date-time")
    assert coerce(timestamp, "2026-01-31T09:00:00Z") == "2026-01-31T09:00:00Z"
    assert coerce(timestamp, ["2026-01-31T09:00:00Z"]) == "2026-01-31T09:00:00Z"
    assert coerce(timestamp, None) is MISSING
    assert coerce(timestamp, "") is MISSING
    for value in ("today", 1767225600000, [None], {}):
        with pytest.raises(PayloadError, match=r"^f \(F\) should be "):
            coerce(timestamp, value)


class TestMultiple:
    def test_one_value_becomes_an_array(self) -> None:
        assert coerce(field("string", multiple=True), 5) == ["5"]

    def test_every_item_is_coerced(self) -> None:
        assert coerce(field("number", multiple=True), ["1", True, None, ""]) == [1, 1]

    def test_strings_may_be_empty(self) -> None:
        assert coerce(field("string", multiple=True), ["", "a"]) == ["", "a"]

    def test_an_item_at_fault(self) -> None:
        with pytest.raises(PayloadError, match="not object"):
            coerce(field("string", multiple=True), ["a", {}])


class TestProperties:
    FIELD = field(
        "object",
        properties={
            "text": Field(label="Text", type="string"),
            "count": Field(label="Count", type="integer"),
            "deep": Field(
                label="Deep",
                type="object",
                properties={"x": Field(label="X", type="string", required=True)},
            ),
        },
    )

    def test_other_keys_are_left_out(self) -> None:
        assert coerce(self.FIELD, {"text": "a", "other": 1}) == {"text": "a"}

    def test_values_are_coerced(self) -> None:
        given = {"text": 1, "count": "2", "deep": {"x": [3]}}
        assert coerce(self.FIELD, given) == {"text": "1", "count": 2, "deep": {"x": "3"}}
        assert given == {"text": 1, "count": "2", "deep": {"x": [3]}}

    def test_null_is_left_out_and_so_is_empty_unless_a_string(self) -> None:
        assert coerce(self.FIELD, {"text": "", "count": "", "deep": None}) == {"text": ""}

    def test_every_fault_is_named(self) -> None:
        with pytest.raises(PayloadError, match=r"f \(F\) text .*; count .*; deep x is required"):
            coerce(self.FIELD, {"text": {}, "count": 1.5, "deep": {}})


def test_one_error_names_every_field() -> None:
    fields = {
        "a": field("string", required=True),
        "b": field("object", required=True),
        "c": field("string"),
    }
    mapping = {"b": {"@path": "$.b"}, "c": {"@path": {"@path": "$.b"}}}
    with pytest.raises(PayloadError) as caught:
        compile_payload(fields, mapping)({"b": 1})
    assert str(caught.value) == (
        "b (F) should be an object, not number; "
        "c (F) c.@path: expected a string, got number; "
        "a (F) is required"
    )
    assert caught.value.reason == "invalid-payload"


def test_keys_that_are_no_fields_are_left_out_but_compiled() -> None:
    assert compile_payload({"a": field("string")}, {"a": "x", "b": "y"})({}) == {"a": "x"}
    with pytest.raises(SettingsError, match=r"^m\.b: "):
        compile_payload({"a": field("string")}, {"b": {"@nope": 1}}, path="m")


def test_defaults() -> None:
    fields = {"a": field("string", default={"@path": "$.a"}), "b": field("string")}
    assert default_mapping(fields) == {"a": {"@path": "$.a"}}
