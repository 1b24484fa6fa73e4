"""A destination is a package, a line of the registry, and golden cases: here are all three.

The registry's line is in a test of its own, because this destination is for the tests only.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from streams import config, settings
from streams.delivery.sender import HttpSender
from streams.destinations import registry
from streams.destinations.base import Destination, Request
from streams.explain import Explainer
from tests.support import webhook
from tests.support.fakes import pending
from tests.unit.delivery.conftest import World, make_world  # noqa: F401

CASES = [
    json.loads(line) for line in (Path(__file__).parent / "track.ndjson").read_text().splitlines()
]
FILE = "destinations:\n  - type: webhook\n    settings: {ENCHARGE_API_URL: %s}\n"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "KINDS", {**registry.KINDS, "webhook": webhook.KIND})
    checks = {**registry.CHECKS, "webhook": partial(registry.check, "webhook")}
    monkeypatch.setattr(registry, "CHECKS", checks)


def built(url: str = webhook.URL) -> Destination:
    loaded, problems = config.parse(FILE % url, registry.CHECKS)
    assert problems == []
    assert registry.missing(loaded) == []
    [configured] = registry.build(settings.Settings(), loaded)
    return configured.destination


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_case(case: dict[str, Any]) -> None:
    [told] = Explainer(lambda _: [built()]).lines([json.dumps(case["event"]).encode()])
    made = [{k: r[k] for k in ("method", "url", "body")} for r in json.loads(told)["requests"]]
    assert made == case["requests"]


def test_a_wrong_subscription_of_it_is_told() -> None:
    text = "destinations:\n  - type: webhook\n    subscriptions: [{action: sent, trigger: x}]\n"
    told = [str(problem) for problem in config.parse(text, registry.CHECKS)[1]]
    assert any("there is no sent; did you mean send?" in line for line in told)


async def test_it_is_delivered_to_over_http(make_world: Any) -> None:  # noqa: F811
    taken: list[Any] = []

    async def hook(request: web.Request) -> web.Response:
        taken.append(await request.json())
        return web.Response(status=500 if len(taken) == 1 else 204)

    app = web.Application()
    app.router.add_post("/", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    destination = built(f"http://127.0.0.1:{port}")
    sender = HttpSender(max_connections=2, timeout_seconds=5)
    world: World = make_world(destination=destination, sender=sender)
    try:
        [subscription] = destination.subscriptions
        made = subscription.build({"type": "track", "userId": "u", "event": "E"})
        assert isinstance(made, Request)
        world.take(pending("x", requests=[made]))
        assert await world.settled(1) == [("x", "delivered")]
        assert taken == [{"who": "u", "what": "E"}] * 2, "once more after the 500"
    finally:
        await runner.cleanup()
