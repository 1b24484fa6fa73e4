"""The worker's web port over HTTP: who may see what. Kafka is away here."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import httpx
import pytest

from streams import config
from streams.destinations import registry
from streams.errors import SettingsError
from streams.settings import Settings, load
from streams.telemetry.metrics import AllMetrics
from streams.web.server import FILES, Health, serve

TOKEN = "a-token-of-the-tests"
KEY = "the-key-of-encharge"
EVENT = {"type": "track", "event": "Clicked", "userId": "u"}
GUARDED = [
    ("GET", "/api/dead-letters"),
    ("GET", "/api/dead-letters/0@0"),
    ("POST", "/api/redrive"),
    ("POST", "/api/identity"),
    ("POST", "/api/explain"),
]


@asynccontextmanager
async def page(**given: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The page of a worker that is well, for the block."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        settings = Settings(
            kafka_bootstrap_servers=f"127.0.0.1:{nobody.getsockname()[1]}",
            streams_web_host="127.0.0.1",
            streams_web_port=0,
            encharge_api_key=KEY,
            **given,
        )
        found = registry.build(settings, config.load(None, registry.CHECKS))
        async with (
            serve(
                settings,
                AllMetrics(),
                Health(),
                found,
                lambda: [each.destination for each in found],
            ) as address,
            httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as http,
        ):
            yield http


@pytest.fixture
async def guarded() -> AsyncIterator[httpx.AsyncClient]:
    async with page(streams_web_token=TOKEN) as http:
        yield http


@pytest.fixture
async def known(guarded: httpx.AsyncClient) -> httpx.AsyncClient:
    """To somebody who knows the token."""
    guarded.headers["Authorization"] = f"Bearer {TOKEN}"
    return guarded


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_without_a_token_in_the_settings_nobody_gets_anything_personal(
    method: str, path: str
) -> None:
    async with page() as http:
        for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": f"Bearer {TOKEN}"}):
            answer = await http.request(method, path, headers=headers, json=EVENT)
            assert answer.status_code == 403
            assert "STREAMS_WEB_TOKEN" in answer.json()["error"]


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize(
    "given", ["", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN]
)
async def test_another_token_is_refused(
    guarded: httpx.AsyncClient, method: str, path: str, given: str
) -> None:
    answer = await guarded.request(method, path, headers={"Authorization": given}, json=EVENT)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_is_nowhere_but_in_its_header(guarded: httpx.AsyncClient) -> None:
    answer = await guarded.get(
        f"/api/dead-letters?token={TOKEN}", headers={"Cookie": f"token={TOKEN}"}
    )
    assert answer.status_code == 401
    assert "set-cookie" not in (await guarded.get("/")).headers


@pytest.mark.parametrize("token", ["short", "with a space in it somewhere", "\u00e9" * 20])
def test_a_token_that_is_short_or_does_not_fit_a_header_is_a_wrong_setting(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMS_WEB_TOKEN", token)
    with pytest.raises(SettingsError, match=r"^STREAMS_WEB_TOKEN: must be 16 or more") as failure:
        load()
    assert token not in str(failure.value)


async def test_counts_and_reasons_are_open_and_say_whether_a_token_opens_more() -> None:
    for given in ({}, {"streams_web_token": TOKEN}):
        async with page(**given) as http:
            answer = await http.get("/api/state")
            found = answer.json()
            assert answer.status_code == 200
            assert found["isGuarded"] == bool(given)
            assert found["names"] == ["encharge"]
            assert [each["reason"] for each in found["notReady"]] == ["starting"]
            assert TOKEN not in answer.text
            assert KEY not in answer.text


@pytest.mark.parametrize("path", [*FILES, "/api/state", "/api/redrive", "/nowhere", "/metrics"])
async def test_nothing_from_elsewhere_may_run_frame_or_keep_it(
    guarded: httpx.AsyncClient, path: str
) -> None:
    headers = (await guarded.get(path)).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers


def test_the_page_is_in_the_package_and_asks_for_nothing_from_elsewhere() -> None:
    texts = {n: resources.files("streams.web").joinpath(n).read_text() for n, _ in FILES.values()}
    for name, text in texts.items():
        elsewhere = set(re.findall(r"(?:https?:)?//[a-z][\w.-]+", text))
        assert elsewhere <= {"http://www.w3.org"}, name
    html, script = texts["page.html"], texts["page.js"]
    assert not re.findall(r"<style|\bstyle=|\bon\w+=|<script(?! src)", html)
    # Texts of strangers become text.
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc"
        r"|DOMParser|createContextualFragment",
        script,
    )


async def test_an_event_is_tried_and_no_key_is_shown(known: httpx.AsyncClient) -> None:
    event = {**EVENT, "properties": {"note": f"{KEY} and {TOKEN}"}}
    answer = await known.post("/api/explain", json=event)
    assert answer.status_code == 200
    [request] = answer.json()["requests"]
    assert (request["method"], request["body"]["event"]) == ("POST", "Clicked")
    assert request["headers"]["X-Encharge-Token"] == "(hidden)"
    assert request["headers"]["Content-Type"] == "application/json"
    assert KEY not in answer.text
    assert TOKEN not in answer.text


async def test_an_event_brings_no_subscriptions_of_its_own(known: httpx.AsyncClient) -> None:
    event = {"type": "page", "userId": "u", "event": EVENT, "subscriptions": [], "op": "delete"}
    answer = (await known.post("/api/explain", json=event)).json()
    assert [(r["method"], r["body"]["type"]) for r in answer["requests"]] == [("POST", "page")]


async def test_a_deletion_is_tried_too(known: httpx.AsyncClient) -> None:
    answer = (await known.post("/api/explain", json={"type": "delete", "userId": "u"})).json()
    assert [request["method"] for request in answer["requests"]] == ["DELETE"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/explain", b"{"),
        ("/api/explain", b"[]"),
        ("/api/explain", b'{"x":"' + b"x" * 33_000 + b'"}'),
        ("/api/identity", b"{"),
        ("/api/identity", b"[]"),
        ("/api/identity", b'{"id":""}'),
        ("/api/identity", b'{"id":7}'),
        ("/api/identity", b'{"id":"' + b"x" * 1001 + b'"}'),
        ("/api/redrive", b"{}"),
        ("/api/redrive", b'{"ids":[]}'),
        ("/api/redrive", b'{"ids":"0@0"}'),
        ("/api/redrive", b'{"ids":["0"]}'),
        ("/api/redrive", b'{"ids":[[]]}'),
        ("/api/redrive", b'{"ids":[' + b",".join([b'"0@0"'] * 51) + b"]}"),
    ],
)
async def test_what_is_asked_wrongly_is_told(
    known: httpx.AsyncClient, path: str, body: bytes
) -> None:
    answer = await known.post(path, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_more_than_a_request_may_hold_is_not_read(known: httpx.AsyncClient) -> None:
    answer = await known.post("/api/identity", content=b" " * ((1 << 20) + 1))
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/dead-letters", None),
        ("GET", "/api/dead-letters/0@0", None),
        ("POST", "/api/redrive", {"ids": ["0@0"]}),
        ("POST", "/api/identity", {"id": "u"}),
    ],
)
async def test_a_broker_that_is_away_is_told_with_the_setting(
    known: httpx.AsyncClient, method: str, path: str, body: Any
) -> None:
    answer = await known.request(method, path, json=body)
    assert answer.status_code == 502
    assert answer.json()["error"].startswith("KAFKA_BOOTSTRAP_SERVERS=")
