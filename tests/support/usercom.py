"""The stand-in of User.com, and a destination that talks to it without HTTP in between."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from streams.destinations.base import Conversation, Request, Verdict
from streams.destinations.conversation import Reply
from streams.destinations.usercom import UserCom
from streams.dev.usercom.account import Person, StandIn
from streams.dev.usercom.api import BASE, Asked, answer
from streams.dev.usercom.server import find
from streams.events import Event

KEY = "api-key"
URL = "https://subdomain.user.com"


class RefusedError(Exception):
    """A call was refused for good: the event would be a dead letter."""


class Account:
    """A User.com account and the destination that fills it; ``calls`` are those made so far."""

    def __init__(self, **options: Any) -> None:
        self.state = StandIn(keys=frozenset({KEY}))
        self.destination = UserCom(api_key=KEY, api_url=URL, **options)
        self.calls: list[dict[str, Any]] = []
        self.ignored: Counter[str] = Counter()
        self.refused: set[str] = set()
        """Paths that are answered with 400, whatever is sent."""

    def send(self, event: Event) -> list[dict[str, Any]]:
        """Deliver an event; gives the calls that it took."""
        before = len(self.calls)
        if event["type"] == "delete":
            self.carry_out(self.destination.delete(event))
        for subscription in self.destination.candidates(event["type"]):
            if subscription.matches(event):
                self.carry_out(subscription.build(event))
        return self.calls[before:]

    def carry_out(self, made: Request | Conversation, *, steps: int = 1_000) -> None:
        """Make a conversation's calls, at most ``steps`` of them: as if killed then."""
        assert isinstance(made, Conversation)
        while steps and (request := made.request()) is not None:
            steps -= 1
            reply = self.call(request)
            verdict = self.destination.classify(reply.status, "application/json", b"{}")
            if verdict is not Verdict.DELIVERED and not made.accepts(reply.status):
                raise RefusedError(f"{request.method} {request.url}: {reply}")
            made.answered(reply)
        self.ignored += made.ignored

    def call(self, request: Request) -> Reply:
        """Make a call, whose body goes over the wire as JSON."""
        url = urlsplit(request.url)
        body = orjson.loads(orjson.dumps(request.body))
        self.calls.append(
            {
                "call": f"{request.method} {request.url.removeprefix(URL + BASE)}",
                **({"body": body} if body is not None else {}),
            }
        )
        if url.path.removeprefix(BASE) in self.refused:
            return Reply(400, {"detail": "refused"})
        route, names = find(request.method, url.path)
        asked = Asked(names, dict(parse_qsl(url.query)), body)
        entry = self.state.log.begin(request.method, url.path)
        key = request.headers["Authorization"].removeprefix("Token ")
        status, data = answer(self.state, route, asked, entry, key)
        return Reply(status, data)

    def define(self, of: str, name: str, kind: str, choices: list[str] | None = None) -> None:
        """As a person does in User.com's settings."""
        self.state.define(of, name, kind, choices)

    def person(self, custom_id: str) -> Person:
        return self.state.person(custom_id)
