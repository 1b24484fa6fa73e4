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
from streams.destinations.encharge.actions import ACTIONS
from streams.errors import SettingsError
from streams.mapping.directives import DIRECTIVES

ROOT = Path(__file__).resolve().parents[2]
SCHEMA: dict[str, Any] = orjson.loads((ROOT / "schemas/config/v1.json").read_bytes())
EXAMPLES = sorted((ROOT / "schemas/config/examples").glob("*.yaml"))


def problems(text: str) -> list[str]:
    return [str(problem) for problem in config.parse(text, registry.check)[1]]


def test_without_a_file_it_is_encharge_with_its_presets() -> None:
    built = registry.build(settings.load({"encharge_api_key": "k"}), config.load(None, print))
    assert [s.action for s in built.subscriptions] == [
        "alias",
        "identify",
        "page",
        "group",
        "track",
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_valid(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text()), SCHEMA)
    loaded = config.load(path, registry.check)
    assert registry.build(settings.load({"encharge_api_key": "k"}), loaded).subscriptions


def test_one_example_shows_every_directive_at_work() -> None:
    path = ROOT / "schemas/config/examples/every-directive.yaml"
    text = path.read_text()
    assert {name for name in DIRECTIVES if f'"{name}":' not in text} == set()
    built = registry.build(
        settings.load({"encharge_api_key": "k"}), config.load(path, registry.check)
    )
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
    assert SCHEMA["$defs"]["subscription"]["properties"]["action"]["enum"] == list(ACTIONS)


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
    loaded, wrong = config.parse(text, registry.check)
    assert wrong == []
    built = registry.build(settings.load({"encharge_api_key": "k"}), loaded)
    [subscription] = built.subscriptions
    event = {"type": "track", "event": "Paid", "userId": "u"}
    assert subscription.matches(event)
    assert subscription.build(event).body["event"] == "Paid"


def test_everything_that_is_wrong_is_told_with_its_line() -> None:
    text = """destinations:
  - type: encharge
    colour: blue
    subscriptions:
      - action: trackEvent
        trigger: type = "track"
        mapping:
          event: {"@pathh": "$.event"}
      - action: nonsense
        trigger: type = "track"
      - trigger: type = "page"
  - type: fax
"""
    found = problems(text)
    assert [problem.split(":")[0] for problem in found] == [
        "line 3",
        "line 8",
        "line 9",
        "line 11",
        "line 12",
    ]
    assert "destinations[0].colour: unknown" in found[0]
    assert "destinations[0].subscriptions[0].mapping.event" in found[1]
    assert "nonsense" in found[2]
    assert "action is missing" in found[3]
    assert "destinations[1].type: should be one of encharge" in found[4]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: file: should be an object"),
        ("[]", "line 1: file: should be an object"),
        ("destinations: 7", "line 1: destinations: should be a list"),
        ("destinations: []", "line 1: destinations: names no destination"),
        ("a: [", "not YAML"),
        ("destinations:\n  - encharge", "line 2: destinations[0]: should be an object"),
        (
            "destinations:\n  - type: encharge\n    subscriptions: all",
            "line 3: destinations[0].subscriptions: should be a list",
        ),
    ],
)
def test_a_file_of_the_wrong_shape(text: str, told: str) -> None:
    assert any(told in problem for problem in problems(text)), problems(text)


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(SettingsError, match=r"STREAMS_CONFIG: cannot read /nowhere\.yaml"):
        config.load(Path("/nowhere.yaml"), registry.check)


def test_two_of_a_name_are_refused() -> None:
    assert "two destinations are named encharge" in str(
        problems("destinations:\n  - type: encharge\n  - type: encharge\n")
    )


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
    assert misspelt.startswith(
        "line 6: destinations[0].subscriptions[0].mapping.tagg: addTag has no"
    )
    assert missing.startswith("line 9: ")
    assert "tag (Tag) is required and not mapped" in missing
