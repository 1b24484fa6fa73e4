"""The functions that mappings become. That they answer right is tests/property/test_plan.py."""

from __future__ import annotations

from textwrap import indent
from typing import Any

import pytest

from streams.errors import PayloadError
from streams.mapping import Field, compile_payload, default_mapping, plan

TEXT = Field(label="T", type="string")


def source(fields: dict[str, Field], mapping: dict[str, Any]) -> str:
    return compile_payload(fields, mapping).__doc__ or ""


def test_the_example_in_the_docstring() -> None:
    mapping = {"userId": {"@path": "$.userId"}, "ip": {"@path": "$.context.ip"}}
    written = source({"userId": TEXT, "ip": TEXT}, mapping)
    assert indent(written, " " * 4) in (plan.__doc__ or "")


@pytest.mark.parametrize(
    "mapping",
    [
        {"@path": "$.userId"},
        {"@path": "$.a.b.c.d"},
        {"@if": {"exists": {"@path": "a.b"}, "then": {"@path": "a.b"}, "else": {"@path": "c"}}},
        {"@literal": "company"},
        "company",
    ],
)
def test_what_needs_no_closure(mapping: Any) -> None:
    assert "resolve" not in source({"f": TEXT}, {"f": mapping})


def test_a_long_path() -> None:
    fields = {"f": Field(label="F", type="object")}
    build = compile_payload(fields, {"f": {"@path": "$.a.b.c.d.e"}})
    event: dict[str, Any] = {"a": {"b": {"c": {"d": {"e": {"x": 1}}}}}}
    assert build(event) == {"f": {"x": 1}}
    event["a"]["b"]["c"] = None
    assert build(event) == {}


@pytest.mark.parametrize("mapping", [{"@template": "{{a}}"}, {"@path": "$."}, 5])
def test_what_is_left_to_a_closure(mapping: Any) -> None:
    assert "value = resolve" in source({"f": TEXT}, {"f": mapping})


@pytest.mark.parametrize("text", ["'", '"', "\\", "\n", "{x}", "%s", "\u2028", "\ud800", "é", "#"])
def test_names_keys_and_texts_are_literals(text: str) -> None:
    # In a path, quotes are no part of a key.
    key = text.strip("'\"") or "a"
    whole = Field(label="W", type="object", properties={text: TEXT})
    fields = {text: TEXT, "text": TEXT, "whole": whole}
    mapping = {
        text: {"@path": f"$.{key}.{key}"},
        "text": text,
        "whole": {text: {"@path": f"$.{key}.{key}"}},
    }
    build = compile_payload(fields, mapping)
    assert build({key: {key: "x"}}) == {text: "x", "text": text, "whole": {text: "x"}}


def test_no_step_for_a_required_field() -> None:
    fields = {"a": TEXT, "b": Field(label="B", type="string", required=True)}
    with pytest.raises(PayloadError, match=r"^b \(B\) is required$"):
        compile_payload(fields, {"a": {"@path": "$.a"}})({"a": "x"})


class TestFieldsWithinAnObject:
    FIELDS = {  # noqa: RUF012 - read only
        "ip": Field(label="IP", type="string", within="context", default={"@path": "$.ip"}),
        "id": Field(label="Id", type="string", default={"@path": "$.id"}),
        "page": Field(
            label="Page",
            type="object",
            within="context",
            properties={"url": TEXT},
            default={"url": {"@path": "$.page.url"}},
        ),
    }

    @pytest.mark.parametrize("whole", [False, True])
    def test_it_is_always_there(self, whole: bool) -> None:
        mapping = default_mapping(self.FIELDS)
        build = compile_payload(self.FIELDS, {"@literal": mapping} if whole else mapping)
        assert build({}) == {"context": {"page": {}}}
        assert build({"id": "a", "ip": "b", "page": {"url": "c"}}) == {
            "id": "a",
            "context": {"ip": "b", "page": {"url": "c"}},
        }

    def test_nobody_shares_it(self) -> None:
        build = compile_payload(self.FIELDS, default_mapping(self.FIELDS))
        build({"id": "a"})["context"]["ip"] = "mine"
        assert build({"id": "a"}) == {"id": "a", "context": {"page": {}}}

    @pytest.mark.parametrize("ip", [{}, []])
    def test_faults_are_named_as_ever(self, ip: Any) -> None:
        build = compile_payload(self.FIELDS, default_mapping(self.FIELDS))
        with pytest.raises(PayloadError, match=r"^ip \(IP\) should be a string, not "):
            build({"ip": ip})
