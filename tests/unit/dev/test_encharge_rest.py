"""The REST API of the stand-in, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.dev.encharge import KEY, Client, Reply, running

JSON = {"Content-Type": "application/json"}
ANN = {"userId": "u-1", "email": "ann@example.com"}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running() as client:
        yield client


def refused(reply: Reply, status: int, *, code: int | None = None) -> str:
    """Check the envelope of a REST error; return its message."""
    assert reply.status == status, reply.text
    error = reply.data["error"]
    assert set(error) == {"message", "markdown", "traceId"} | ({"errorCode"} if code else set())
    assert error.get("errorCode") == code
    assert error["markdown"].startswith("<p>")
    return str(error["message"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1"),
        ("PUT", "/v1"),
        ("GET", "/v2/people"),
        ("PATCH", "/v1/people"),
        ("POST", "/v1/people/all"),
        ("GET", "/v1/tags"),
        ("POST", "/v1/objects"),
        ("POST", "/v1/emails"),
        ("GET", "/v1/segments"),
        ("POST", "/v1/emails/send"),
        ("GET", "/v1/people/"),
    ],
)
async def test_anything_else_is_not_found(client: Client, method: str, path: str) -> None:
    assert refused(await client.call(method, path, {}), 404) == "Not found"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/people/all"),
        ("POST", "/v1/people"),
        ("DELETE", "/v1/people?people[0][userId]=u-1"),
        ("POST", "/v1/people/unsubscribe?userId=u-1"),
        ("POST", "/v1/tags"),
        ("DELETE", "/v1/tags"),
        ("GET", "/v1/fields"),
        ("POST", "/v1/fields"),
        ("GET", "/v1/schemas"),
        ("PUT", "/v1/objects/company"),
        ("GET", "/v1/accounts/info"),
    ],
)
async def test_every_call_needs_a_known_key(client: Client, method: str, path: str) -> None:
    message = refused(await client.call(method, path, {}, headers=JSON), 401)
    assert message == "User not logged in: Unauthorized request"
    headers = {**JSON, "X-Encharge-Token": "other"}
    message = refused(await client.call(method, path, {}, headers=headers), 401, code=10082)
    assert message == "Token without payload (should be JWT token)"


async def test_the_key_may_be_in_the_query_and_is_not_logged(client: Client) -> None:
    reply = await client.call("GET", f"/v1/people/all?limit=1&token={KEY}&offset=0", headers={})
    assert reply.status == 200
    (request,) = await client.requests()
    assert request["path"] == "/v1/people/all?limit=1&offset=0"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/people"),
        ("POST", "/v1/tags"),
        ("DELETE", "/v1/tags"),
        ("POST", "/v1/fields"),
        ("PUT", "/v1/objects/company"),
    ],
)
async def test_bodies_are_json(client: Client, method: str, path: str) -> None:
    refused(await client.call(method, path, raw=b"{"), 400)
    headers = {"X-Encharge-Token": KEY, "Content-Type": "text/plain"}
    refused(await client.call(method, path, {}, headers=headers), 400)
    refused(await client.call(method, path, "text"), 400)


async def test_people_are_created_and_updated_by_an_array(client: Client) -> None:
    first = await client.call(
        "POST", "/v1/people", [{**ANN, "plan": "free"}, {"email": "bob@example.com"}]
    )
    assert first.status == 200
    ann, bob = first.data["users"]
    assert ann == {"id": ann["id"], **ANN, "plan": "free", "tags": ""}
    assert bob["email"] == "bob@example.com"
    second = await client.call(
        "POST", "/v1/people", [{"id": bob["id"], "n": 1}, {"userId": "u-1", "tags": "x"}]
    )
    assert [user["id"] for user in second.data["users"]] == [bob["id"], ann["id"]]
    assert second.data["users"][0]["n"] == 1
    assert second.data["users"][1]["tags"] == "x"
    assert [entry["type"] for entry in (await client.person("u-1"))["timeline"]] == ["people"] * 2


async def test_a_single_person_may_come_without_an_array(client: Client) -> None:
    reply = await client.call("POST", "/v1/people", {"segmentAnonymousId": "a-1", "n": 1})
    assert reply.status == 200
    assert reply.data["users"][0]["segmentAnonymousId"] == "a-1"


async def test_a_person_who_comes_twice_in_an_array_is_one(client: Client) -> None:
    body = [{"segmentAnonymousId": "a-1"}, {"userId": "u-1"}, {**ANN, "segmentAnonymousId": "a-1"}]
    reply = await client.call("POST", "/v1/people", body)
    assert [user["userId"] for user in reply.data["users"]] == ["u-1"]
    assert len((await client.person("u-1"))["timeline"]) == 1


@pytest.mark.parametrize("bad", [{}, {"name": "Ann"}, "ann", None, {"userId": ["u-1"]}])
async def test_one_wrong_person_refuses_the_whole_array(client: Client, bad: object) -> None:
    refused(await client.call("POST", "/v1/people", [ANN, bad]), 400)
    assert len(client.state.people) == 0


async def test_people_are_read_by_any_id(client: Client) -> None:
    await client.call("POST", "/v1/people", [{**ANN, "plan": "pro"}, {"userId": "u-2"}])
    reply = await client.call(
        "GET",
        "/v1/people?people[0][email]=ann@example.com&people[1][userId]=u-2&people[2][userId]=no",
    )
    assert [user["userId"] for user in reply.data["users"]] == ["u-1", "u-2"]
    reply = await client.call("GET", "/v1/people?people[0][userId]=u-1&attributes=plan")
    (user,) = reply.data["users"]
    assert user == {"id": user["id"], **ANN, "plan": "pro"}
    assert (await client.call("GET", "/v1/people?people[0][email]=no@example.com")).data == {
        "users": []
    }
    refused(await client.call("GET", "/v1/people"), 400)
    refused(await client.call("GET", "/v1/people?people[0][name]=Ann"), 400)


async def test_all_people_come_in_pages_of_a_hundred(client: Client) -> None:
    await client.call("POST", "/v1/people", [{"userId": f"u-{n}"} for n in range(120)])
    await client.ok(type="page", user={"segmentAnonymousId": "a-1"})

    async def page(query: str) -> list[str | None]:
        reply = await client.call("GET", f"/v1/people/all{query}")
        return [person.get("userId") for person in reply.data["people"]]

    assert await page("") == [f"u-{n}" for n in range(100)]
    assert await page("?offset=100&limit=2") == ["u-100", "u-101"]
    assert (await page("?offset=118"))[-1] is None
    assert (await page("?offset=118&ignoreAnonymous=true")) == ["u-118", "u-119"]
    refused(await client.call("GET", "/v1/people/all?limit=-1"), 400)
    refused(await client.call("GET", "/v1/people/all?ignoreAnonymous=1"), 400)
    refused(await client.call("GET", "/v1/people/all?sort=name"), 400)


@pytest.mark.parametrize("name", ["userId", "email", "segmentAnonymousId", "id"])
async def test_deleting_archives_and_a_later_call_brings_back(client: Client, name: str) -> None:
    reply = await client.call("POST", "/v1/people", [{**ANN, "segmentAnonymousId": "a-1"}])
    (user,) = reply.data["users"]
    reply = await client.call("DELETE", f"/v1/people?people[0][{name}]={user[name]}")
    assert (reply.status, reply.text) == (204, "")
    assert (await client.person("u-1"))["archived"] is True
    here = "/v1/people?people[0][userId]=u-1"
    assert (await client.call("GET", here)).data == {"users": []}
    assert len((await client.call("GET", here + "&includeArchived=true")).data["users"]) == 1
    assert (await client.call("GET", "/v1/people/all")).data == {"people": []}
    refused(await client.call("POST", "/v1/tags", {"tag": "x", "userId": "u-1"}), 404)
    await client.ok(type="page", user={"userId": "u-1"})
    person = await client.person("u-1")
    assert (person["archived"], person["id"]) == (False, user["id"])
    assert [entry["type"] for entry in person["timeline"]] == ["people", "delete", "page"]


async def test_deleting_by_force_erases(client: Client) -> None:
    await client.call("POST", "/v1/people", [{**ANN, "segmentAnonymousId": "a-1", "plan": "x"}])
    known = client.state.people.by_user_id["u-1"]
    reply = await client.call("DELETE", "/v1/people?people[0][userId]=u-1&force=true")
    assert reply.status == 204
    # Also where the request log still leads to the person.
    assert (dict(known.fields), list(known.timeline)) == ({}, [])
    for some_id in ("u-1", "ann@example.com", "a-1"):
        assert await client.person(some_id) is None
    await client.ok(type="page", user={"userId": "u-1"})
    assert (await client.person("u-1"))["fields"] == {}


async def test_deletion_takes_ids_in_percent_encoding(client: Client) -> None:
    await client.ok(type="page", user={"userId": "Zoë &1"})
    path = "/v1/people?people%5B0%5D%5BuserId%5D=Zo%C3%AB%20%261"
    assert (await client.call("DELETE", path)).status == 204
    assert (await client.person("Zoë%20&1"))["archived"] is True


async def test_deletion_needs_an_id_and_nobody_needs_to_be_there(client: Client) -> None:
    refused(await client.call("DELETE", "/v1/people"), 400)
    refused(await client.call("DELETE", "/v1/people?people[0][userId]="), 400)
    refused(await client.call("DELETE", "/v1/people?people[0][userId]=u-1&force=yes"), 400)
    assert (await client.call("DELETE", "/v1/people?people[0][userId]=u-1")).status == 204


@pytest.mark.parametrize("query", ["email=ann@example.com", "userId=u-1"])
async def test_unsubscribing_sets_the_field(client: Client, query: str) -> None:
    path = f"/v1/people/unsubscribe?{query}"
    refused(await client.call("POST", path, headers={"X-Encharge-Token": KEY}), 404)
    await client.call("POST", "/v1/people", [ANN])
    reply = await client.call("POST", path, headers={"X-Encharge-Token": KEY})
    assert reply.status == 204
    person = await client.person("u-1")
    assert person["unsubscribed"] is True
    assert person["timeline"][-1]["type"] == "unsubscribe"
    refused(await client.call("POST", "/v1/people/unsubscribe"), 400)
    await client.call("POST", "/v1/people", [{**ANN, "unsubscribed": False}])
    assert (await client.person("u-1"))["unsubscribed"] is False


async def test_tags_are_added_and_removed(client: Client) -> None:
    await client.call("POST", "/v1/people", [ANN])
    reply = await client.call("POST", "/v1/tags", {"tag": "a, b_1,c-d e", "userId": "u-1"})
    assert (reply.status, reply.text) == (201, "")
    assert (await client.person("u-1"))["tags"] == ["a", "b_1", "c-d e"]
    reply = await client.call("DELETE", "/v1/tags", {"tag": "a,c-d e,z", "email": ANN["email"]})
    assert (reply.status, reply.text) == (204, "")
    person = await client.person("u-1")
    assert person["tags"] == ["b_1"]
    assert [entry["type"] for entry in person["timeline"]] == ["people", "tag", "untag"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_wrong_tag_calls_are_refused(client: Client, method: str) -> None:
    refused(await client.call(method, "/v1/tags", {"tag": "a", "userId": "nobody"}), 404)
    assert len(client.state.people) == 0
    await client.call("POST", "/v1/people", [ANN])
    for body in (
        {"tag": "a"},
        {"userId": "u-1"},
        {"tag": ["a"], "userId": "u-1"},
        {"tag": " , ", "userId": "u-1"},
        {"tag": "50%", "userId": "u-1"},
        [{"tag": "a", "userId": "u-1"}],
    ):
        refused(await client.call(method, "/v1/tags", body), 400)
    assert (await client.person("u-1"))["tags"] == []


async def test_fields_are_listed_and_created(client: Client) -> None:
    known = {item["name"] for item in (await client.call("GET", "/v1/fields")).data["items"]}
    assert {"email", "userId", "firstName", "unsubscribed"} <= known
    new = {"name": "trialEnds", "type": "string", "format": "date", "array": False}
    reply = await client.call("POST", "/v1/fields", [new])
    assert reply.status == 200
    assert new.items() <= reply.data["items"][0].items()
    items = (await client.call("GET", "/v1/fields")).data["items"]
    assert new.items() <= {item["name"]: item for item in items}["trialEnds"].items()


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "string"},
        {"name": "x"},
        {"name": "x", "type": "object"},
        {"name": "x", "type": "number", "format": "date"},
        {"name": "x", "type": "string", "format": "time"},
        {"name": "x", "type": "string", "array": "yes"},
        {"name": "x", "type": "string", "color": "red"},
        "x",
    ],
)
async def test_wrong_fields_are_refused(client: Client, bad: object) -> None:
    refused(await client.call("POST", "/v1/fields", [{"name": "y", "type": "string"}, bad]), 400)
    items = (await client.call("GET", "/v1/fields")).data["items"]
    assert not {"x", "y"} & {item["name"] for item in items}


async def test_schemas_are_listed_and_created(client: Client) -> None:
    new = {"name": "invoice", "displayNameSingular": "Invoice", "displayNamePlural": "Invoices"}
    assert (await client.call("POST", "/v1/schemas", new)).status == 200
    refused(await client.call("POST", "/v1/schemas", new), 400)
    refused(await client.call("POST", "/v1/schemas", {"name": "deal"}), 400)
    refused(await client.call("POST", "/v1/schemas", {**new, "name": "deal", "size": 1}), 400)
    refused(await client.call("POST", "/v1/schemas/deal/fields", []), 404)
    objects = (await client.call("GET", "/v1/schemas")).data["objects"]
    assert [item["name"] for item in objects] == ["company", "invoice"]


async def test_objects_are_put_by_either_id(client: Client) -> None:
    path = "/v1/objects/company"
    reply = await client.call("PUT", path, {"externalId": "g-1", "name": "Example", "z": 1})
    assert reply.data == {
        "created": True,
        "object": {"id": 1, "externalId": "g-1", "name": "Example"},
    }
    reply = await client.call("PUT", path, {"id": 1, "plan": "pro"})
    assert reply.data["created"] is False
    assert reply.data["object"]["plan"] == "pro"
    refused(await client.call("PUT", path, {"name": "Example"}), 400)
    refused(await client.call("PUT", path, [{"externalId": "g-1"}]), 400)
    refused(await client.call("PUT", "/v1/objects/deal", {"externalId": "d-1"}), 404)


async def test_the_account_counts_its_people(client: Client) -> None:
    await client.call("POST", "/v1/people", [ANN])
    info = (await client.call("GET", "/v1/accounts/info")).data
    assert info["peopleCount"] == 1
    assert set(info) == {
        "accountId",
        "activeServices",
        "name",
        "peopleCount",
        "services",
        "site",
        "status",
        "timezone",
    }


async def test_a_body_that_comes_in_many_pieces_is_read_to_its_end(client: Client) -> None:
    people = [{"userId": f"u-{number}", "note": "x" * 1000} for number in range(500)]
    reply = await client.call("POST", "/v1/people", people)
    assert (reply.status, len(reply.data["users"])) == (200, 500)
    (request,) = await client.requests()
    assert request["body"] == people
