"""A tiny destination: every event to one URL, as docs/adding-a-destination.md tells it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streams.destinations.action import Action
from streams.destinations.base import Conversation, Request, Subscription, Verdict
from streams.destinations.defaults import path
from streams.destinations.kind import Kind
from streams.destinations.status import classifier, http_rules
from streams.destinations.subscriptions import Definition, Subscriptions, preset
from streams.errors import PayloadError
from streams.events import Event
from streams.mapping.payload import Field, Payload
from streams.settings import Settings

URL = "https://hook.example.com/"


def _request(url: str, payload: Payload) -> Request:
    return Request("POST", url, {"Content-Type": "application/json"}, payload)


SEND = Action(
    slug="send",
    title="Send",
    stream="track",
    fields={
        "who": Field(label="Who", type="string", required=True, default=path("userId")),
        "what": Field(label="What", type="string", default=path("event")),
        "more": Field(label="More", type="object", default=path("properties")),
    },
    request=_request,
)
ACTIONS = {SEND.slug: SEND}
PRESETS = [preset(SEND, 'type = "track"')]

classify = classifier(http_rules(urls="the URL is wrong", keys="it wants a key"))


class Webhook:
    """A :class:`~streams.destinations.base.Destination`."""

    integration_names = frozenset({"Webhook"})

    def __init__(self, name: str, url: str, subscriptions: Sequence[Definition]) -> None:
        self.name = name
        self._url = url
        self._subscriptions = Subscriptions(ACTIONS, url, subscriptions)
        self.subscriptions: Sequence[Subscription] = self._subscriptions.all

    def candidates(self, kind: str) -> Sequence[Subscription]:
        return self._subscriptions.candidates(kind)

    def delete(self, event: Event) -> Request:
        if not event.get("userId"):
            raise PayloadError("userId is required to delete a person")
        return _request(self._url, {"forget": event["userId"]})

    def merge(self, earlier: Request | Conversation, later: Request | Conversation) -> None:
        return None

    def part(self, request: Request) -> None:
        return None

    def bulk(self, parts: Sequence[Any]) -> Request:
        raise NotImplementedError

    def classify(self, status: int, content_type: str, body: bytes) -> Verdict:
        return classify(status, content_type, body)

    def advice(self, status: int) -> str:
        return "look at the URL"


def _build(settings: Settings, name: str, subscriptions: Sequence[Definition]) -> Webhook:
    # It has no setting of its own, so that there is one thing less to explain.
    return Webhook(name, settings.encharge_api_url, subscriptions)


KIND = Kind(
    build=_build,
    actions=ACTIONS,
    presets=PRESETS,
    required=(),
    url="encharge_api_url",
    probe=lambda settings: Request("GET", settings.encharge_api_url, {}, None),
)
