"""The client: what it sends, what it gives back, and when it tries again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import orjson
import pytest

from streams import client as module
from streams.client import Client, GatewayError
from tests.support.gateway import KEY, served


class Api:
    """Answers as told, in turn; then 200."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, Any]] = []
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        body = orjson.loads(request.content)
        self.bodies.append(body)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        count = {"count": len(body["batch"])} if "batch" in body else {}
        return httpx.Response(200, json={"success": True, **count})

    def client(self, **options: Any) -> Client:
        return Client(
            KEY,
            host="http://gateway/",
            transport=httpx.MockTransport(self),
            sleep=self.waits.append,
            **options,
        )


CALLS: list[tuple[Callable[[Client], dict[str, Any]], str, dict[str, Any]]] = [
    (
        lambda c: c.track("Signed Up", user_id="u", properties={"a": 1}),
        "track",
        {"success": True, "event": "Signed Up", "userId": "u", "anonymousId": None},
    ),
    (
        lambda c: c.identify(anonymous_id="a", traits={"email": "x@y.z"}),
        "identify",
        {"success": True, "userId": None, "anonymousId": "a"},
    ),
    (
        lambda c: c.page("Home", category="Docs", user_id="u"),
        "page",
        {"success": True, "name": "Home", "userId": "u", "anonymousId": None},
    ),
    (
        lambda c: c.screen(user_id="u"),
        "screen",
        {"success": True, "name": None, "userId": "u", "anonymousId": None},
    ),
    (
        lambda c: c.group("acme", user_id="u", traits={"plan": "pro"}),
        "group",
        {"success": True, "groupId": "acme", "userId": "u", "anonymousId": None},
    ),
    (
        lambda c: c.alias("u", "a"),
        "alias",
        {"success": True, "userId": "u", "previousId": "a"},
    ),
    (
        lambda c: c.batch([{"type": "page", "userId": "u"}], context={"ip": "1"}),
        "batch",
        {"success": True, "count": 1},
    ),
]


@pytest.mark.parametrize(("call", "kind", "told"), CALLS, ids=[kind for _, kind, _ in CALLS])
def test_a_call_gives_what_the_documented_tools_give(
    call: Callable[[Client], dict[str, Any]], kind: str, told: dict[str, Any]
) -> None:
    api = Api()
    with api.client() as client:
        assert call(client) == told
    (request,) = api.requests
    assert (request.method, request.url) == ("POST", f"http://gateway/v1/{kind}")
    assert request.headers["authorization"].startswith("Basic ")
    assert "sentAt" in api.bodies[0]


async def test_a_gateway_takes_every_call() -> None:
    import asyncio

    async with served() as gateway:

        def send() -> None:
            with Client(KEY, host=gateway.url) as client:
                for call, _, told in CALLS:
                    assert call(client) == told

        await asyncio.to_thread(send)
        assert [event["type"] for event in gateway.events()] == [
            kind.replace("batch", "page") for _, kind, _ in CALLS
        ]


def test_without_an_id_one_is_made() -> None:
    with Api().client() as client:
        first, second = client.identify(), client.identify()
    assert first["userId"] is None
    assert first["anonymousId"] != second["anonymousId"]


def test_revenue_currency_and_value_are_typed() -> None:
    api = Api()
    with api.client() as client:
        client.track("x", user_id="u", revenue=Decimal("19.99"), properties={"sku": 1})
        client.track("x", user_id="u", revenue=5, currency="EUR", value=2)
        client.track("x", user_id="u", value=2)
        for wrong in ("eur", "EURO", ""):
            with pytest.raises(ValueError, match="currency"):
                client.track("x", currency=wrong)
        with pytest.raises(ValueError, match="revenue: is given twice"):
            client.track("x", revenue=1, properties={"revenue": 2})
    assert [body["properties"] for body in api.bodies] == [
        {"sku": 1, "revenue": 19.99, "currency": "USD"},
        {"revenue": 5, "currency": "EUR", "value": 2},
        {"value": 2},
    ]


def test_times_are_iso() -> None:
    api = Api()
    with api.client() as client:
        client.page(user_id="u", timestamp=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
        client.page(user_id="u", timestamp=datetime(2026, 1, 2))
        client.page(user_id="u", timestamp="2026-01-02")
        client.page(user_id="u")
    assert [body["timestamp"] for body in api.bodies[:3]] == [
        "2026-01-02T03:04:05.000Z",
        "2026-01-02T00:00:00.000Z",
        "2026-01-02",
    ]
    assert api.bodies[3]["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.track(""),
        lambda c: c.group(""),
        lambda c: c.alias("u", ""),
        lambda c: c.alias("", "a"),
    ],
)
def test_what_is_required_is_asked_for(call: Callable[[Client], Any]) -> None:
    api = Api()
    with api.client() as client, pytest.raises(ValueError, match="required"):
        call(client)
    assert api.requests == []


def refusal(status: int, **headers: str) -> httpx.Response:
    body = {"code": "c", "message": "m"}
    return httpx.Response(status, json=body, headers=headers)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_it_tries_again_under_the_same_message_id(status: int) -> None:
    api = Api(
        refusal(status, **{"retry-after": "3"}),
        refusal(status),
        httpx.ConnectError("away"),
        refusal(status),
    )
    with api.client() as client:
        assert client.page(user_id="u")["success"]
        client.batch([{"type": "page", "userId": "u"}])
    assert len({body["messageId"] for body in api.bodies[:5]}) == 1
    assert len({body["timestamp"] for body in api.bodies[:5]}) == 1
    assert api.waits[0] == 3
    assert 0.25 <= api.waits[1] <= 0.5 < api.waits[3] <= 2


def test_a_batch_that_is_tried_again_has_the_same_message_ids() -> None:
    api = Api(refusal(503))
    with api.client() as client:
        client.batch([{"type": "page", "userId": "u"}, {"type": "page", "messageId": "m"}])
    first, second = ([e["messageId"] for e in body["batch"]] for body in api.bodies)
    assert first == second
    assert first[1] == "m"


@pytest.mark.parametrize("status", [302, 400, 401, 404, 413])
def test_what_cannot_succeed_is_not_tried_again(status: int) -> None:
    api = Api(refusal(status))
    with api.client() as client, pytest.raises(GatewayError) as caught:
        client.page(user_id="u")
    assert (caught.value.status, caught.value.code, caught.value.message) == (status, "c", "m")
    assert len(api.requests) == 1


def test_tries_end() -> None:
    api = Api(*[refusal(503)] * 5)
    with api.client(max_tries=3) as client, pytest.raises(GatewayError, match="m"):
        client.page(user_id="u")
    assert (len(api.requests), len(api.waits)) == (3, 2)
    api = Api(*[httpx.ConnectError("away")] * 5)
    with api.client(max_tries=2) as client, pytest.raises(GatewayError, match="away") as caught:
        client.page(user_id="u")
    assert caught.value.status == 0


@pytest.mark.parametrize("answer", [httpx.Response(200, text="OK"), httpx.Response(204)])
def test_an_answer_that_is_none_of_the_api_is_an_error(answer: httpx.Response) -> None:
    with Api(answer).client() as client, pytest.raises(GatewayError, match="no Tracking API"):
        client.page(user_id="u")


def test_a_long_batch_is_sent_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BATCH_EVENTS", 3)
    api = Api(
        httpx.Response(
            200, json={"success": True, "count": 2, "rejected": [{"index": 1, "code": "c"}]}
        ),
        httpx.Response(
            200, json={"success": True, "count": 2, "rejected": [{"index": 2, "code": "c"}]}
        ),
    )
    with api.client() as client:
        told = client.batch({"type": "page", "userId": str(n)} for n in range(7))
    assert [len(body["batch"]) for body in api.bodies] == [3, 3, 1]
    assert told["count"] == 5
    assert [fault["index"] for fault in told["rejected"]] == [1, 5]
    with Api().client() as client:
        assert client.batch([]) == {"success": True, "count": 0}


def test_a_batch_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BATCH_EVENTS", 3)
    rejected = {"success": True, "count": 2, "rejected": [{"index": 1, "code": "c"}]}
    api = Api(httpx.Response(200, json=rejected), refusal(401))
    with api.client() as client, pytest.raises(GatewayError, match="2 of 3 events were stored"):
        client.batch([{"type": "page"}] * 4)
