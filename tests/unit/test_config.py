"""``STREAMS_CONFIG``: what is right is taken, what is wrong is told, all of it, with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
import yaml

from streams import config, settings
from streams.destinations import registry
from streams.destinations.base import Destination
from streams.errors import SettingsError
from streams.mapping.directives import DIRECTIVES

ROOT = Path(__file__).resolve().parents[2]
SCHEMA: dict[str, Any] = orjson.loads((ROOT / "schemas/config/v1.json").read_bytes())
WRONG = Path(__file__).with_name("wrong.yaml")
EXAMPLES = sorted((ROOT / "schemas/config/examples").glob("*.yaml"))


KEYS = {
    "encharge_api_key": "k",
    "usercom_api_key": "k",
    "usercom_api_url": "https://subdomain.user.com",
}


def problems(text: str) -> list[str]:
    return [str(problem) for problem in config.parse(text, registry.CHECKS, "f")[1]]


def build(loaded: config.Config) -> Destination:
    """The first destination."""
    configured, *_ = registry.build(settings.load(KEYS), loaded)
    return configured.destination


def test_without_a_file_it_is_encharge_with_its_presets() -> None:
    built = build(config.load(None, registry.CHECKS))
    assert [s.action for s in built.subscriptions] == [
        "alias",
        "identify",
        "page",
        "group",
        "track",
    ]


def test_the_schema_knows_the_destinations_that_there_are() -> None:
    kind = SCHEMA["$defs"]["destination"]["properties"]["type"]
    assert set(kind["enum"]) == set(registry.KINDS)


def test_what_the_registry_knows_is_what_the_file_may_name() -> None:
    text = "destinations: [{type: new, subscriptions: [{action: x}]}]"
    assert "no destination; it should be one of encharge" in problems(text)[0]
    seen: list[Any] = []
    checks = {**registry.CHECKS, "new": lambda subscription, path: seen.append(subscription)}
    loaded, wrong = config.parse(text, checks)
    assert (wrong, [entry.type for entry in loaded.destinations]) == ([], ["new"])
    assert seen == [{"partnerAction": "x"}]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_valid(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text()), SCHEMA)
    loaded = config.load(path, registry.CHECKS)
    assert build(loaded).subscriptions


def test_one_example_shows_every_directive_at_work() -> None:
    path = ROOT / "schemas/config/examples/every-directive.yaml"
    text = path.read_text()
    assert {name for name in DIRECTIVES if f'"{name}":' not in text} == set()
    built = build(config.load(path, registry.CHECKS))
    properties = {
        "city": "Sofia",
        "email": "a@example.com",
        "phone": "1-2-3",
        "address": {"city": "Sofia"},
        "products": [{"title": "Tea", "price": 3, "sku": "t"}],
    }
    bodies = {}
    for word in ("path", "if", "arrayPath", "case", "merge", "transform", "liquid"):
        event = {"type": "track", "userId": "u", "event": f"Example {word}"}
        event |= {"properties": properties}
        [fired] = [s for s in built.subscriptions if s.matches(event)]
        bodies[word] = fired.build(event).body
    assert bodies["path"]["event"] == "Example path in Sofia"
    assert bodies["if"]["user"]["email"] == "a@example.com"
    assert bodies["arrayPath"]["properties"]["products"] == [{"name": "Tea", "price": 3}]
    assert bodies["case"]["event"] == "example case"
    assert bodies["case"]["properties"]["phone"] == "123"
    assert bodies["merge"]["properties"]["address_city"] == "Sofia"
    assert bodies["transform"]["properties"] == {"city": "Sofia"}
    assert bodies["liquid"]["event"] == "EXAMPLE LIQUID"
    assert '"city":"Sofia"' in bodies["liquid"]["properties"]["raw"]


def test_the_schema_knows_the_actions_that_there_are() -> None:
    assert SCHEMA["$defs"]["subscription"]["properties"]["action"]["enum"] == list(
        dict.fromkeys(slug for kind in registry.KINDS.values() for slug in kind.actions)
    )


def test_subscriptions_of_one_s_own() -> None:
    text = """
destinations:
  - type: encharge
    subscriptions:
      - action: trackEvent
        trigger: type = "track"
      - action: identifyUser
        trigger: type = "identify"
        enabled: false
"""
    loaded, wrong = config.parse(text, registry.CHECKS)
    assert wrong == []
    built = build(loaded)
    [subscription] = built.subscriptions
    event = {"type": "track", "event": "Paid", "userId": "u"}
    assert subscription.matches(event)
    assert subscription.build(event).body["event"] == "Paid"


def expected_of_the_wrong_file() -> set[tuple[int, str]]:
    """The (line, text) that stand behind "<-" in the file that is wrong in all ways."""
    return {
        (number, told.strip())
        for number, line in enumerate(WRONG.read_text().splitlines(), start=1)
        if number > 1 and "<-" in line
        for told in line.split("<-", 1)[1].split("&&")
    }


def test_everything_that_is_wrong_is_told_with_its_line_and_nothing_else() -> None:
    told = config.parse(WRONG.read_text(), registry.CHECKS)[1]
    expected = expected_of_the_wrong_file()
    assert len(expected) >= 30
    missing = [
        (line, text)
        for line, text in expected
        if not any(problem.line == line and text in str(problem) for problem in told)
    ]
    assert missing == []
    assert len(told) == len(expected), sorted(map(str, told))
    assert [problem.line for problem in told] == sorted(problem.line for problem in told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "f:1: is empty; write destinations:"),
        ("# later", "f:1: is empty; write destinations:"),
        ("[]", "f:1: should be an object"),
        ("a: 1", "f:1: destinations: is missing; write"),
        ("destinations: 7", "f:1: destinations: should be a list"),
        ("destinations: []", "f:1: destinations: names no destination"),
        ("destinations:\n  - encharge", "f:2: destinations[0]: should be an object"),
        ("destinations:\n  - name: x", "f:2: destinations[0].type: is missing"),
        ("destinations:\n  - type: fax", "f:2: destinations[0].type: is no destination; it should"),
        ("destinations:\n  - type: [a]", "f:2: destinations[0].type: is no destination"),
        (
            "destinations:\n  - type: encharge\n    subscriptions: all",
            "f:3: destinations[0].subscriptions: should be a list, or the word presets",
        ),
        (
            "destinations:\n  - type: encharge\n    name: my tool",
            "f:3: destinations[0].name: should be 1 to 60 letters",
        ),
        (
            "destinations:\n  - type: encharge\n    settings: [a]",
            "f:3: destinations[0].settings: should be an object",
        ),
    ],
)
def test_a_file_of_the_wrong_shape(text: str, told: str) -> None:
    assert any(problem.startswith(told) for problem in problems(text)), problems(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "f:1: not YAML: "),
        ("a:\n\tb: 1", "f:2: not YAML: found character '\\t' that cannot start any token; indent"),
        ("a: 1\nb: @path", "f:2: not YAML: found character '@' that cannot start any token; put"),
        ("a: *b", "f:1: not YAML: found undefined alias 'b'; define it"),
        ("a: 1\nb: &b [*b]", "f:2: not YAML: an alias refers to what it stands in"),
        ("a: !x 1", "f:1: not YAML: could not determine a constructor for the tag '!x'; leave"),
        ("a: {{event}}", "f:1: not YAML: found unhashable key; put a text that begins with {{ in"),
        ("a: b: c", "f:1: not YAML: mapping values are not allowed here; put a text with a colon"),
        ("---\na: 1\n---\nb: 1", "f:3: not YAML: but found another document"),
        ("a: 1\nb: \x01", "f:2: not YAML: there is a character 0x1; remove it"),
        ("a: " + "[" * 5000, "f:1: is nested too deeply"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(text: str, told: str) -> None:
    [problem] = problems(text)
    assert problem.startswith(told)


def test_a_key_that_is_there_twice_is_told_even_on_one_line() -> None:
    text = "destinations:\n  - {type: encharge, type: encharge}"
    assert problems(text) == ["f:2: destinations[0].type: is on line 2 already; keep one"]


SHARED = """destinations:
  - type: encharge
    subscriptions:
      - &tag
        action: addTag
        trigger: type = "track"
        mapping: &mapping
          tag: 2026-01-31
          userId: { "@path": "$.userId" }
      - <<: *tag
        action: removeTag
      - action: addTag
        trigger: type = "page"
        mapping: *mapping
"""


def test_anchors_and_merges_are_taken_and_a_date_is_a_text() -> None:
    loaded, wrong = config.parse(SHARED, registry.CHECKS)
    assert wrong == []
    built = build(loaded)
    event = {"type": "track", "userId": "u"}
    assert [s.action for s in built.subscriptions] == ["tag", "untag", "tag"]
    assert "2026-01-31" in str(built.subscriptions[1].build(event).body)


def test_what_is_wrong_at_an_anchor_is_told_where_it_stands() -> None:
    found = problems(SHARED.replace('"@path"', '"@pth"'))
    assert [problem.split(":")[1] for problem in found] == ["9", "9", "9"]


def test_more_than_fifty_subscriptions_are_told_and_still_looked_at() -> None:
    one = '\n      - {action: addTag, trigger: type = "track", mapping: {tag: x}}'
    head = "destinations:\n  - type: encharge\n    subscriptions:"
    assert problems(head + one * 50) == []
    found = problems(head + one * 51 + one.replace("addTag", "addTga"))
    assert found[0].startswith(
        "f:3: destinations[0].subscriptions: at most 50 are possible, not 52"
    )
    assert found[1].startswith("f:55: destinations[0].subscriptions[51].action: there is no addTga")


def test_names_with_dots_colons_and_numbers_lead_to_their_lines() -> None:
    text = """destinations:
  - type: encharge
    subscriptions:
      - action: trackEvent
        trigger: type = "track"
        mapping:
          type: track
          event: x
          userId: u
          properties:
            a: { b: 1 }
            "a.b": { "@pth": "x" }
            "c: d":
              - 1
              - { "@pth": "x" }
            5: x
"""
    assert [problem.split(":")[1] for problem in problems(text)] == ["10", "12", "15"]


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(SettingsError, match=r"STREAMS_CONFIG: cannot read /nowhere\.yaml"):
        config.load(Path("/nowhere.yaml"), registry.CHECKS)


def test_a_file_that_is_not_utf_8_is_told_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "streams.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(SettingsError, match=r"streams\.yaml:2: is not UTF-8"):
        config.load(path, registry.CHECKS)


def test_two_of_a_name_are_refused() -> None:
    assert "two destinations are named encharge" in str(
        problems("destinations:\n  - type: encharge\n  - type: encharge\n")
    )


SEVERAL = """destinations:
  - type: encharge
  - type: encharge
    name: eu
    settings:
      ENCHARGE_API_KEY: ${EU_KEY}
      ENCHARGE_INGEST_URL: https://${EU_HOST}/v1
      STREAMS_MAX_REQUESTS_PER_SECOND: 5
      STREAMS_COALESCE: false
"""


def test_several_destinations_with_settings_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EU_KEY", "eu-key")
    monkeypatch.setenv("EU_HOST", "eu.example.com")
    jsonschema.validate(yaml.safe_load(SEVERAL), SCHEMA)
    loaded, found = config.parse(SEVERAL, registry.CHECKS)
    assert not found
    here, eu = registry.build(settings.load({"encharge_api_key": "k"}), loaded)
    assert (here.destination.name, eu.destination.name) == ("encharge", "eu")
    assert (here.settings.api_key, eu.settings.api_key) == ("k", "eu-key")
    assert eu.settings.encharge_ingest_url == "https://eu.example.com/v1"
    assert (eu.settings.streams_max_requests_per_second, eu.settings.streams_coalesce) == (5, False)
    assert here.settings.streams_coalesce
    request = eu.destination.delete({"type": "delete", "userId": "u"})
    assert request.headers["X-Encharge-Token"] == "eu-key"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("ENCHARGE_API_KEY: ${NOT_THERE}", "NOT_THERE is not set in the environment"),
        ("STREAMS_MAX_CONCURENCY: 5", "did you mean STREAMS_MAX_CONCURRENCY?"),
        ("STREAMS_PARTITIONS: 5", "is the same for all destinations; set it in the environment"),
        ("STREAMS_MAX_CONCURRENCY: 0", "Input should be greater than or equal to 1"),
        ("STREAMS_MAX_CONCURRENCY: [1]", "should be a text, a number, or true or false"),
        ("STREAMS_MAX_CONCURRENCY:", "should be a text, a number, or true or false"),
        ("ENCHARGE_API_URL: nowhere", "must be http:// or https:// and a host"),
    ],
)
def test_a_setting_of_a_destination_that_is_wrong(setting: str, told: str) -> None:
    text = f"destinations:\n  - type: encharge\n    settings:\n      {setting}\n"
    name = setting.partition(":")[0]
    [problem] = problems(text)
    assert problem.startswith(f"f:4: destinations[0].settings.{name}: ")
    assert told in problem


def test_each_setting_of_a_destination_is_in_the_schema() -> None:
    described = SCHEMA["$defs"]["destination"]["properties"]["settings"]
    assert set(described["properties"]) == settings.PER_DESTINATION


def test_a_field_that_is_none_and_one_that_is_left_out_are_told() -> None:
    text = """destinations:
  - type: encharge
    subscriptions:
      - action: addTag
        trigger: type = "track"
        mapping: {tagg: "x", tag: "y"}
      - action: addTag
        trigger: type = "track"
        mapping: {userId: "u"}
"""
    misspelt, missing = problems(text)
    assert misspelt.startswith("f:6: destinations[0].subscriptions[0].mapping.tagg: addTag has no")
    assert missing.startswith("f:9: ")
    assert "tag (Tag) is required and not mapped" in missing
