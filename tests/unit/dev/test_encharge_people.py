"""Who is who: how calls find, make and merge the people of the stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.dev.encharge import Client, running


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running() as client:
        yield client


async def page(client: Client, message_id: str, **ids: str) -> None:
    await client.ok(type="page", messageId=message_id, user=ids)


async def alias(client: Client, previous: str, new: str, message_id: str = "alias") -> None:
    await client.ok(type="alias", previousUserId=previous, userId=new, messageId=message_id)


async def everybody(client: Client) -> list[Any]:
    return list((await client.control("/people"))["people"])


async def test_an_anonymous_person_stays_one_person_when_it_gets_a_name(client: Client) -> None:
    await page(client, "m-1", segmentAnonymousId="a-1")
    before = await client.person("a-1")
    assert before["anonymous"] is True
    await page(client, "m-2", segmentAnonymousId="a-1", userId="u-1")
    await page(client, "m-3", segmentAnonymousId="a-1")
    after = await client.person("u-1")
    assert (after["id"], after["anonymous"]) == (before["id"], False)
    assert await client.timeline("a-1") == ["m-1", "m-2", "m-3"]
    assert len(await everybody(client)) == 1


async def test_an_anonymous_timeline_joins_a_person_who_exists(client: Client) -> None:
    await page(client, "m-1", userId="u-1")
    await page(client, "m-2", segmentAnonymousId="a-1")
    await client.ok(type="identify", messageId="m-3", user={"segmentAnonymousId": "a-1", "n": 1})
    await page(client, "m-4", userId="u-1")
    await page(client, "m-5", segmentAnonymousId="a-1", userId="u-1")
    assert await client.timeline("u-1") == ["m-1", "m-2", "m-3", "m-4", "m-5"]
    (person,) = await everybody(client)
    assert person["fields"] == {"n": 1}


async def test_an_email_finds_the_person_and_the_user_id_is_set_once(client: Client) -> None:
    await page(client, "m-1", email="ann@example.com")
    await page(client, "m-2", email="ann@example.com", userId="u-1")
    await page(client, "m-3", userId="u-1")
    assert await client.timeline("ann@example.com") == ["m-1", "m-2", "m-3"]


@pytest.mark.parametrize("shared", ["email", "segmentAnonymousId"])
async def test_another_user_id_is_another_person(client: Client, shared: str) -> None:
    await page(client, "m-1", **{shared: "x-1"}, userId="u-1")
    await page(client, "m-2", **{shared: "x-1"}, userId="u-2")
    await page(client, "m-3", userId="u-1")
    assert await client.timeline("u-1") == ["m-1", "m-3"]
    assert await client.timeline("u-2") == ["m-2"]
    # What two people have used leads to the one who used it last.
    await page(client, "m-4", **{shared: "x-1"})
    assert await client.timeline("u-2") == ["m-2", "m-4"]


async def test_a_device_is_no_reason_to_merge_two_known_people(client: Client) -> None:
    await page(client, "m-1", userId="u-1", segmentAnonymousId="a-1")
    await page(client, "m-2", userId="u-2")
    await page(client, "m-3", userId="u-2", segmentAnonymousId="a-1")
    assert await client.timeline("u-1") == ["m-1"]
    assert (await client.person("u-1"))["anonymousIds"] == []
    assert (await client.person("u-2"))["anonymousIds"] == ["a-1"]


async def test_the_user_id_decides_where_the_email_is_anothers(client: Client) -> None:
    await page(client, "m-1", userId="u-1", email="ann@example.com")
    await page(client, "m-2", userId="u-2", email="bob@example.com")
    await page(client, "m-3", userId="u-2", email="ann@example.com")
    assert await client.timeline("u-2") == ["m-2", "m-3"]
    assert await client.timeline("u-1") == ["m-1"]


async def test_an_email_can_change(client: Client) -> None:
    await page(client, "m-1", userId="u-1", email="ann@example.com")
    await page(client, "m-2", userId="u-1", email="ann.b@example.com")
    assert (await client.person("u-1"))["email"] == "ann.b@example.com"
    assert await client.person("ann@example.com") is None


async def test_an_alias_merges_the_previous_person_into_the_new_one(client: Client) -> None:
    await client.ok(
        type="identify",
        messageId="m-1",
        user={
            "userId": "old",
            "email": "ann@example.com",
            "segmentAnonymousId": "a-1",
            "plan": "free",
            "city": "Ulm",
            "tags": "one",
        },
    )
    await client.ok(type="group", properties={"externalId": "g-1"}, user={"userId": "old"})
    await client.ok(
        type="identify", messageId="m-2", user={"userId": "new", "plan": "pro", "tags": "two"}
    )
    await page(client, "m-3", userId="old")
    await alias(client, "old", "new", "m-4")
    person = await client.person("new")
    assert person["email"] == "ann@example.com"
    assert person["anonymousIds"] == ["a-1"]
    assert person["fields"] == {"plan": "pro", "city": "Ulm"}
    assert person["tags"] == ["one", "two"]
    assert person["objects"] == [{"type": "company", "id": "g-1"}]
    assert person["formerUserIds"] == ["old"]
    assert await client.timeline("new") == ["m-1", None, "m-2", "m-3", "m-4"]
    assert [entry["applied"] for entry in person["timeline"]] == [1, 2, 3, 4, 5]
    assert len(await everybody(client)) == 1
    await page(client, "m-5", segmentAnonymousId="a-1")
    await page(client, "m-6", email="ann@example.com")
    assert (await client.timeline("new"))[-2:] == ["m-5", "m-6"]


async def test_an_alias_to_a_new_id_renames_the_person(client: Client) -> None:
    await page(client, "m-1", userId="old")
    identity = (await client.person("old"))["id"]
    await alias(client, "old", "new", "m-2")
    person = await client.person("new")
    assert (person["id"], person["userId"]) == (identity, "new")
    assert await client.timeline("new") == ["m-1", "m-2"]


async def test_an_alias_may_start_from_an_anonymous_id(client: Client) -> None:
    await page(client, "m-1", segmentAnonymousId="a-1")
    await alias(client, "a-1", "u-1", "m-2")
    await page(client, "m-3", segmentAnonymousId="a-1")
    assert await client.timeline("u-1") == ["m-1", "m-2", "m-3"]


async def test_aliases_make_chains(client: Client) -> None:
    for number, name in enumerate(("one", "two", "three")):
        await page(client, f"m-{number}", userId=name)
    await alias(client, "one", "two")
    await alias(client, "two", "three")
    person = await client.person("three")
    assert person["formerUserIds"] == ["two", "one"]
    assert await client.timeline("three") == ["m-0", "m-1", "m-2", "alias", "alias"]
    # The control API still finds it under the ids it has had.
    assert (await client.person("one"))["id"] == person["id"]


async def test_an_alias_to_itself_changes_nothing(client: Client) -> None:
    await client.ok(type="identify", messageId="m-1", user={"userId": "u-1", "plan": "pro"})
    await alias(client, "u-1", "u-1", "m-2")
    person = await client.person("u-1")
    assert (person["fields"], person["formerUserIds"]) == ({"plan": "pro"}, [])
    assert await client.timeline("u-1") == ["m-1", "m-2"]


async def test_an_alias_to_itself_of_a_device_does_not_make_it_a_user(client: Client) -> None:
    await page(client, "m-1", segmentAnonymousId="a-1")
    await alias(client, "a-1", "a-1")
    (person,) = await everybody(client)
    assert (person["anonymous"], person["calls"]) == (True, 1)


async def test_an_alias_of_a_persons_own_device_changes_nothing(client: Client) -> None:
    await page(client, "m-1", userId="u-1", segmentAnonymousId="a-1")
    await alias(client, "a-1", "u-1", "m-2")
    await page(client, "m-3", segmentAnonymousId="a-1")
    assert await client.timeline("u-1") == ["m-1", "m-2", "m-3"]
    assert len(await everybody(client)) == 1


async def test_an_alias_of_unknown_ids_makes_the_new_one(client: Client) -> None:
    await alias(client, "nobody", "u-1")
    (person,) = await everybody(client)
    assert (person["userId"], person["formerUserIds"]) == ("u-1", [])


async def test_an_id_given_up_by_an_alias_makes_a_new_person(client: Client) -> None:
    await page(client, "m-1", userId="old")
    await alias(client, "old", "new", "m-2")
    await page(client, "m-3", userId="old")
    assert await client.timeline("new") == ["m-1", "m-2"]
    assert await client.timeline("old") == ["m-3"]


async def test_a_timeline_is_in_the_order_of_arrival(client: Client) -> None:
    for number in range(20):
        await page(client, f"m-{number}", userId=f"u-{number % 2}")
    assert await client.timeline("u-0") == [f"m-{number}" for number in range(0, 20, 2)]
    entries = (await client.person("u-1"))["timeline"]
    assert [entry["seq"] for entry in entries] == list(range(2, 21, 2))
    assert [entry["applied"] for entry in entries] == list(range(2, 21, 2))
    received = [entry["receivedAt"] for entry in entries]
    assert received == sorted(received)
    assert received[0].endswith("+00:00")
