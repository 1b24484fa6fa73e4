"""The published schemas: well-formed, true of their examples, and not true of everything."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
import yaml
from jsonschema import Draft202012Validator

from streams import moments
from streams.avro import schemas
from streams.avro.event import as_json, as_record
from streams.source.normalise import number_text

SCHEMAS = Path(__file__).parents[2] / "schemas"
VERSIONS = sorted(SCHEMAS.glob("*/v*.json"))
EXAMPLES = sorted((*SCHEMAS.glob("*/examples/*.json"), *SCHEMAS.glob("*/examples/*.yaml")))


def read(path: Path) -> Any:
    text = path.read_text("utf-8")
    return yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)


def name(path: Path) -> str:
    return str(path.relative_to(SCHEMAS))


@pytest.fixture(scope="module")
def segment_event() -> Draft202012Validator:
    return Draft202012Validator(read(SCHEMAS / "segment-event/v1.json"))


@pytest.mark.parametrize("path", VERSIONS, ids=name)
def test_schema_is_a_schema(path: Path) -> None:
    schema = read(path)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    kind, version = path.parent.name, path.stem
    assert schema["$id"] == f"urn:encharge-streams:{kind}:{version}"


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_example_is_valid(path: Path) -> None:
    kind = path.parents[1]
    for version in sorted(kind.glob("v*.json")):
        Draft202012Validator(read(version)).validate(read(path))


def test_every_schema_has_examples_and_a_line_in_the_readme() -> None:
    readme = (SCHEMAS / "README.md").read_text("utf-8")
    assert VERSIONS
    for version in VERSIONS:
        assert any(path.parents[1] == version.parent for path in EXAMPLES)
        assert f"`{version.parent.name}`" in readme


def test_every_segment_call_has_an_example() -> None:
    shown = [read(path) for path in EXAMPLES if path.parents[1].name == "segment-event"]
    assert len(shown) >= 8
    types = {event["type"] for event in shown}
    assert types >= {"identify", "track", "page", "screen", "group", "alias"}


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_addresses_are_placeholders(path: Path) -> None:
    addresses = re.findall(r"[\w.+-]+@([\w-]+\.\w+)", path.read_text("utf-8"))
    assert set(addresses) <= {"example.com"}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "page", "anonymousId": "a"},
        {"type": "page", "userId": "u", "anonymousId": None},
        {"type": "page", "userId": "", "anonymousId": "a"},
        {"type": "identify", "userId": 7},
        {"type": "identify", "userId": "u", "traits": None, "context": None, "extra": [1]},
        {"type": "alias", "userId": "u", "previousId": None},
        {"type": "track", "userId": "u", "event": "E", "version": 2, "messageId": 17},
        {"type": "track", "userId": "u", "event": "E", "version": "1.1"},
        {"type": "track", "userId": "u", "event": "E", "timestamp": "2026-11-02"},
        {"type": "track", "userId": "u", "event": "E", "integrations": {"All": {"x": 1}}},
        {"type": "screen", "userId": "u", "context": {"groupId": 9, "new": {"deep": []}}},
    ],
    ids=json.dumps,
)
def test_lenient_where_clients_are(segment_event: Draft202012Validator, event: object) -> None:
    segment_event.validate(event)


@pytest.mark.parametrize(
    "event",
    [
        None,
        "text",
        [],
        {},
        {"userId": "u"},
        {"type": None, "userId": "u"},
        {"type": "Track", "userId": "u", "event": "E"},
        {"type": "page"},
        {"type": "page", "userId": None, "anonymousId": None},
        {"type": "page", "userId": ""},
        {"type": "page", "userId": True},
        {"type": "page", "userId": ["u"]},
        {"type": "track", "userId": "u"},
        {"type": "track", "userId": "u", "event": ""},
        {"type": "track", "userId": "u", "event": None},
        {"type": "group", "userId": "u"},
        {"type": "group", "userId": "u", "groupId": None},
        {"type": "alias", "anonymousId": "a", "previousId": "p"},
        {"type": "identify", "userId": "u", "traits": ["plan"]},
        {"type": "page", "userId": "u", "context": "web"},
        {"type": "page", "userId": "u", "integrations": False},
        {"type": "page", "userId": "u", "timestamp": 1793610000},
        {"type": "page", "userId": "u", "timestamp": "yesterday"},
        {"type": "page", "userId": "u", "messageId": "x" * 101},
    ],
    ids=json.dumps,
)
def test_strict_about_the_rest(segment_event: Draft202012Validator, event: object) -> None:
    assert not segment_event.is_valid(event)


# -- Avro


AVRO = sorted(SCHEMAS.glob("*/v*.avsc"))


def avro(path: Path) -> Any:
    return schemas.parse(path.read_text("utf-8"))


def normal(event: Any) -> Any:
    """An example as the pipeline reads it: ids as text, times in one form, nulls left out."""
    event = {key: value for key, value in event.items() if value is not None}
    for key, value in event.items():
        if key in ("userId", "anonymousId", "previousId", "groupId", "messageId"):
            event[key] = value if isinstance(value, str) else number_text(value)
        elif key in ("timestamp", "originalTimestamp", "sentAt", "receivedAt"):
            event[key] = moments.iso(moments.parse(value))
    return event


def through(writer: Any, reader: Any, event: Any) -> Any:
    """An event that was written with one schema and is read with another."""
    stream = BytesIO()
    fastavro.schemaless_writer(stream, writer, as_record(writer)(event))
    stream.seek(0)
    return json.loads(as_json(reader)(fastavro.schemaless_reader(stream, writer, reader)))


def examples(kind: Path) -> list[Any]:
    return [normal(read(path)) for path in sorted(kind.glob("examples/*.json"))]


@pytest.mark.parametrize("path", AVRO, ids=name)
def test_an_avro_schema_is_named_for_its_kind(path: Path) -> None:
    assert avro(path)["name"] == "encharge.streams." + path.parent.name.title().replace("-", "")
    assert f"`{path.parent.name}`" in (SCHEMAS / "README.md").read_text("utf-8")
    assert all(field.get("doc") for field in json.loads(path.read_text("utf-8"))["fields"])


@pytest.mark.parametrize("path", AVRO, ids=name)
def test_every_example_comes_back_from_avro_as_it_was(path: Path) -> None:
    shown = examples(path.parent)
    assert shown
    for event in shown:
        assert through(avro(path), avro(path), event) == event


@pytest.mark.parametrize("path", AVRO, ids=name)
def test_every_version_reads_every_other_one_of_its_kind(path: Path) -> None:
    """Backward and forward, also across more than one version."""
    for other in sorted(path.parent.glob("v*.avsc")):
        for event in examples(path.parent):
            assert through(avro(other), avro(path), event)["type"] == event["type"]


def test_a_version_that_would_break_readers_is_noticed() -> None:
    path = SCHEMAS / "resolved-event/v1.avsc"
    body = json.loads(path.read_text("utf-8"))
    body["fields"].append({"name": "shop", "type": "string"})
    with pytest.raises(fastavro.read.SchemaResolutionError):
        through(avro(path), schemas.parse(json.dumps(body)), examples(path.parent)[0])


def test_the_avro_fields_are_those_of_the_json_schema() -> None:
    listed = set(read(SCHEMAS / "segment-event/v1.json")["properties"])
    for path in AVRO:
        fields = {field["name"] for field in avro(path)["fields"]}
        # A version is a number or a text: it is in `other`.
        assert fields - {"other"} == listed - {"version"}


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("resolved-event/examples/*")), ids=name)
def test_a_resolved_event_is_a_segment_event(
    segment_event: Draft202012Validator, path: Path
) -> None:
    segment_event.validate(read(path))


def test_the_program_brings_its_avro_schemas_along() -> None:
    for path in AVRO:
        kind, version = path.parent.name, int(path.stem.removeprefix("v"))
        assert schemas.text_of(kind, version) == path.read_text("utf-8")
    assert len(schemas.known(None)) == len(AVRO)
