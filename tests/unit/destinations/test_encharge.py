from __future__ import annotations

from typing import Any

import pytest

from streams.destinations.base import Destination
from streams.destinations.encharge import PRESETS, Encharge
from streams.destinations.encharge.actions import ACTIONS
from streams.errors import SettingsError
from streams.mapping import default_mapping

TAG: dict[str, Any] = {
    "partnerAction": "addTag",
    "name": "Tag",
    "enabled": True,
    "subscribe": 'type = "track"',
    "mapping": {"tag": "x", "userId": {"@path": "$.userId"}},
}


def test_it_is_a_destination() -> None:
    encharge: Destination = Encharge(api_key="k")
    assert encharge.name == "encharge"
    assert encharge.integration_names == {
        "Encharge (Actions)",
        "Encharge Cloud (Actions)",
        "Encharge",
    }


def test_the_presets_in_their_order() -> None:
    subscriptions = Encharge(api_key="k").subscriptions
    assert [s.action for s in subscriptions] == ["alias", "identify", "page", "group", "track"]
    assert [s.name for s in subscriptions] == [preset["name"] for preset in PRESETS]


def test_the_registry() -> None:
    assert {slug: action.stream for slug, action in ACTIONS.items()} == {
        "identifyUser": "identify",
        "trackEvent": "track",
        "trackPageView": "page",
        "aliasUser": "alias",
        "createUpdateObject": "group",
        "addTag": "tag",
        "removeTag": "untag",
        "setComputedTrait": "identify",
    }
    for action in ACTIONS.values():
        assert set(default_mapping(action.fields)) <= set(action.fields)


def test_keys_and_hosts() -> None:
    encharge = Encharge(
        api_key="api",
        write_key="write",
        api_url="http://127.0.0.1:9/",
        ingest_url="http://127.0.0.1:9/ingest",
        subscriptions=[*PRESETS, TAG],
    )
    track, tag = encharge.subscriptions[-2:]
    event = {"type": "track", "event": "Login", "userId": "ada"}
    sent = track.build(event)
    assert (sent.url, sent.headers["X-Encharge-Token"]) == ("http://127.0.0.1:9/ingest", "write")
    sent = tag.build(event)
    assert (sent.url, sent.headers["X-Encharge-Token"]) == ("http://127.0.0.1:9/v1/tags", "api")
    sent = encharge.delete(event)
    assert sent.url == "http://127.0.0.1:9/v1/people?people[0][userId]=ada"
    assert sent.headers["X-Encharge-Token"] == "api"


def test_the_write_key_defaults_to_the_api_key() -> None:
    track = Encharge(api_key="api").subscriptions[-1]
    sent = track.build({"type": "track", "event": "Login"})
    assert sent.headers["X-Encharge-Token"] == "api"


def test_an_empty_key() -> None:
    with pytest.raises(SettingsError, match="API key"):
        Encharge(api_key="")


def test_order_and_disabled_ones() -> None:
    definitions = [
        {**TAG, "name": "first"},
        {**TAG, "name": "off", "enabled": False},
        {**TAG, "partnerAction": "removeTag", "name": "last"},
    ]
    subscriptions = Encharge(api_key="k", subscriptions=definitions).subscriptions
    assert [(s.name, s.action) for s in subscriptions] == [("first", "tag"), ("last", "untag")]


def test_a_disabled_one_is_put_aside() -> None:
    aside = {**TAG, "enabled": False, "subscribe": "typo", "mapping": {"tag": {"@nope": 1}}}
    assert not Encharge(api_key="k", subscriptions=[aside]).subscriptions


def test_the_name_may_be_left_out() -> None:
    definition = {key: TAG[key] for key in ("partnerAction", "subscribe", "mapping")}
    (subscription,) = Encharge(api_key="k", subscriptions=[definition]).subscriptions
    assert subscription.name == "Tag User"


def test_at_most_fifty() -> None:
    assert len(Encharge(api_key="k", subscriptions=[TAG] * 50).subscriptions) == 50
    with pytest.raises(SettingsError, match="at most 50"):
        Encharge(api_key="k", subscriptions=[TAG] * 51)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"partnerAction": "nope"}, r"subscriptions\[0\]\.partnerAction: there is no nope"),
        ({"partnerAction": None}, r"subscriptions\[0\]\.partnerAction: null"),
        ({"enabled": "yes"}, r"subscriptions\[0\]\.enabled: string"),
        ({"mappings": {}}, r"subscriptions\[0\]: there is no key mappings"),
        ({"subscribe": "typo"}, r"subscriptions\[0\]\.subscribe: .*typo"),
        ({"mapping": []}, r"subscriptions\[0\]\.mapping: array"),
        ({"mapping": {"tag": {"@nope": 1}}}, r"subscriptions\[0\]\.mapping\.tag: "),
        ({"enabled": False, "subscribe": None}, r"subscriptions\[0\]\.subscribe: null"),
    ],
)
def test_bad_subscriptions(change: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        Encharge(api_key="k", subscriptions=[{**TAG, **change}])


@pytest.mark.parametrize("key", ["partnerAction", "subscribe", "mapping"])
def test_what_a_subscription_needs(key: str) -> None:
    definition = {name: value for name, value in TAG.items() if name != key}
    with pytest.raises(SettingsError, match=rf"subscriptions\[0\]\.{key}: is missing"):
        Encharge(api_key="k", subscriptions=[definition])


def test_a_subscription_that_is_no_object() -> None:
    with pytest.raises(SettingsError, match=r"subscriptions\[0\]: should be an object"):
        Encharge(api_key="k", subscriptions=["x"])  # type: ignore[list-item]
