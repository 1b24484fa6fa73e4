"""Which topics this program owns, and which it reads."""

from __future__ import annotations

from typing import Any

import pytest

from streams.errors import SettingsError
from streams.pipeline import owned_topics
from streams.settings import Settings
from streams.topics import TopicSpec, _check, source_names


def test_internal_topics_are_co_partitioned_and_carry_the_app_s_name() -> None:
    settings = Settings(streams_app_id="app", streams_partitions=5, streams_dedup_seconds=60)
    specs = {spec.name: spec for spec in owned_topics(settings, ["encharge"])}
    assert set(specs) == {
        "app-events",
        "app-identities-changelog",
        "app-encharge-seen-changelog",
        "app-dead-letters",
    }
    assert {spec.partitions for spec in specs.values()} == {5}
    # Tables must lie with the stage topic's partitions; dead letters need not.
    assert [name for name, spec in specs.items() if not spec.is_exact] == ["app-dead-letters"]
    assert specs["app-identities-changelog"].config == {"cleanup.policy": "compact"}
    assert specs["app-encharge-seen-changelog"].config == {
        "cleanup.policy": "delete",
        "retention.ms": "60000",
    }
    assert specs["app-dead-letters"].config["retention.ms"] == "-1"


def test_each_of_several_destinations_remembers_for_itself() -> None:
    settings = Settings(streams_app_id="app", streams_partitions=5)
    specs = {spec.name: spec for spec in owned_topics(settings, ["one", "other"])}
    assert set(specs) == {
        "app-events",
        "app-resolved",
        "app-identities-changelog",
        "app-seen-changelog",
        "app-one-seen-changelog",
        "app-other-seen-changelog",
        "app-dead-letters",
    }
    assert {spec.partitions for spec in specs.values()} == {5}
    assert specs["app-resolved"].config == specs["app-events"].config


@pytest.mark.parametrize(
    ("destinations", "published"),
    [
        (["one"], {"app-identify", "app-track"}),
        (["one", "other"], {"app-one-identify", "app-one-track", "app-other-track"}),
    ],
)
def test_what_is_published_has_its_topics(destinations: list[str], published: set[str]) -> None:
    settings = Settings(streams_app_id="app", streams_publish_actions=True)
    assert published <= {spec.name for spec in owned_topics(settings, destinations)}


def test_the_dead_letters_may_have_another_name() -> None:
    settings = Settings(streams_dlq_topic="failed")
    assert "failed" in [spec.name for spec in owned_topics(settings, ["encharge"])]


EXISTING = ["web", "mobile", "mobile-old", "__consumer_offsets"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("web", ["web"]),
        ("not-yet-there", ["not-yet-there"]),
        (" web , mobile,, ", ["web", "mobile"]),
        ("^mob", ["mobile", "mobile-old"]),
        ("^mobile$", ["mobile"]),
        ("^.*", ["mobile", "mobile-old", "web"]),
    ],
)
def test_source_topics_are_a_list_or_a_pattern(setting: str, expected: list[str]) -> None:
    assert source_names(setting, EXISTING) == expected


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        (",", "names no topic"),
        (" ", "names no topic"),
        ("^none", "no topic matches"),
        ("^(", "not a pattern"),
    ],
)
def test_what_names_no_source_is_an_error_that_names_the_setting(setting: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^STREAMS_SOURCE_TOPIC: .*{text}"):
        source_names(setting, EXISTING)


class Admin:
    def __init__(self, **partitions: int) -> None:
        self.partitions = partitions

    async def describe_topics(self, names: list[str]) -> list[Any]:
        return [
            {"topic": name, "partitions": [None] * self.partitions[name]}
            for name in names
            if name in self.partitions
        ]


async def test_another_number_of_partitions_than_the_tables_have_is_an_error() -> None:
    admin: Any = Admin(events=4)
    await _check(admin, [TopicSpec("events", 4)])
    with pytest.raises(SettingsError, match="STREAMS_PARTITIONS is 8, but events has 4"):
        await _check(admin, [TopicSpec("events", 8)])
    await _check(admin, [TopicSpec("events", 8, is_exact=False)])
    await _check(admin, [])
