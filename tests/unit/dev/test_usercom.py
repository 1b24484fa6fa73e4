"""The stand-in of User.com: what it takes, what it refuses, and how it fails on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from streams.dev.usercom import serve
from tests.support.world import KEY, StandIn, stand_in

API = "api/public/"


class Client:
    def __init__(self, server: StandIn) -> None:
        self.server = server
        self.http = httpx.AsyncClient(base_url=f"{server.url}/", timeout=10, trust_env=False)

    async def call(
        self, method: str, path: str, body: Any = None, key: str | None = KEY
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Token {key}"} if key is not None else {}
        answer = await self.http.request(method, API + path, json=body, headers=headers)
        return answer.status_code, answer.json() if answer.content else None

    async def upsert(self, **fields: Any) -> tuple[int, Any]:
        return await self.call("POST", "users/update_or_create/", fields)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with stand_in(serve) as server:
        made = Client(server)
        yield made
        await made.http.aclose()


@pytest.mark.parametrize("key", ["other", None])
async def test_a_wrong_key_is_refused(client: Client, key: str | None) -> None:
    assert (await client.call("GET", "attributes/", key=key))[0] == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "users-by-id/nobody/"),
        ("POST", "users-by-id/nobody/events/"),
        ("GET", "companies-by-id/none/"),
        ("PUT", "companies/7/"),
        ("GET", "users-by-id/nobody"),
        ("GET", "nothing/"),
    ],
)
async def test_what_is_not_there_is_a_404(client: Client, method: str, path: str) -> None:
    assert (await client.call(method, path, {"name": "E"}))[0] == 404


async def test_a_person_is_made_once_and_found_by_a_quoted_id(client: Client) -> None:
    assert (await client.upsert(custom_id="a/b"))[1]["created"] is True
    assert (await client.upsert(custom_id="a/b", email="a@example.com"))[1]["created"] is False
    status, person = await client.call("GET", "users-by-id/a%2Fb/")
    assert (status, person["custom_id"], person["email"]) == (200, "a/b", "a@example.com")


async def test_an_attribute_has_to_be_defined_and_of_its_type(client: Client) -> None:
    assert (await client.upsert(custom_id="u", seats=5))[0] == 400
    define = {"content_type": "clientuser", "name": "seats", "value_type": "integer"}
    assert (await client.call("POST", "attributes/", define))[0] == 201
    assert (await client.call("POST", "attributes/", define))[0] == 400
    assert (await client.upsert(custom_id="u", seats="5"))[0] == 400
    assert (await client.upsert(custom_id="u", seats=True))[0] == 400
    # Nothing of a call that is refused has taken effect.
    assert (await client.call("GET", "users-by-id/u/"))[0] == 404
    assert (await client.upsert(custom_id="u", seats=5))[0] == 200
    assert (await client.server.person("u"))["attributes"] == {"seats": 5}


@pytest.mark.parametrize(
    "fields",
    [{"first_name": "x" * 41}, {"gender": 4}, {"page_views": "1"}, {"last_seen": "now"}],
    ids=str,
)
async def test_a_field_of_the_profile_has_its_form(client: Client, fields: Any) -> None:
    assert (await client.upsert(custom_id="u", **fields))[0] == 400


@pytest.mark.parametrize(
    "body",
    [
        {"content_type": "person", "name": "a", "value_type": "string"},
        {"content_type": "company", "name": "a", "value_type": "text"},
        {"content_type": "company", "name": "", "value_type": "string"},
        {"content_type": "company", "name": "x" * 33, "value_type": "string"},
        {"content_type": "company", "name": "a", "value_type": "fixed"},
        [],
    ],
    ids=str,
)
async def test_a_wrong_definition_is_refused(client: Client, body: Any) -> None:
    assert (await client.call("POST", "attributes/", body))[0] == 400


async def test_merged_people_are_one_and_the_parents_values_win(client: Client) -> None:
    ids = [
        (await client.upsert(custom_id=name, email=f"{name}@example.com", country=name))[1]["id"]
        for name in ("new", "old")
    ]
    await client.call("POST", "users-by-id/old/events/", {"name": "E", "data": {}})
    body = {"parent": ids[0], "user_list": [ids[1]]}
    assert await client.call("POST", "users/merge/", body) == (200, {"success": True})
    person = await client.server.person("new")
    assert (person["email"], len(person["events"])) == ("new@example.com", 1)
    assert (await client.call("GET", "users-by-id/old/"))[0] == 404


async def test_faults_and_log_are_those_of_all_stand_ins(client: Client) -> None:
    await client.server.faults(
        {"match": {"userId": "u"}, "fault": {"status": 429, "after_apply": True}, "times": 1}
    )
    assert (await client.upsert(custom_id="v"))[0] == 200
    assert (await client.upsert(custom_id="u"))[0] == 429
    assert (await client.upsert(custom_id="u"))[1]["created"] is False
    event = {"name": "E", "data": {"messageId": "m"}}
    await client.call("POST", "users-by-id/u/events/", event)
    stats = await client.server.stats()
    assert (stats["people"], stats["requests"], stats["faultsFired"]) == (2, 4, 1)
    assert stats["messageIds"]["distinct"] == 1
    assert stats["byType"] == {"upsert": 3, "event": 1}
    assert [r["status"] for r in await client.server.requests()] == [200, 429, 200, 201]
    page = (await client.http.get("_stand-in/")).text
    assert page.startswith("User.com stand-in\nholds     2 people, 0 companies, 1 attributes\n")
